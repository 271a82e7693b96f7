"""What dies and what recovers: the lives of Tidemill's processes, each in a process of its own.

They are forked from a server that has everything imported, so that a life costs its work and not its
start. The broker's messages are taken as Celery takes them, without Celery's worker around.
"""

import dataclasses
import faulthandler
import multiprocessing
import os
import queue
import signal
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import orjson
import pytest
from celery import Celery
from kombu.message import Message
from sqlalchemy import update
from sqlmodel import col, select

from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.feed import Feeder
from jobs.ingest import Accepted, Intake
from jobs.lines import LineReader
from jobs.queues import make_celery
from jobs.retry import Retry, prepare, read_again
from jobs.routing import Catalogue
from jobs.settings import Settings
from jobs.states import FINAL_BATCH_STATES, LaneWish, Priority
from jobs.store import Database, now, open_database
from jobs.store.batches.idempotency import Claim, receipt
from jobs.store.batches.uploads import BatchDraft
from jobs.store.workers import WorkerCard
from jobs.tables import Batch, Slice, Worker
from tests.support.crash_points import CountedDatabase, CountedTransport, Life, Point, count_redis
from tests.support.system import Json, configuration, ndjson
from workers.boot import build_parts
from workers.calls.calls import Caller
from workers.clock.sweep import SILENT_UPLOAD, Sweep
from workers.job.next_step import RetryPolicy
from workers.parts import Parts
from workers.runtime import Runtime, RuntimeOptions

QUEUE = "openai"
LONG_AGO = SILENT_UPLOAD + timedelta(minutes=1)
"""Beyond every lease, every message's time, and every upload's."""

LIFE_S = 60
"""A process that lives longer than this is ended: it hangs."""

IDLE_S = 2.0
"""A worker without a message for so long has nothing left to do."""

RECOVERY_ROUNDS = 5
"""How often the sweep and a worker may take turns until everything is done."""

PRELOADED = (
    *("tests.support.crash_stage", "tests.support.crash_lanes"),
    *("tests.support.crash_runs", "tests.support.crash_times"),
    *("httpcore", "anyio._backends._asyncio"),
)
"""Modules with acts, and what else each of their processes would import for itself."""

PROJECT_ID = 1

MAX_COST_NANOS = 2_000_000
"""Of a batch: above all of its calls' worst cases, those of lost ones included."""

SLICE_SIZE = 2
"""Jobs of a slice for each call that may be in flight."""
CHUNK_JOBS = 2


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the processes of one test meet."""

    folder: Path
    database_url: str
    redis_url: str
    provider_url: str
    max_in_flight: int = 1
    """One call at a time, and one row in each flush, make a life the same each time."""

    @property
    def trace(self) -> Path:
        """The operations of the life that was the latest."""
        return self.folder / "operations.jsonl"

    @property
    def log(self) -> Path:
        """What the processes said."""
        return self.folder / "lives.log"

    @property
    def settings(self) -> Settings:
        """The settings of all processes."""
        return Settings(
            home=self.folder,
            database_url=self.database_url,
            broker_url=self.redis_url,
            max_in_flight=self.max_in_flight,
        )

    @property
    def configured(self) -> Configuration:
        """One provider, and what it takes for its models."""
        return Configuration.model_validate(tomllib.loads(configuration(self.provider_url)))

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Open the database, as a bystander."""
        database = open_database(self.database_url)
        try:
            yield database
        finally:
            database.close()

    def operations(self) -> list[dict[str, int]]:
        """Return the operations of the latest life in their order: numbers by names."""
        return [orjson.loads(line) for line in self.trace.read_bytes().splitlines()]


@dataclass(frozen=True, slots=True)
class Cast:
    """What a process has in hand."""

    stage: Stage
    life: Life
    database: Database
    celery: Celery


Act = Callable[[Cast], None]


