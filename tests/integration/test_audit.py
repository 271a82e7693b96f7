"""What somebody who checks the rows is told, on both databases."""

from datetime import timedelta

from jobs.clock import utcnow
from jobs.exchange import Usage
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.audit import every_attempt, first_result_after, slices_held
from jobs.store.projects import ensure_project
from jobs.store.reports import ResultDraft, Settlement
from jobs.store.settlement import flush
from jobs.store.workers import WorkerCard, beat
from tests.support.rows import journal_of, lease_of, seed_batch

CARD = WorkerCard("worker-1", "here", 4711, ("sim",), 128)
USAGE = Usage(input_tokens=4, cached_input_tokens=1, cache_write_tokens=2, output_tokens=3)


def one_answered_and_one_in_flight(database: Database) -> str:
    """Of the first of two slices, both of which `CARD` holds."""
    ref = seed_batch(database, jobs=20, slice_size=10)
    with database.write() as session:
        beat(session, CARD, 2)
    lease = lease_of(database, ref, 0, CARD.id)
    lease_of(database, ref, 1, CARD.id)
    journals = [journal_of(lease, 0), journal_of(lease, 7)]
    with database.write() as session:
        flush(session, journals, [])
    answer = ResultDraft(ResultStatus.SUCCEEDED, output='"fine"', finish_reason="complete")
    ending = Settlement(journals[0], Outcome.SUCCEEDED, USAGE, 40, 5, result=answer)
    with database.write() as session:
        flush(session, [], [ending])
    return ref


def test_every_attempt_is_told_by_the_names_that_the_outside_world_has(database: Database) -> None:
    ref = one_answered_and_one_in_flight(database)
    with database.read() as session:
        seen = {one.custom_id: one for one in every_attempt(session, 1)}
    answered, open_one = seen["job-0"], seen["job-7"]
    assert (answered.batch_ref, answered.outcome) == (ref, Outcome.SUCCEEDED)
    assert (answered.input_tokens, answered.output_tokens, answered.cost_nanos) == (7, 3, 40)
    assert (open_one.outcome, open_one.input_tokens, open_one.reserved_nanos) == (None, None, 100)


def test_another_projects_attempts_are_not_told(database: Database) -> None:
    one_answered_and_one_in_flight(database)
    with database.write() as session:
        other_id = ensure_project(session, "other")
        assert list(every_attempt(session, other_id)) == []


def test_a_worker_holds_its_slices_with_the_calls_that_are_in_flight(database: Database) -> None:
    one_answered_and_one_in_flight(database)
    with database.read() as session:
        held = slices_held(session, CARD.pid)
        assert slices_held(session, CARD.pid + 1) == []
    assert sorted((p.first_seq, p.last_seq, p.open_attempts) for p in held) == [
        (0, 9, 1),
        (10, 19, 0),
    ]


def test_the_first_result_of_a_slice_counts_after_the_moment_that_was_asked_for(
    database: Database,
) -> None:
    one_answered_and_one_in_flight(database)
    with database.read() as session:
        first, second = sorted(slices_held(session, CARD.pid), key=lambda piece: piece.first_seq)
        now = utcnow()
        found = first_result_after(session, first, now - timedelta(minutes=1))
        assert found is not None
        assert abs(found - now) < timedelta(seconds=30)
        assert first_result_after(session, first, found) is None
        assert first_result_after(session, second, now - timedelta(minutes=1)) is None
