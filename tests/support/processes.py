"""Real processes under test: started in a group of their own, logged to a file, never left behind."""

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.environment import scrubbed
from tests.support.eventually import eventually

LOG_TAIL_CHARS = 8192
ENDS_WITHIN_S = 30.0

_BIND_AND_EXEC = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL
os.getppid() == int(sys.argv[1]) or os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""On Linux a child dies with the thread that started it, also when that was killed with SIGKILL.

The child arranges that itself before it becomes the program: code between fork and exec in a process
with threads may hang. The process id stays the same.
"""


class ProcessUnderTest:
    """A program that a test starts, watches and kills."""

    def __init__(
        self,
        argv: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start `argv`; `environment` comes on top of the machine's, which is scrubbed."""
        self.name = log.stem
        self.argv = tuple(argv)
        self.log_path = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the tests' own commands
                _bound(argv),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**scrubbed(os.environ), **(environment or {})},
                cwd=cwd,
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """The process's id, which is also its group's."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; minus the signal's number if one ended it."""
        return self._process.poll()

    def wait_ready(self, url: str, within_s: float = 60.0) -> None:
        """Return once GET `url` is answered with 200.

        Raises:
            AssertionError: it was not in time, or the process ended; the message has the log's tail.
        """

        def ready() -> bool:
            if self.exit_status is not None:
                raise AssertionError(
                    f"{self.name} ended with {self.exit_status} before it was ready\n{self.tail()}"
                )
            return _answers(url)

        try:
            eventually(ready, within_s, f"{self.name} answers 200 on {url}")
        except AssertionError as error:
            error.add_note(self.tail())
            raise

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send the process, and not its children, a signal; harmless when it has ended."""
        self._process.send_signal(number)

    def wait_ended(self, within_s: float = ENDS_WITHIN_S) -> int:
        """Return the exit status once the process has ended.

        Raises:
            AssertionError: it has not in time.
        """
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} still runs after {within_s:g} s\n{self.tail()}"
            ) from None

    def clear_away(self) -> None:
        """Kill whatever is left of the process and its group; harmless when nothing is."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(ENDS_WITHIN_S)

    def log(self) -> str:
        """What it has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def tail(self) -> str:
        """The end of the log, under a line that says whose it is."""
        return f"--- {self.name}: {' '.join(self.argv)}\n{self.log()[-LOG_TAIL_CHARS:]}"


def _bound(argv: Sequence[str]) -> list[str]:
    if sys.platform != "linux":
        return list(argv)
    return [sys.executable, "-I", "-S", "-c", _BIND_AND_EXEC, str(os.getpid()), *argv]


def _answers(url: str) -> bool:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=2.0)
    try:
        connection.request("GET", f"{address.path or '/'}?{address.query}".rstrip("?"))
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