def play(stage: Stage, act: Act, ends_at: Point | None = None) -> None:
    """Let a process live: to its natural end, or to the point at which it is killed.

    Raises:
        AssertionError: it ended otherwise; most of all, it never came to its point.
    """
    stage.trace.unlink(missing_ok=True)
    stage.trace.touch()
    process = _forks().Process(target=_live, args=(stage, act, ends_at))
    process.start()
    process.join(LIFE_S + 10)
    expected = 0 if ends_at is None else -signal.SIGKILL
    assert process.exitcode == expected, _obituary(stage, process, ends_at)


def _obituary(stage: Stage, process: BaseProcess, ends_at: Point | None) -> str:
    wanted = "to end by itself" if ends_at is None else f"to die {ends_at}"
    said = stage.log.read_text(encoding="utf-8", errors="replace")[-4000:]
    lived = "\n  ".join(map(str, stage.operations()))
    return f"expected {wanted}, ended with {process.exitcode}; it did\n  {lived}\n{said}"


def _forks() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", *PRELOADED])
    return context


def _live(stage: Stage, act: Act, ends_at: Point | None) -> None:
    with stage.log.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    faulthandler.register(signal.SIGALRM, chain=True)  # one that hangs says where
    signal.alarm(LIFE_S)
    patch = pytest.MonkeyPatch()
    make_small(patch)
    if stage.max_in_flight == 1:
        patch.setattr("workers.writer.ROWS_PER_FLUSH", 1)
    life = Life(stage.trace, ends_at)
    count_redis(patch, life)
    database = CountedDatabase(open_database(stage.database_url), life)
    act(Cast(stage, life, database, make_celery(stage.settings)))
    database.close()


def make_small(patch: pytest.MonkeyPatch) -> None:
    """Shrink what is measured in hundreds of jobs or in seconds, so that a few jobs meet all of it."""
    patch.setattr("jobs.reading.CHUNK_JOBS", CHUNK_JOBS)
    patch.setattr("jobs.store.leases.feeding.WINDOW_PER_WORKER", 1)
    patch.setattr("jobs.store.leases.feeding.OWN_PLACES_PER_WORKER", 1)
    patch.setattr("workers.job.blame.DOUBT_S", (0.05, 0.2))
    patch.setattr("workers.job.job_run.RetryPolicy", partial(RetryPolicy, first_wait_s=0.01))


# The lives


def accept(
    cast: Cast,
    lines: list[Json],
    *,
    priority: Priority = Priority.NORMAL,
    claim: Claim | None = None,
    lane: LaneWish = LaneWish.LIVE,
    **given: str,
) -> Accepted:
    """Take a batch in; nothing is fed yet. `given` are more defaults of its jobs."""
    defaults = JobDefaults.from_query({"max_tokens": "30", **given})
    draft = BatchDraft(
        PROJECT_ID, defaults.to_json(), priority=priority, max_cost_nanos=MAX_COST_NANOS, lane=lane
    )
    reader = LineReader(defaults, Catalogue(cast.stage.configured))
    size = SLICE_SIZE * cast.stage.max_in_flight
    intake = Intake(cast.database, draft, reader, slice_size=size, max_jobs=1000, claim=claim)
    intake.take(ndjson(lines))
    return intake.accept(b"digest")


def retry(cast: Cast) -> None:
    """Make a retry of the first batch and feed it, as the API does; with the same key each time."""
    claim = Claim.of(PROJECT_ID, "again")
    with cast.database.read() as session:
        if receipt(session, claim) is not None:
            return
        first = session.exec(select(Batch.ref).order_by(col(Batch.id))).first()
        assert first is not None  # which was submitted before
        prepared = prepare(session, Retry(PROJECT_ID, first, {"reuse": "1h"}))
    reader = LineReader(prepared.defaults, Catalogue(cast.stage.configured))
    size = SLICE_SIZE * cast.stage.max_in_flight
    intake = Intake(
        cast.database, prepared.draft, reader, slice_size=size, max_jobs=1000, claim=claim
    )
    read_again(cast.database, prepared, intake)
    feed(cast, intake.accept(b"digest"))


