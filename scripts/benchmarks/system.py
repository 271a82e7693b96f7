"""The whole system, as it is run in earnest: API, workers and beat, and the embedded Valkey if needed."""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from subprocess import Popen

from jobs.errors import ServiceUnavailable
from jobs.settings import Settings
from jobs.store import Database, ensure_first_key, migrate, open_database
from jobs.store.workers import live_workers
from scripts.benchmarks.cases import Case
from scripts.benchmarks.stores import Place
from scripts.benchmarks.workload import PROVIDER
from scripts.launcher import valkey
from scripts.launcher.part import Part, send, start
from scripts.launcher.ready import answers, free_port
from scripts.launcher.up import UpOptions, our_parts

HOST = "127.0.0.1"
READY_WITHIN_S = 60.0
LOG_TAIL_CHARS = 3000

HOMES = Path(".tidemill")
"""Not the system's temporary folder: where that is in memory, a commit to SQLite costs nothing."""


@dataclass(frozen=True, slots=True)
class System:
    """A running system. `key_file` holds an API key of the project that does the work."""

    url: str
    key_file: Path
    database: Database
    logs: Path
    parts: Mapping[str, Part]
    processes: dict[str, Popen[bytes]]

    def kill(self, name: str) -> None:
        """Kill a part as a power cut would, and start it again, as a supervisor does."""
        send(self.processes[name], signal.SIGKILL)
        self.processes[name].wait()
        self.processes[name] = start(self.parts[name], self.logs)

    def check_alive(self) -> None:
        """Return if every part runs.

        Raises:
            ServiceUnavailable: one has ended; the message has the end of its log.
        """
        for name, process in self.processes.items():
            if process.poll() is not None:
                log = (self.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
                raise ServiceUnavailable(
                    f"{name} ended with status {process.returncode}\n{log[-LOG_TAIL_CHARS:]}"
                )


@contextmanager
def running_system(
    case: Case, place: Place, configuration: str, provider: str = PROVIDER
) -> Iterator[System]:
    """Run the system for a case, in a home of its own; nothing of it is left at the end.

    `configuration` is the text of its `tidemill.toml`, and `provider` one of those in it.
    """
    with own_home() as home:
        settings = Settings(
            home=home,
            config=home / "tidemill.toml",
            database_url=place.database_url,
            broker_url=place.broker_url,
            redis_url=place.redis_url,
            max_in_flight=max(1, case.in_flight // case.workers),
        )
        settings.config.write_text(configuration, encoding="utf-8")
        database = open_database(settings.resolved_database_url(), connections=1)
        try:
            migrate(database)
            key_file = ensure_first_key(database, home)
            port = free_port()
            parts = _parts(settings, case, port)
            with running_parts(parts, home) as processes:
                of_names = {part.name: part for part in parts}
                url = f"http://{HOST}:{port}"
                system = System(url, key_file, database, home, of_names, processes)
                _wait_until_ready(system, port, provider, case.workers)
                yield system
        finally:
            database.close()


@contextmanager
def own_home() -> Iterator[Path]:
    """Yield an empty home, gone at the end."""
    HOMES.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=HOMES) as folder:
        home = Path(folder).resolve()
        try:
            yield home
        finally:
            # A home with a long path has its socket elsewhere.
            shutil.rmtree(Settings(home=home).embedded_socket().parent, ignore_errors=True)


def _parts(settings: Settings, case: Case, port: int) -> list[Part]:
    options = UpOptions(host=HOST, port=port, workers=case.workers, flower_port=None)
    environment = {
        "TIDEMILL_DATABASE_URL": settings.database_url,
        "TIDEMILL_BROKER_URL": settings.broker_url,
        "TIDEMILL_REDIS_URL": settings.redis_url,
        "TIDEMILL_MAX_IN_FLIGHT": str(settings.max_in_flight),
    }
    ours = [
        replace(part, environment={**part.environment, **environment})
        for part in our_parts(settings, options, settings.config)
    ]
    return [valkey.server(settings), *ours] if valkey.needed(settings) else ours


@contextmanager
def running_parts(parts: Sequence[Part], logs: Path) -> Iterator[dict[str, Popen[bytes]]]:
    """Run parts, whose processes it yields by name, and stop them in the order of their ranks."""
    processes: dict[str, Popen[bytes]] = {}
    try:
        for part in parts:
            processes[part.name] = start(part, logs)
        yield processes
    finally:
        ranked = sorted(parts, key=lambda part: part.stop_rank)
        for _, rank in groupby(ranked, key=lambda part: part.stop_rank):
            _stop([(part, processes[part.name]) for part in rank if part.name in processes])


def _stop(rank: Sequence[tuple[Part, Popen[bytes]]]) -> None:
    for _, process in rank:
        send(process, signal.SIGTERM)
    for part, process in rank:
        deadline = time.monotonic() + part.stop_grace_s
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        send(process, signal.SIGKILL)
        process.wait()


def _wait_until_ready(system: System, port: int, provider: str, workers: int) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not (answers(HOST, port, "/readyz") and _living_workers(system, provider) == workers):
        system.check_alive()
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f"the system is not ready after {READY_WITHIN_S:g} s")
        time.sleep(0.05)


def _living_workers(system: System, provider: str) -> int:
    with system.database.read() as session:
        return live_workers(session, provider)
