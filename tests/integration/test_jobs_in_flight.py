"""What a worker is seen to hold, on both databases."""

from datetime import timedelta

from jobs.clock import utcnow
from jobs.exchange import Usage
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.held import first_result_after, slices_held
from jobs.store.reports import ResultDraft, Settlement
from jobs.store.settlement import flush
from jobs.store.workers import WorkerCard, beat
from tests.support.rows import journal_of, lease_of, seed_batch

CARD = WorkerCard("worker-1", "here", 4711, ("sim",), 128)
USAGE = Usage(input_tokens=4, cached_input_tokens=1, cache_write_tokens=2, output_tokens=3)


def one_answered_and_one_in_flight(database: Database) -> None:
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
