"""Everybody takes locks in one order: the whole life of slices, side by side, without a deadlock."""

import queue
import threading
from collections.abc import Callable
from unittest.mock import patch

from jobs.feed import Feeder
from jobs.queues import make_celery
from jobs.settings import Settings
from jobs.states import BatchState, Outcome, ResultStatus
from jobs.store import Database, slices
from jobs.store.settlement import ResultDraft, Settlement, flush
from tests.support.rows import batch_of, journal_of, seed_batch

SLICES = 120
GOOD = ResultDraft(ResultStatus.SUCCEEDED, output='"fine"')


def test_workers_that_lease_feed_settle_finish_and_renew_at_once_never_deadlock(
    database: Database,
) -> None:
    refs = [seed_batch(database, jobs=SLICES, slice_size=2) for _ in range(2)]
    messages: queue.Queue[tuple[str, int]] = queue.Queue()
    over = threading.Event()
    faults: list[BaseException] = []

    def publish(_app: object, _queue: str, ref: str, slice_no: int) -> None:
        messages.put((ref, slice_no))

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as fault:  # noqa: BLE001  (told by the assertion below)
                faults.append(fault)
                over.set()

        return run

    def work() -> None:
        while not over.is_set():
            try:
                ref, slice_no = messages.get(timeout=0.05)
            except queue.Empty:
                continue
            with database.write() as session:
                claimed = slices.claim(session, ref, slice_no, "worker-1")
            if claimed is None:
                continue
            lease, jobs = claimed
            journals = [journal_of(lease, job.seq) for job in jobs]
            with database.write() as session:
                flush(session, journals, [])
            feeder.feed("sim", drained=[lease])
            with database.write() as session:
                flush(
                    session, [], [Settlement(j, Outcome.SUCCEEDED, result=GOOD) for j in journals]
                )
            with database.write() as session:
                slices.finish(session, lease)
            if all(batch_of(database, ref).state == BatchState.COMPLETED for ref in refs):
                over.set()

    def renew() -> None:
        while not over.is_set():
            with database.write() as session:
                slices.renew(session, "worker-1")

    feeder = Feeder(database, make_celery(Settings()))
    with patch("jobs.feed.publish_slice", publish):
        feeder.feed("sim")
        threads = [threading.Thread(target=guarded(target)) for target in [work] * 6 + [renew]]
        for thread in threads:
            thread.start()
        over.wait(60.0)
        over.set()
        for thread in threads:
            thread.join()
    assert faults == []
    assert [batch_of(database, ref).state for ref in refs] == [BatchState.COMPLETED] * 2
