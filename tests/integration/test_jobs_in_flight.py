"""What a worker is seen to have in flight, on both databases."""

from jobs.exchange import Usage
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.batches.jobs import seqs_of
from jobs.store.leases.in_flight import jobs_in_flight
from jobs.store.money.settlement import flush
from jobs.store.workers import WorkerCard, beat
from tests.support.rows import journal_of, lease_of, seed_batch

CARD = WorkerCard("worker-1", "here", 4711, ("sim",), 128)
USAGE = Usage(input_tokens=4, cached_input_tokens=1, cache_write_tokens=2, output_tokens=3)


def test_a_worker_has_those_jobs_in_flight_that_it_has_called_for_and_not_settled(
    database: Database,
) -> None:
    ref = seed_batch(database, jobs=20, slice_size=10)
    with database.write() as session:
        beat(session, CARD, 2)
    mine = lease_of(database, ref, 0, CARD.id)
    others = lease_of(database, ref, 1, "worker-2")
    journals = [journal_of(mine, 0), journal_of(mine, 7), journal_of(others, 12)]
    with database.write() as session:
        flush(session, journals, [])
    answer = ResultDraft(ResultStatus.SUCCEEDED, output='"fine"', finish_reason="complete")
    ending = Settlement(journals[0], Outcome.SUCCEEDED, USAGE, 40, 5, result=answer)
    with database.write() as session:
        flush(session, [], [ending])
    with database.read() as session:
        [in_flight] = jobs_in_flight(session, CARD.pid)
        assert jobs_in_flight(session, CARD.pid + 1) == []
        assert list(seqs_of(session, mine.batch_id, [in_flight]).values()) == [7]
