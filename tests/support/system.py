"""Tidemill itself under test: its real processes on one home, and what a test says to them."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil

from jobs.settings import Settings
from jobs.states import FINAL_BATCH_STATES
from jobs.store import Database, ensure_first_key, open_database
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.processes import LOG_TAIL_CHARS, ProcessUnderTest

ROOT = Path(__file__).resolve().parents[2]

READY_WITHIN_S = 90.0
STOPS_WITHIN_S = 90.0
"""Above the drain's grace time, so that a test sees what the parts do and not what it does."""

SPREAD_IN_FLIGHT = 50
"""Calls of each worker at once in the fixture `spread_system`."""

ANSWERS_WITHIN_S = 60.0

PATHS = {
    "openai": "/v1",
    "anthropic": "/anthropic/v1",
    "gemini": "/gemini/v1beta",
    "mistral": "/mistral/v1",
}
"""Where the simulator speaks each protocol."""

SMALL, LARGE = "sim-small", "sim-large"
PRICES = {SMALL: ("0.10", "0.40"), LARGE: ("1.00", "4.00")}
"""The simulator's own, in dollars per million tokens in and out."""

Json = dict[str, Any]


@dataclass
class System:
    """The processes of one set-up, which share a home, a database and a broker.

    Without addresses in `environment` that is what one machine has: SQLite and the embedded Valkey
    of `start_up`. Processes are started one by one; `close` ends whatever is left of them.
    """

    folder: Path
    simulator_url: str
    protocols: Sequence[str] = ("openai",)
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    flower_port: int = field(default_factory=free_port)
    processes: list[ProcessUnderTest] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Write the configuration."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(configuration(self.simulator_url, self.protocols), encoding="utf-8")

    @property
    def home(self) -> Path:
        """Where the state is; made by whoever starts first."""
        return self.folder / "home"

    @property
    def config(self) -> Path:
        """The `tidemill.toml`."""
        return self.folder / "tidemill.toml"

    @property
    def url(self) -> str:
        """The API's address without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        """The API key of the project `default`."""
        return (self.home / "api-key").read_text(encoding="utf-8").strip()

    @property
    def settings(self) -> Settings:
        """The settings that the processes have."""
        return Settings(
            home=self.home,
            config=self.config,
            database_url=self.environment.get("TIDEMILL_DATABASE_URL", ""),
            broker_url=self.environment.get("TIDEMILL_BROKER_URL", ""),
            redis_url=self.environment.get("TIDEMILL_REDIS_URL", ""),
        )

    def start(
        self,
        *arguments: str,
        name: str | None = None,
        module: str = "scripts.command",
        **environment: str,
    ) -> ProcessUnderTest:
        """Start `tidemill ARGUMENTS` with this set-up's environment and more variables.

        `module` is what is run instead of the command, with the same arguments.
        """
        name = name or arguments[0]
        process = ProcessUnderTest(
            [sys.executable, "-m", module, *arguments],
            self.folder / f"{name}-{len(self.processes)}.log",
            {**self._addresses(), **environment},
            cwd=ROOT,
        )
        self.processes.append(process)
        return process

    def start_up(self, *options: str, **environment: str) -> ProcessUnderTest:
        """Start `tidemill up` and return once it is ready; without Flower unless it is asked for."""
        flower = () if "--flower-port" in options else ("--no-flower",)
        up = self.start("up", "--port", str(self.port), *flower, *options, **environment)
        up.wait_ready(f"{self.url}/readyz", READY_WITHIN_S)
        wait_for_log(up, "Tidemill is ready")
        return up

    def start_api(self, **environment: str) -> ProcessUnderTest:
        """Start the API alone, return once it is ready, and see to it that there is a key."""
        api = self.start("api", "--port", str(self.port), **environment)
        api.wait_ready(f"{self.url}/readyz", READY_WITHIN_S)
        self.home.mkdir(exist_ok=True)
        with self.database() as database:
            ensure_first_key(database, self.home)
        return api

    def start_worker(
        self,
        name: str = "worker",
        *,
        slots: int = 128,
        module: str = "scripts.command",
        **environment: str,
    ) -> ProcessUnderTest:
        """Start a worker and return once it takes slices, so many at a time."""
        arguments = ("worker", "--name", name, "--slots", str(slots))
        worker = self.start(*arguments, name=name, module=module, **environment)
        wait_for_log(worker, "ready for slices")
        return worker

    def start_beat(self, **environment: str) -> ProcessUnderTest:
        """Start the clock and its sweep; nobody needs to wait until it runs."""
        return self.start("beat", **environment)

    @cached_property
    def http(self) -> httpx.Client:
        """A client of the API, with the key."""
        return httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {self.key}"},
            timeout=ANSWERS_WITHIN_S,
            trust_env=False,
        )

    def submit(self, lines: Iterable[Json], **query: str) -> str:
        """Submit jobs and return the id of their batch."""
        reply = self.http.post("/api/batches", params=query, content=ndjson(lines))
        assert reply.status_code == 202, reply.text
        batch_id: str = reply.json()["id"]
        return batch_id

    def batch(self, batch_id: str) -> Json:
        """Return the batch as the API shows it."""
        return _object(self.http.get(f"/api/batches/{batch_id}"))

    def act(self, batch_id: str, verb: str) -> Json:
        """Pause, resume or cancel a batch; return it."""
        return _object(self.http.post(f"/api/batches/{batch_id}/{verb}"))

    def wait(self, batch_id: str, within_s: float = 60.0) -> Json:
        """Return the batch once it has ended."""
        return self.wait_until(
            batch_id, lambda batch: batch["state"] in FINAL_BATCH_STATES, within_s, "it has ended"
        )

    def wait_finished(self, batch_id: str, jobs: int, within_s: float = 60.0) -> Json:
        """Return the batch once at least so many of its jobs have their result."""
        return self.wait_until(
            batch_id, lambda batch: finished(batch) >= jobs, within_s, f"{jobs} jobs have a result"
        )

    def wait_until(
        self, batch_id: str, is_so: Callable[[Json], bool], within_s: float, what: str
    ) -> Json:
        """Return the batch once `is_so`."""
        seen: Json = {}

        def look() -> bool:
            seen.update(self.batch(batch_id))
            return is_so(seen)

        try:
            eventually(look, within_s, f"of batch {batch_id}: {what}")
        except AssertionError as error:
            error.add_note(f"the batch at last: {seen}")
            raise
        return seen

    def results(self, batch_id: str, **query: str) -> list[Json]:
        """Return the results that there are; `query` is `order`, `after` and `limit`."""
        reply = self.http.get(f"/api/batches/{batch_id}/results", params=query)
        assert reply.status_code == 200, reply.text
        return [orjson.loads(line) for line in reply.content.splitlines()]

    def usage(self, by: str = "outcome") -> Json:
        """Return the usage report."""
        return _object(self.http.get("/api/usage", params={"by": by}))

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the database, for what no interface shows."""
        database = open_database(self.settings.resolved_database_url(), connections=1)
        try:
            yield database
        finally:
            database.close()

    def client_environment(self) -> dict[str, str]:
        """Return the variables with which a client command finds this system and its key."""
        return {"TIDEMILL_HOME": str(self.home), "TIDEMILL_URL": self.url}

    def logs(self) -> list[tuple[str, str]]:
        """Return the name and the end of each process's log, the parts of `up` included."""
        own = [(process.name, process.tail()) for process in self.processes]
        parts = [
            (path.stem, path.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL_CHARS:])
            for path in sorted((self.home / "logs").glob("*.log"))
        ]
        return own + parts

    def close(self) -> None:
        """End every process and its children, the last started first."""
        if "http" in self.__dict__:
            self.http.close()
        families = [family(process.pid) for process in self.processes]
        for process in reversed(self.processes):
            process.clear_away()
        for relative in (relative for each in families for relative in each):
            _kill(relative)

    def _addresses(self) -> dict[str, str]:
        return {
            "TIDEMILL_HOME": str(self.home),
            "TIDEMILL_CONFIG": str(self.config),
            **self.environment,
        }


