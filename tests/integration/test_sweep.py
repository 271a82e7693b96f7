"""Each duty of the sweep, on both databases: what was lost is found, and nothing is done twice."""

import logging
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import redis
from celery import Celery
from sqlalchemy import update
from sqlmodel import SQLModel, col, func, select

from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.errors import IllegalTransition
from jobs.feed import Feeder
from jobs.ingest import Intake
from jobs.lines import LineReader
from jobs.queues import make_celery, queue_length
from jobs.reading import CHUNK_JOBS
from jobs.routing import Catalogue
from jobs.settings import Settings
from jobs.states import BatchState, Outcome, ResultStatus, SliceState
from jobs.store import Database, now, workers
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.batches import batches, uploads
from jobs.store.batches.uploads import BatchDraft
from jobs.store.leases import leases, slices
from jobs.store.money.settlement import flush
from jobs.store.projects import ensure_project
from jobs.store.workers import FORGOTTEN, WorkerCard
from jobs.tables import Attempt, Batch, Job, Result, Slice, Worker
from tests.support.eventually import eventually
from tests.support.rows import age_messages, batch_of, journal_of, lease_of, seed_batch
from tests.support.system import configuration, lines, ndjson
from workers.clock.sweep import PER_SWEEP, SILENT_UPLOAD, Sweep

QUEUE = "sim"


@pytest.fixture
def celery(redis_url: str) -> Celery:
    return make_celery(Settings(broker_url=redis_url))


@pytest.fixture
def sweep(database: Database, celery: Celery) -> Sweep:
    return Sweep(database, celery)


def rows(database: Database, table: type[SQLModel]) -> int:
    with database.read() as session:
        return session.exec(select(func.count()).select_from(table)).one()


def slice_states(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.exec(select(Slice.state).order_by(col(Slice.batch_id), col(Slice.no))))


def age_leases(database: Database) -> None:
    with database.write() as session:
        past = now(session) - timedelta(seconds=1)
        session.connection().execute(update(Slice).values(lease_until=past))


def age_uploads(database: Database, silent: timedelta) -> None:
    with database.write() as session:
        session.connection().execute(update(Batch).values(touched_at=now(session) - silent))


def answer(database: Database, lease: leases.Lease, seqs: range) -> None:
    journals = [journal_of(lease, seq) for seq in seqs]
    good = ResultDraft(ResultStatus.SUCCEEDED, output='""')
    with database.write() as session:
        flush(session, journals, [])
        flush(session, [], [Settlement(j, Outcome.SUCCEEDED, result=good) for j in journals])


# Leases


def test_a_dead_workers_slices_are_free_again_and_its_open_calls_unknown(
    database: Database, sweep: Sweep
) -> None:
    ref = seed_batch(database, jobs=30)
    lease = lease_of(database, ref, 0)
    with database.write() as session:
        flush(session, [journal_of(lease, 0), journal_of(lease, 1)], [])
    age_leases(database)
    alive = lease_of(database, ref, 1)
    sweep.expire_leases()
    sweep.expire_leases()
    assert slice_states(database) == [SliceState.FED, SliceState.LEASED, SliceState.WAITING]
    batch = batch_of(database, ref)
    assert (batch.unknown_attempts, batch.in_flight, batch.spent_nanos) == (2, 0, 200)
    with database.write() as session:
        assert not leases.finish(session, alive)  # it still holds its own, and that has open jobs


def test_more_leases_than_one_sweep_takes_are_left_to_the_next(
    database: Database, sweep: Sweep
) -> None:
    ref = seed_batch(database, jobs=PER_SWEEP + 5, slice_size=1)
    for number in range(PER_SWEEP + 5):
        lease_of(database, ref, number)
    age_leases(database)
    sweep.expire_leases()
    assert slice_states(database).count(SliceState.LEASED) == 5
    sweep.expire_leases()
    assert set(slice_states(database)) == {SliceState.FED}


# Clocks that are set


HOUR = timedelta(hours=1)


