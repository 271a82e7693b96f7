"""What it costs that many listen to a batch: the API's CPU and memory, and what the database is asked.

The API runs alone, as its own process. The batch's jobs are settled from here, a few each second, just
as a worker would.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import psutil
from rich.console import Console

from jobs.exchange import Usage
from jobs.settings import Settings
from jobs.states import Outcome, ResultStatus
from jobs.store import Database, ensure_first_key, migrate, open_database
from jobs.store.attempts.reports import Journal, ResultDraft, Settlement
from jobs.store.batches import uploads
from jobs.store.batches.jobs import SliceRange, insert_chunk, insert_slices
from jobs.store.batches.uploads import BatchDraft
from jobs.store.leases import leases
from jobs.store.money.settlement import flush
from jobs.store.projects import ensure_project
from scripts.benchmarks.cases import Store
from scripts.benchmarks.meter import memory_bytes
from scripts.benchmarks.stores import Servers, own_rows
from scripts.benchmarks.system import HOST, own_home, running_parts
from scripts.launcher.part import Part, tidemill
from scripts.launcher.ready import answers, free_port

JOBS_S = 20
"""Results per second, each sent to everybody: what a person reads along with is far less."""

SETTLES_S = 1.0
READY_WITHIN_S = 60.0
OUTPUT = '"' + "The mill grinds as long as there is water in its pond. " * 6 + '"'


@dataclass(frozen=True, slots=True)
class ListenersPlan:
    """How many listen, at the same time, for how long."""

    listeners: Sequence[int] = (0, 1, 100, 1000)
    seconds: int = 20


SMALL_LISTENERS = ListenersPlan(listeners=(0, 20), seconds=3)


@dataclass(frozen=True, slots=True)
class Listening:
    """What so many listeners cost: shares of one CPU, bytes, and transactions per second.

    `lag_s` is the longest that a listener waited for a result after its commit.
    """

    listeners: int
    with_results: bool
    cpu_share: float
    memory_bytes: int
    transactions_s: float
    events: int
    missed: int
    lag_s: float


def measure_listeners(
    plan: ListenersPlan, servers: Servers, say: Callable[[str], None]
) -> list[Listening]:
    """Measure each number of listeners, without results and with them."""
    measured = []
    with own_home() as home, own_rows(Store.POSTGRES, servers) as place:
        settings = Settings(home=home, database_url=place.database_url)
        database = open_database(settings.resolved_database_url(), connections=2)
        try:
            migrate(database)
            key = ensure_first_key(database, home).read_text(encoding="utf-8").strip()
            port = free_port()
            environment = {
                "TIDEMILL_HOME": str(home),
                "TIDEMILL_DATABASE_URL": place.database_url,
                "TIDEMILL_BROKER_URL": f"redis+socket://{settings.embedded_socket()}",
            }
            argv = tidemill("api", "--host", HOST, "--port", str(port))
            with running_parts([Part("api", argv, environment)], home) as processes:
                _wait_until_ready(port)
                api = psutil.Process(processes["api"].pid)
                for listeners in plan.listeners:
                    for with_results in (False, True) if listeners else (False,):
                        say(f"{listeners} listeners{' with results' if with_results else ''}")
                        audience = Audience(port, key, listeners, with_results)
                        measured.append(
                            asyncio.run(_measure(database, api, audience, plan.seconds))
                        )
        finally:
            database.close()
    return measured


def print_listeners(output: Console, measured: Sequence[Listening]) -> None:
    """Print the figures as a table in Markdown."""
    output.print(
        "| listeners | told of | CPU of the API | its memory | transactions/s | events | missed | latest |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    for run in measured:
        told_of = "results and progress" if run.with_results else "progress"
        output.print(
            f"| {run.listeners:,} | {told_of if run.listeners else 'nothing'} | {run.cpu_share:.1%} | "
            f"{run.memory_bytes / 1e6:,.0f} MB | {run.transactions_s:.1f} | {run.events:,} | "
            f"{run.missed:,} | {run.lag_s:.2f} s |"
        )


class Audience:
    """Listeners on one batch, by plain sockets: what they cost themselves must not matter."""

    def __init__(self, port: int, key: str, count: int, with_results: bool) -> None:
        self._port = port
        self._key = key
        self.count = count
        self.with_results = with_results
        self.events = 0
        self.results = 0
        self.lag_s = 0.0
        self.settled_at: dict[int, float] = {}

    async def listen(self, ref: str, kept: AsyncExitStack) -> None:
        """Let everybody listen to a batch until `kept` is closed."""
        for begin in range(0, self.count, 100):
            await asyncio.gather(
                *(self._join(ref, kept) for _ in range(min(100, self.count - begin)))
            )

    async def _join(self, ref: str, kept: AsyncExitStack) -> None:
        reader, writer = await asyncio.open_connection(HOST, self._port)
        query = "?results=true" if self.with_results else ""
        writer.write(
            f"GET /api/batches/{ref}/events{query} HTTP/1.1\r\nhost: {HOST}\r\n"
            f"x-api-key: {self._key}\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        kept.callback(writer.close)
        reading = asyncio.create_task(self._read(reader))
        kept.callback(reading.cancel)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 16):
            self.events += data.count(b"event: ")
            self.results += data.count(b"event: result")
            at = data.rfind(b"\nid: ")
            if at >= 0 and self.settled_at:
                position = int(data[at + 5 : data.find(b"\n", at + 5)].split(b"-")[0] or b"0")
                settled = self.settled_at.get(position)
                if settled is not None:
                    self.lag_s = max(self.lag_s, time.monotonic() - settled)


async def _measure(
    database: Database, api: psutil.Process, audience: Audience, seconds: int
) -> Listening:
    jobs = JOBS_S * seconds
    ref, lease = await asyncio.to_thread(_seed, database, jobs)
    async with AsyncExitStack() as kept:
        await audience.listen(ref, kept)
        await asyncio.sleep(2 * SETTLES_S)  # what joining costs is over
        audience.events = audience.results = 0
        began, cpu_began_s = time.monotonic(), sum(api.cpu_times()[:2])
        before = await asyncio.to_thread(_transactions, database)
        for second in range(seconds):
            first = second * JOBS_S
            await asyncio.to_thread(_settle, database, lease, first)
            settled = time.monotonic()
            audience.settled_at |= {first + n + 1: settled for n in range(JOBS_S)}
            await asyncio.sleep(max(0.0, began + (second + 1) * SETTLES_S - time.monotonic()))
        took_s = time.monotonic() - began
        cpu_s = sum(api.cpu_times()[:2]) - cpu_began_s
        # The last step, and what the server tells a second later of its count.
        await asyncio.sleep(3 * SETTLES_S)
        after = await asyncio.to_thread(_transactions, database)
        expected = audience.count * jobs if audience.with_results else 0
        return Listening(
            listeners=audience.count,
            with_results=audience.with_results,
            cpu_share=cpu_s / took_s,
            memory_bytes=memory_bytes(api),
            transactions_s=max(0.0, (after - before - 2 * seconds) / (took_s + 3 * SETTLES_S)),
            events=audience.events,
            missed=expected - audience.results,
            lag_s=audience.lag_s,
        )


def _seed(database: Database, jobs: int) -> tuple[str, leases.Lease]:
    with database.write() as session:
        project_id = ensure_project(session, "default")
        batch_id, ref = uploads.begin(session, BatchDraft(project_id=project_id, defaults="{}"))
        rows = [
            (batch_id, seq, f"job-{seq}", "generation", "sim", "{}", 10, b"f" * 16, None)
            for seq in range(jobs)
        ]
        insert_chunk(session, rows)
        insert_slices(session, batch_id, [SliceRange(0, "sim", 0, jobs - 1, jobs)])
        uploads.accept(session, batch_id, total_jobs=jobs, total_slices=1)
    with database.write() as session:
        claimed = leases.claim(session, ref, 0, "bench")
    assert claimed is not None  # nobody else works here
    return ref, claimed[0]


def _settle(database: Database, lease: leases.Lease, first: int) -> None:
    journals = [
        Journal(lease, seq, 1, "sim", "main", "small", None, 0)
        for seq in range(first, first + JOBS_S)
    ]
    result = ResultDraft(ResultStatus.SUCCEEDED, output=OUTPUT, finish_reason="complete")
    with database.write() as session:
        flush(session, journals, [])
    with database.write() as session:
        flush(
            session,
            [],
            [
                Settlement(one, Outcome.SUCCEEDED, usage=Usage(100, 0, 0, 60), result=result)
                for one in journals
            ],
        )


def _transactions(database: Database) -> int:
    """Return how many transactions this database has seen; this question is none of them yet."""
    with database.read() as session:
        count = session.connection().exec_driver_sql(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )
        return int(count.scalar_one())


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not answers(HOST, port, "/readyz"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the API is not ready after {READY_WITHIN_S:g} s")
        time.sleep(0.05)
