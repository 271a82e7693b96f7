"""A Tidemill of its own for a script that shows something: with the local model, apart from the user's.

It runs the commands that a person would type: `tidemill up`, `submit`, `usage`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import typer
from rich.console import Console

from jobs.configuration import load_configuration
from jobs.errors import ServiceUnavailable, TidemillError
from scripts.command.client import Client
from scripts.command.connection import connect
from scripts.command.ending import ExitStatus
from scripts.launcher import local_model
from scripts.launcher.parent import bound_to_this_process
from scripts.launcher.ready import answers

HOST = "127.0.0.1"
READY_WITHIN_S = 120.0
STOP_WITHIN_S = 60.0
"""Longer than the launcher's own grace for calls in flight."""

LAST_LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class OwnTidemill:
    """Where it keeps everything, and where its servers listen; without Flower if that has no port."""

    home: Path
    port: int
    flower_port: int | None = None

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """What `tidemill up` says."""
        return self.home / "up.log"

    def environment(self) -> dict[str, str]:
        """Return the environment of every command: nothing of the user's own Tidemill."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMILL_")}
        return kept | {
            "TIDEMILL_HOME": str(self.home),
            "TIDEMILL_CONFIG": str(self.home / "tidemill.toml"),
            "TIDEMILL_URL": self.url,
        }

    @contextmanager
    def running(self, console: Console) -> Iterator[subprocess.Popen[bytes]]:
        """Have it running, ready; it is stopped in order however the block is left.

        Calls in flight may finish then; a Ctrl-C in the meantime stops it at once.

        Raises:
            ServiceUnavailable: it does not start.
        """
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        flower = (
            ("--no-flower",)
            if self.flower_port is None
            else ("--flower-port", str(self.flower_port))
        )
        argv = _argv("up", "--local-model", "--host", HOST, "--port", str(self.port), *flower)
        with self.log.open("wb") as log:
            up = subprocess.Popen(  # noqa: S603 - our own program
                argv,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C comes to this process, which then stops the other in order
                preexec_fn=bound_to_this_process(),  # noqa: PLW1509 - this process has one thread
            )
        try:
            with console.status("Starting Tidemill with a model of its own…"):
                self._wait_until_ready(up)
            yield up
        finally:
            with console.status("Stopping…"):
                _stop(up)

    def command(self, console: Console, *arguments: str, within_s: float) -> None:
        """Run a command, its output where a person sees it. That jobs failed is no error of it.

        Raises:
            ServiceUnavailable: it does not work, or not within that time.
        """
        console.print(f"\n[bold]$ tidemill {' '.join(arguments)}[/]", soft_wrap=True)
        try:
            status = subprocess.run(  # noqa: S603 - our own program
                _argv(*arguments), env=self.environment(), check=False, timeout=within_s
            ).returncode
        except subprocess.TimeoutExpired:
            status = None
        if status not in {ExitStatus.OK, ExitStatus.BATCH_FAILED}:
            how = "did not end in time" if status is None else f"ended with status {status}"
            raise ServiceUnavailable(
                f"`tidemill {arguments[0]}` {how}; logs are in {self.home / 'logs'}"
            )

    def client(self) -> Client:
        """Return a client of it, to be closed."""
        return connect(self.url, (self.home / "api-key").read_text(encoding="utf-8").strip())

    def _wait_until_ready(self, up: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._is_ready():
            if up.poll() is not None or time.monotonic() > deadline:
                lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
                tail = "\n  ".join(lines[-LAST_LOG_LINES:])
                raise ServiceUnavailable(
                    f"Tidemill did not start; the end of {self.log}:\n  {tail}"
                )
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        if not answers(HOST, self.port, "/readyz"):
            return False
        # The model loads meanwhile: calls that it refuses until then would stand in the usage.
        configuration = load_configuration(self.home / "local-model.toml")
        port = urlsplit(configuration.providers[local_model.PROVIDER].base_url).port
        return port is not None and answers(HOST, port, "/health")


@contextmanager
def failures_told(name: str, console: Console) -> Iterator[None]:
    """Say in one line why the script of this name can't go on; SIGTERM ends it as Ctrl-C does.

    Raises:
        typer.Exit: it can't go on, or was interrupted.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except TidemillError as error:
        console.print(f"{name}: {error.message}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(ExitStatus.UNREACHABLE) from None
    except KeyboardInterrupt:
        raise typer.Exit(ExitStatus.INTERRUPTED) from None


def _stop(up: subprocess.Popen[bytes]) -> None:
    up.send_signal(signal.SIGTERM)
    try:
        up.wait(STOP_WITHIN_S)
    except KeyboardInterrupt:
        up.send_signal(signal.SIGINT)  # a second Ctrl-C: calls in flight may not finish
        up.wait()
    except subprocess.TimeoutExpired:
        up.kill()
        up.wait()


def _argv(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-P", "-m", "scripts.command", *arguments)