def submit(cast: Cast, lines: list[Json]) -> None:
    """Take a batch in and feed it, as the API does; with the same key each time, so only once."""
    claim = Claim.of(PROJECT_ID, "key")
    with cast.database.read() as session:
        if receipt(session, claim) is not None:
            return
    feed(cast, accept(cast, lines, claim=claim))


def feed(cast: Cast, accepted: Accepted) -> None:
    """Feed what was accepted."""
    feeder = Feeder(cast.database, cast.celery)
    for name in accepted.queues:
        feeder.feed(name)


def sweep(cast: Cast) -> None:
    """Do each duty once."""
    Sweep(cast.database, cast.celery).run()


def work(cast: Cast) -> None:
    """Be a worker until no message comes any more."""
    with _worker(cast) as runtime:
        _take_messages(cast, runtime)


def recover(cast: Cast) -> None:
    """Be what is left of the fleet when everybody else was killed some time ago.

    Raises:
        AssertionError: it doesn't get done.
    """
    with _worker(cast) as runtime:
        for _ in range(RECOVERY_ROUNDS):
            let_time_pass(Database(cast.database.engine))  # which is not counted
            sweep(cast)
            if is_all_final(cast.database):
                return
            _take_messages(cast, runtime)
        assert is_all_final(cast.database), "there are batches that nobody brings to their end"


@contextmanager
def _worker(cast: Cast) -> Iterator[Runtime]:
    card = WorkerCard(
        id=f"worker-{os.getpid()}", host="host", pid=os.getpid(), queues=(QUEUE,), slots=1
    )
    options = RuntimeOptions(
        settings=cast.stage.settings,
        configuration=cast.stage.configured,
        card=card,
        build=lambda: _counted_parts(cast, card.id),
    )
    runtime = Runtime(options)
    runtime.start()
    yield runtime
    runtime.stop()


def _counted_parts(cast: Cast, process: str) -> Parts:
    stage = cast.stage
    parts = build_parts(stage.settings, stage.configured, cast.database, cast.celery, process)
    transport = CountedTransport(parts.transport, cast.life, stage.provider_url)
    caller = Caller(transport, deadline_s=stage.settings.call_deadline_s)
    return dataclasses.replace(parts, transport=transport, caller=caller)


def _take_messages(cast: Cast, runtime: Runtime) -> None:
    """Run the slices that messages name, one after the other, until there is nothing to wait for."""
    with cast.celery.connection_for_read() as connection:
        messages = connection.SimpleQueue(QUEUE)
        idle_since = time.monotonic()
        while time.monotonic() < idle_since + IDLE_S and not is_all_final(cast.database):
            try:
                message: Message = messages.get(timeout=0.05)
            except queue.Empty:
                continue
            (batch_ref, slice_no), _named, _embedded = message.payload
            runtime.run_slice(batch_ref, slice_no)
            message.ack()
            idle_since = time.monotonic()
        messages.close()


# Time, and its end


def let_time_pass(database: Database) -> None:
    """Make leases, messages, waits and signs of life so old that nobody waits for them any more."""
    with database.write() as session:
        past = now(session) - LONG_AGO
        connection = session.connection()
        connection.execute(
            update(Slice).where(col(Slice.lease_until).is_not(None)).values(lease_until=past)
        )
        connection.execute(update(Slice).values(fed_at=past, not_before=None))
        connection.execute(update(Worker).values(seen_at=past))
        # One that is being deleted is older already, and stays so.
        connection.execute(
            update(Batch).where(col(Batch.touched_at) > past).values(touched_at=past)
        )


def is_all_final(database: Database) -> bool:
    """Whether every batch has ended."""
    with database.read() as session:
        states = session.exec(select(Batch.state)).all()
    return all(state in FINAL_BATCH_STATES for state in states)
