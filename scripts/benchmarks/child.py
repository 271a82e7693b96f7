"""Programs of this package in processes of their own, each of which answers with one JSON document."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from jobs.errors import ServiceUnavailable
from scripts.launcher.parent import bound_to_this_process

ENDS_WITHIN_S = 10.0


@contextmanager
def started(module: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module with these arguments, its output in a pipe; gone at the end, whatever happened."""
    process = subprocess.Popen(  # noqa: S603 - our own modules
        [sys.executable, "-m", module, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        process_group=0,  # Ctrl-C comes to this process, which then stops the others in order
        preexec_fn=bound_to_this_process(),  # noqa: PLW1509 - this process has one thread
    )
    with process:
        try:
            yield process
        finally:
            stop(process)


def answer(process: subprocess.Popen[bytes]) -> Any:
    """Return the document that a process prints before it ends.

    Raises:
        ServiceUnavailable: it failed; what it says is on the terminal.
    """
    output, _ = process.communicate()
    if process.returncode != 0:
        raise ServiceUnavailable(f"{process.args!r} ended with status {process.returncode}")
    return orjson.loads(output)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process: politely, then not."""
    process.terminate()
    try:
        process.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def reply(document: object) -> None:
    """Print a child's answer."""
    sys.stdout.write(orjson.dumps(document).decode() + "\n")