class Steady:
    """A clock of the test's. The database's own can't be set here, so it is this one that moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.seconds


@pytest.fixture
def steady() -> Steady:
    return Steady()


@pytest.fixture
def watching(database: Database, celery: Celery, steady: Steady) -> Sweep:
    """A sweep that knows how the clocks stand to each other."""
    sweep = Sweep(database, celery, steady)
    sweep.run()
    return sweep


def shift_slices(database: Database, by: timedelta) -> None:
    """Let the times of all slices look as they do after the database's clock was set."""
    with database.write() as session:
        for piece in session.exec(select(Slice)):
            for name in ("lease_until", "fed_at", "not_before"):
                if (at := getattr(piece, name)) is not None:
                    setattr(piece, name, at + by)
            session.add(piece)


def test_a_clock_that_was_set_forward_takes_no_slice_from_a_living_worker(
    database: Database, watching: Sweep, steady: Steady
) -> None:
    ref = seed_batch(database, jobs=20)
    alive, _dead = lease_of(database, ref, 0, "alive"), lease_of(database, ref, 1, "dead")
    shift_slices(database, -HOUR)
    steady.seconds -= HOUR.total_seconds()
    watching.run()
    assert slice_states(database) == [SliceState.LEASED, SliceState.LEASED]
    with database.write() as session:
        leases.renew(session, "alive", [(alive.batch_id, 0)])
    steady.seconds += slices.LEASE.total_seconds()
    watching._ahead_s = None  # those seconds have passed for the database as well
    watching.run()
    assert slice_states(database) == [SliceState.LEASED, SliceState.FED]


def test_what_a_clock_that_was_set_back_puts_off_is_due_as_usual(
    database: Database, watching: Sweep, steady: Steady
) -> None:
    ref = seed_batch(database, jobs=40)
    lease_of(database, ref, 0, "dead")
    waits = lease_of(database, ref, 1)
    with database.write() as session:
        leases.give_back(session, waits, wait_s=30.0)
    watching.feed()  # messages for the other two
    shift_slices(database, HOUR)
    steady.seconds += HOUR.total_seconds()
    watching.run()
    with database.read() as session:
        leased, waiting, *fed = session.exec(select(Slice).order_by(col(Slice.no))).all()
        moment = now(session)
    assert leased.lease_until is not None
    assert leased.lease_until <= moment + slices.LEASE
    assert waiting.not_before is not None
    assert waiting.not_before <= moment + timedelta(seconds=slices.LONGEST_WAIT_S)
    assert len(fed) == 2
    assert all(piece.fed_at is not None and piece.fed_at <= moment for piece in fed)


def test_an_upload_that_died_before_the_clock_was_set_back_is_known_to_be_dead(
    database: Database, watching: Sweep, steady: Steady
) -> None:
    """It held its key for the hour, and whoever sent it again was told that it is in progress."""
    with database.write() as session:
        project_id = ensure_project(session, "default")
        draft = BatchDraft(project_id=project_id, defaults="{}", max_cost_nanos=None)
        batch_id, _ref = uploads.begin(session, draft)
        ahead = now(session) + HOUR
        session.execute(update(Batch).where(col(Batch.id) == batch_id).values(touched_at=ahead))
    steady.seconds += HOUR.total_seconds()
    watching.run()
    with database.read() as session:
        assert uploads.abandoned(session, now(session)) == [batch_id]


# Cancelled batches


def test_a_cancelled_batch_that_nobody_holds_is_answered_in_one_sweep(
    database: Database, sweep: Sweep
) -> None:
    ref = seed_batch(database, jobs=2 * PER_SWEEP + 50, slice_size=1)
    with database.write() as session:
        batches.move(session, 1, ref, BatchState.CANCELLING)
    for _ in range(2):
        sweep.cancel_batches()
        batch = batch_of(database, ref)
        assert (batch.state, batch.cancelled) == (BatchState.CANCELLED, 2 * PER_SWEEP + 50)
    assert rows(database, Result) == 2 * PER_SWEEP + 50


