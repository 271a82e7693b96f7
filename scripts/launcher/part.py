"""A part: one program that the launcher runs, and the process that it is at the moment."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from scripts.launcher.parent import LAUNCHER_PID_VARIABLE, bound_to_this_process

MAX_LOG_BYTES = 10 * 1024 * 1024
"""A log larger than this is put aside, as NAME.log.1, when its part is started."""


@dataclass(frozen=True, slots=True)
class Part:
    """A program to keep running.

    Parts of the lowest `stop_rank` are stopped first, together, and get the largest of their
    `stop_grace_s` before they are killed; then the next rank. `environment` is added to ours.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_rank: int = 0
    stop_grace_s: float = 5.0


def start(part: Part, log_folder: Path) -> subprocess.Popen[bytes]:
    """Start `part` in a process group of its own, so that a Ctrl-C reaches the launcher alone."""
    environment = {**os.environ, **part.environment}
    bind = bound_to_this_process()
    if bind is None:
        environment[LAUNCHER_PID_VARIABLE] = str(os.getpid())
    with open_log(log_path(part, log_folder)) as log:
        return subprocess.Popen(  # noqa: S603 - the launcher's own programs, no shell
            part.argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=bind,  # noqa: PLW1509 - the launcher has one thread, and no other way exists
        )


def send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the whole group of `process`; one that is gone is left in peace."""
    if process.poll() is None:
        os.killpg(process.pid, number)


def log_path(part: Part, log_folder: Path) -> Path:
    """Where the part's output goes."""
    return log_folder / f"{part.name}.log"


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending, after putting a large one aside."""
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_name(f"{path.name}.1"))
    return path.open("ab")


def tidemill(name: str, *options: str) -> tuple[str, ...]:
    """Return the command line of one of our own parts.

    With -P, as somebody may keep a `jobs.py` of his own in the folder that this is started in.
    """
    return (sys.executable, "-P", "-m", "scripts.command", name, *options)
