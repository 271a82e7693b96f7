"""A PostgreSQL of the tests' own, which they may freeze, kill and crowd."""

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from scripts.fault_injection.servers import postgres_part
from tests.support import postgres
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.processes import ProcessUnderTest

STARTS_WITHIN_S = 60.0


class OwnPostgres:
    """A server of a cluster that exists. It answers when it is made."""

    def __init__(self, data: Path, start_process: Callable[[list[str]], ProcessUnderTest]) -> None:
        """Start the server on a free port."""
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.owner = data.stat().st_uid
        self._argv = list(postgres_part(data, self.port).argv)
        self._start_process = start_process
        self._frozen: list[psutil.Process] = []
        self.start()

    def start(self) -> None:
        """Start the server, on the same port as before, and return once it answers."""
        self._process = self._start_process(self._argv)
        eventually(lambda: postgres.answers(self.url), STARTS_WITHIN_S, "PostgreSQL answers")

    def stop(self) -> None:
        """End the server and every connection."""
        self._process.kill(signal.SIGINT)
        self._process.wait_ended()

    def freeze(self) -> None:
        """Let all of its processes answer nothing, until `thaw`; it still seems to listen."""
        server = psutil.Process(self._process.pid)
        server.suspend()  # first, or it would start others meanwhile
        self._frozen = [server, *server.children(recursive=True)]
        for process in self._frozen[1:]:
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        """Let it go on where `freeze` stopped it; harmless when nothing is frozen."""
        for process in self._frozen:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        self._frozen = []