def test_a_slice_of_a_cancelled_batch_that_a_worker_holds_is_left_to_it(
    database: Database, sweep: Sweep
) -> None:
    ref = seed_batch(database, jobs=20)
    lease = lease_of(database, ref, 0)
    answer(database, lease, range(4))
    with database.write() as session:
        batches.move(session, 1, ref, BatchState.CANCELLING)
    sweep.cancel_batches()
    batch = batch_of(database, ref)
    assert (batch.state, batch.cancelled) == (BatchState.CANCELLING, 10)
    with database.write() as session:
        leases.give_back(session, lease)
    sweep.cancel_batches()
    batch = batch_of(database, ref)
    assert (batch.state, batch.succeeded, batch.cancelled) == (BatchState.CANCELLED, 4, 16)


# Batches that nobody finalised


# Messages


def test_every_queue_with_waiting_slices_is_fed(
    database: Database, sweep: Sweep, celery: Celery
) -> None:
    seed_batch(database, jobs=30)
    seed_batch(database, jobs=20, queue="other")
    sweep.feed()
    assert (queue_length(celery, QUEUE), queue_length(celery, "other")) == (3, 2)
    sweep.feed()
    assert (queue_length(celery, QUEUE), queue_length(celery, "other")) == (3, 2)


def test_a_flushed_broker_gets_every_message_again(
    database: Database, sweep: Sweep, celery: Celery, redis_url: str
) -> None:
    seed_batch(database, jobs=50)
    sweep.feed()
    with redis.Redis.from_url(redis_url) as broker:
        broker.flushdb()
    sweep.publish_lost()
    assert queue_length(celery, QUEUE) == 0  # they may be on their way to a worker
    age_messages(database)
    sweep.publish_lost()
    assert queue_length(celery, QUEUE) == 5
    sweep.publish_lost()
    assert queue_length(celery, QUEUE) == 5


def test_messages_that_wait_behind_others_are_not_lost(
    database: Database, sweep: Sweep, celery: Celery
) -> None:
    seed_batch(database, jobs=50)
    sweep.feed()
    age_messages(database)
    sweep.publish_lost()
    assert queue_length(celery, QUEUE) == 5


def test_a_slice_that_a_worker_holds_has_lost_no_message(
    database: Database, sweep: Sweep, celery: Celery
) -> None:
    ref = seed_batch(database)
    lease_of(database, ref)
    age_messages(database)
    sweep.publish_lost()
    assert queue_length(celery, QUEUE) == 0


def test_without_a_broker_nothing_breaks_and_all_is_published_when_it_is_back(
    database: Database, celery: Celery
) -> None:
    seed_batch(database, jobs=50)
    nowhere = make_celery(Settings(broker_url="redis://127.0.0.1:9"))
    Sweep(database, nowhere).run()
    assert set(slice_states(database)) == {SliceState.FED}
    age_messages(database)
    Sweep(database, nowhere).run()
    age_messages(database)
    Sweep(database, celery).run()
    assert queue_length(celery, QUEUE) == 5


# Uploads


@pytest.fixture
def intake(database: Database) -> Intake:
    """An upload of which two chunks are stored and the rest never comes."""
    configured = Configuration.model_validate(tomllib.loads(configuration("http://sim")))
    reader = LineReader(JobDefaults(), Catalogue(configured))
    with database.write() as session:
        draft = BatchDraft(ensure_project(session, "default"), JobDefaults().to_json())
    intake = Intake(database, draft, reader, slice_size=1000, max_jobs=100_000)
    intake.take(ndjson(lines(2 * CHUNK_JOBS)))
    return intake


@pytest.mark.parametrize("late_jobs", [0, 1, 2 * CHUNK_JOBS])
def test_an_upload_that_was_given_up_leaves_no_row_and_is_not_accepted_any_more(
    database: Database, sweep: Sweep, intake: Intake, late_jobs: int
) -> None:
    kept = seed_batch(database)
    wait_until_stored(database, 2 * CHUNK_JOBS + 10)
    age_uploads(database, SILENT_UPLOAD + timedelta(seconds=1))
    sweep.drop_abandoned_uploads()
    assert (rows(database, Batch), rows(database, Job), rows(database, Slice)) == (1, 10, 1)
    assert batch_of(database, kept).state == BatchState.QUEUED

    def go_on() -> None:
        intake.take(ndjson(lines(late_jobs, prefix="late")))
        intake.accept()

    with pytest.raises(IllegalTransition, match="no sign of life"):
        go_on()
    intake.abandon()
    assert (rows(database, Batch), rows(database, Job), rows(database, Slice)) == (1, 10, 1)


