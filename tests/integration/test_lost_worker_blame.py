"""What the rows tell of jobs whose workers are lost, on both databases."""

from datetime import timedelta

from sqlalchemy import update
from sqlmodel import col, select

from jobs.states import CUT_OFF, WORKER_LOST, Outcome, SliceState
from jobs.store import Database, now, workers
from jobs.store.attempts.reports import PartDraft, Settlement
from jobs.store.batches.jobs import OpenJob
from jobs.store.leases import leases, lost_leases
from jobs.store.money.settlement import flush
from jobs.store.workers import ALIVE, FORGOTTEN, WorkerCard
from jobs.tables import Attempt, Slice, Worker
from tests.support.rows import journal_of, leased, seed_batch
from workers.job.suspicion import is_poison, is_suspect


def lose_worker(database: Database, ref: str, name: str) -> None:
    """Let a worker begin a call for the first job of slice 0, and die."""
    with database.write() as session:
        workers.beat(session, WorkerCard(name, "host", 1, ("sim",), 8), in_flight=1)
    lease, [job, *_] = leased(database, ref, owner=name)
    with database.write() as session:
        flush(session, [journal_of(lease, job.seq, job.last_attempt + 1)], [])
    with database.write() as session:
        connection = session.connection()
        long_ago = now(session) - ALIVE - timedelta(seconds=1)
        connection.execute(update(Attempt).values(sent_at=long_ago))
        connection.execute(update(Worker).where(col(Worker.id) == name).values(seen_at=long_ago))
        connection.execute(
            update(Slice).where(col(Slice.owner) == name).values(lease_until=long_ago)
        )
        assert lost_leases.expire(session, lease.batch_id, lease.slice_no)


def lease_is_over(database: Database) -> None:
    """Let the slice be leased again, by whoever looks next."""
    with database.write() as session:
        session.connection().execute(
            update(Slice).values(state=SliceState.WAITING, owner=None, lease_until=None)
        )


def first_jobs(database: Database, ref: str) -> tuple[OpenJob, OpenJob]:
    _lease, [first, second, *_] = leased(database, ref, owner="who looks")
    return first, second


def test_a_job_knows_how_many_workers_it_lost_and_how_many_died(database: Database) -> None:
    ref = seed_batch(database)
    for name in ("one", "two", "three"):
        lose_worker(database, ref, name)
    first, second = first_jobs(database, ref)
    assert (first.last_attempt, first.counted_attempts) == (3, 0)
    assert (first.lost_workers, first.deaths_since) == (3, 3)
    assert (second.lost_workers, second.deaths_since) == (0, 0)


def test_a_part_that_was_answered_speaks_for_its_job(database: Database) -> None:
    """A job of hundreds of parts is in flight whenever its worker dies, of whatever."""
    ref = seed_batch(database)
    for name in ("one", "two"):
        lose_worker(database, ref, name)
    lease, [job, *_] = leased(database, ref)
    journal = journal_of(lease, job.seq, job.last_attempt + 1)
    answered = Settlement(
        journal=journal, outcome=Outcome.SUCCEEDED, cost_nanos=9, part=PartDraft(0, '"one"')
    )
    with database.write() as session:
        flush(session, [journal], [])
        flush(session, [], [answered])
        leases.give_back(session, lease)
    lose_worker(database, ref, "three")
    first, _second = first_jobs(database, ref)
    assert (first.last_attempt, first.lost_workers, first.parts) == (4, 1, ('"one"',))


def test_workers_that_die_elsewhere_speak_for_the_job(database: Database) -> None:
    ref = seed_batch(database)
    for name in ("one", "two"):
        lose_worker(database, ref, name)
    with database.write() as session:
        for number in range(5):
            workers.beat(session, WorkerCard(f"other-{number}", "host", 1, ("sim",), 8), 0)
        session.flush()
        dead = now(session) - ALIVE - timedelta(seconds=1)
        session.connection().execute(update(Worker).values(seen_at=dead))
        workers.beat(session, WorkerCard("alive", "host", 1, ("sim",), 8), in_flight=0)
    first, _second = first_jobs(database, ref)
    assert (first.lost_workers, first.deaths_since) == (2, 7)


def test_deaths_are_remembered_as_long_as_the_calls_that_they_cut_off(database: Database) -> None:
    ref = seed_batch(database)
    for night in range(3):
        lose_worker(database, ref, f"of night {night}")
        with database.write() as session:
            for number in range(9):
                workers.beat(session, WorkerCard(f"{night}-{number}", "host", 1, ("sim",), 8), 0)
            session.flush()
            dead = now(session) - ALIVE - timedelta(seconds=1)
            session.connection().execute(update(Worker).values(seen_at=dead))
    first, _second = first_jobs(database, ref)
    assert (first.lost_workers, first.deaths_since) == (3, 30)
    lease_is_over(database)
    for age in (FORGOTTEN - timedelta(seconds=1), FORGOTTEN + timedelta(seconds=1)):
        with database.write() as session:
            then = now(session) - age
            session.connection().execute(update(Attempt).values(sent_at=then))
            session.connection().execute(update(Worker).values(seen_at=then))
            workers.forget_silent(session)
        first, _second = first_jobs(database, ref)
        lease_is_over(database)
        assert not is_suspect(first)
        assert not is_poison(first)


def test_a_call_that_its_worker_cuts_off_to_stop_is_no_lost_worker(database: Database) -> None:
    ref = seed_batch(database)
    for _stop in range(3):
        lease, [job, *_] = leased(database, ref)
        with database.write() as session:
            flush(session, [journal_of(lease, job.seq, job.last_attempt + 1)], [])
            leases.give_back(session, lease)
    first, _second = first_jobs(database, ref)
    assert (first.last_attempt, first.counted_attempts, first.lost_workers) == (3, 0, 0)


def test_unknown_attempts_say_why(database: Database) -> None:
    ref = seed_batch(database)
    lose_worker(database, ref, "one")
    lease, [job, *_] = leased(database, ref)
    with database.write() as session:
        flush(session, [journal_of(lease, job.seq, job.last_attempt + 1)], [])
        leases.give_back(session, lease)
    with database.read() as session:
        rows = session.exec(select(Attempt.outcome, Attempt.error_code).order_by(col(Attempt.n)))
        assert rows.all() == [(Outcome.UNKNOWN, WORKER_LOST), (Outcome.UNKNOWN, CUT_OFF)]