@contextmanager
def running_system(
    folder: Path,
    simulator_url: str,
    protocols: Sequence[str] = ("openai",),
    **environment: str,
) -> Iterator[System]:
    """Yield a set-up of which nothing runs yet, and end whatever was started."""
    system = System(folder, simulator_url, protocols, environment)
    try:
        yield system
    finally:
        system.close()


def configuration(simulator_url: str, protocols: Sequence[str] = ("openai",)) -> str:
    """Return a `tidemill.toml` with a provider for each protocol, named as it, at the simulator.

    Plain model names belong to the first; the others' are written `PROVIDER/MODEL`.
    """
    sections = []
    for protocol in protocols:
        models = '["sim-*"]' if protocol == protocols[0] else "[]"
        sections.append(
            f'[providers.{protocol}]\nprotocol = "{protocol}"\nmodels = {models}\n'
            f'base_url = "{simulator_url}{PATHS[protocol]}"\n'
        )
        if protocol == "openai":
            sections.append("responses = true\n")
        sections += [
            f'[prices."{protocol}/{model}"]\ninput = "{paid_in}"\noutput = "{paid_out}"\n'
            for model, (paid_in, paid_out) in PRICES.items()
        ]
    return "\n".join(sections)


def lines(count: int, model: str = SMALL, prefix: str = "job", **fields: Any) -> Iterator[Json]:
    """Yield plain jobs that the simulator tells apart: each names itself in its prompt."""
    for number in range(count):
        custom_id = f"{prefix}-{number:06d}"
        prompt = f"[job:{custom_id}] Say something about number {number}."
        yield {"custom_id": custom_id, "model": model, "prompt": prompt, **fields}


def ndjson(jobs: Iterable[Json]) -> bytes:
    """Return the jobs as a body."""
    return b"".join(orjson.dumps(job, option=orjson.OPT_APPEND_NEWLINE) for job in jobs)


def finished(batch: Json) -> int:
    """Return how many jobs of the batch have their result."""
    counts: dict[str, int] = batch["counts"]
    return sum(counts[word] for word in ("succeeded", "failed", "cancelled", "expired"))


def wait_for_log(process: ProcessUnderTest, text: str, within_s: float = READY_WITHIN_S) -> None:
    """Return once the process has written `text`.

    Raises:
        AssertionError: it has not in time, or it has ended.
    """

    def written() -> bool:
        if text in process.log():
            return True
        assert process.exit_status is None, f"{process.name} ended\n{process.tail()}"
        return False

    eventually(written, within_s, f"{process.name} writes {text!r}")


def family(process_id: int) -> list[psutil.Process]:
    """Return the descendants of a process; none if it is gone."""
    try:
        return psutil.Process(process_id).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended; one that nobody has waited for counts."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _object(reply: httpx.Response) -> Json:
    assert reply.is_success, f"{reply.status_code}: {reply.text}"
    document: Json = reply.json()
    return document