def wait_until_stored(database: Database, jobs: int) -> None:
    """A chunk is committed while the next one is read, so it may take a moment."""
    eventually(lambda: rows(database, Job) == jobs, what="both chunks are stored")


def test_an_upload_that_is_only_slow_is_accepted(
    database: Database, sweep: Sweep, intake: Intake
) -> None:
    wait_until_stored(database, 2 * CHUNK_JOBS)
    age_uploads(database, SILENT_UPLOAD - timedelta(minutes=1))
    sweep.drop_abandoned_uploads()
    accepted = intake.accept()
    assert batch_of(database, accepted.ref).total_jobs == 2 * CHUNK_JOBS


# Workers


def test_a_worker_that_is_long_silent_is_forgotten_and_no_other(
    database: Database, sweep: Sweep
) -> None:
    with database.write() as session:
        for name in ("silent", "alive"):
            workers.beat(session, WorkerCard(name, "host", 1, (QUEUE,), 8), in_flight=0)
        long_ago = now(session) - FORGOTTEN - timedelta(seconds=1)
        session.connection().execute(
            update(Worker).where(col(Worker.id) == "silent").values(seen_at=long_ago)
        )
    sweep.forget_silent_workers()
    with database.read() as session:
        assert session.exec(select(Worker.id)).all() == ["alive"]


# All together


def test_a_whole_sweep_brings_a_dead_workers_slice_back_to_the_broker(
    database: Database, sweep: Sweep, celery: Celery
) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    with database.write() as session:
        flush(session, [journal_of(lease, 0)], [])
    age_leases(database)
    sweep.run()
    sweep.run()
    assert queue_length(celery, QUEUE) == 1
    assert slice_states(database) == [SliceState.FED]
    with database.read() as session:
        assert session.exec(select(Attempt.outcome)).all() == [Outcome.UNKNOWN]


def test_a_duty_that_fails_keeps_no_other_from_being_done(
    database: Database,
    sweep: Sweep,
    celery: Celery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def expire_leases() -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(sweep, "expire_leases", expire_leases)
    seed_batch(database)
    with caplog.at_level(logging.ERROR):
        sweep.run()
    assert "expire_leases failed" in caplog.text
    assert queue_length(celery, QUEUE) == 1


def test_what_the_api_has_fed_is_not_published_again_by_the_sweep(
    database: Database, sweep: Sweep, celery: Celery
) -> None:
    seed_batch(database, jobs=30)
    Feeder(database, celery).feed(QUEUE)
    sweep.run()
    sweep.run()
    assert queue_length(celery, QUEUE) == 3


def test_three_sweeps_at_once_do_everything_once(
    database: Database, celery: Celery, sweep: Sweep
) -> None:
    lost, cancelled = seed_batch(database, jobs=100), seed_batch(database, jobs=100, queue="other")
    for number in range(5):
        lease = lease_of(database, lost, number)
        with database.write() as session:
            flush(session, [journal_of(lease, 10 * number)], [])
    with database.write() as session:
        batches.move(session, 1, cancelled, BatchState.CANCELLING)
    age_leases(database)
    sweeps = [sweep, Sweep(database, celery), Sweep(database, celery)]
    with ThreadPoolExecutor(len(sweeps)) as threads:
        for _ in range(3):
            list(threads.map(lambda each: each.run(), sweeps))
    batch = batch_of(database, lost)
    assert (batch.unknown_attempts, batch.in_flight, batch.spent_nanos) == (5, 0, 500)
    assert batch.reserved_nanos == 0
    assert slice_states(database).count(SliceState.FED) == 10
    assert queue_length(celery, QUEUE) == 10
    ended = batch_of(database, cancelled)
    assert (ended.state, ended.cancelled) == (BatchState.CANCELLED, 100)
    assert rows(database, Result) == 100
