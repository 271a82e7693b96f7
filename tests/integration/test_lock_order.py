"""Everybody takes locks in one order: the whole life of slices, side by side, without a deadlock."""

import queue
import threading
from collections.abc import Callable

import pytest

from jobs.feed import Feeder
from jobs.queues import make_celery
from jobs.settings import Settings
from jobs.states import BatchState, Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.leases import leases
from jobs.store.money import budgets
from jobs.store.money.settlement import flush
from tests.support.rows import batch_of, journal_of, seed_batch

GOOD = ResultDraft(ResultStatus.SUCCEEDED, output='"fine"')


class Fleet:
    """Threads that do to the rows what worker processes do, on messages that stay in memory."""

    def __init__(self, database: Database, refs: list[str]) -> None:
        self.messages: queue.Queue[tuple[str, int]] = queue.Queue()
        self.faults: list[BaseException] = []
        self._database = database
        self._refs = refs
        self._over = threading.Event()
        self._feeder = Feeder(database, make_celery(Settings()))

    def run(self, *, workers: int, within_s: float) -> None:
        """Run every slice, with one thread that renews leases all the time."""
        self._feeder.feed("sim")
        targets = [self._work] * workers + [self._renew]
        threads = [threading.Thread(target=self._go_on, args=(target,)) for target in targets]
        for thread in threads:
            thread.start()
        self._over.wait(within_s)
        self._over.set()
        for thread in threads:
            thread.join()

    def _go_on(self, step: Callable[[], None]) -> None:
        try:
            while not self._over.is_set():
                step()
        except Exception as fault:  # noqa: BLE001  (the test looks at them)
            self.faults.append(fault)
            self._over.set()

    def _renew(self) -> None:
        with self._database.write() as session:
            leases.renew(session, "worker-1", [(1, no) for no in range(60)])

    def _work(self) -> None:
        try:
            ref, slice_no = self.messages.get(timeout=0.05)
        except queue.Empty:
            return
        with self._database.write() as session:
            claimed = leases.claim(session, ref, slice_no, "worker-1")
        if claimed is None:
            return
        lease, cut = claimed
        journals = [journal_of(lease, seq) for seq in range(cut.first_seq, cut.last_seq + 1)]
        with self._database.write() as session:
            flush(session, journals, [])
        with self._database.write() as session:
            leases.mark_draining(session, lease)
        self._feeder.feed("sim")
        with self._database.write() as session:
            flush(session, [], [Settlement(j, Outcome.SUCCEEDED, result=GOOD) for j in journals])
        with self._database.write() as session:
            leases.finish(session, lease)
        if all(batch_of(self._database, r).state == BatchState.COMPLETED for r in self._refs):
            self._over.set()


@pytest.mark.parametrize("is_capped", [False, True])
def test_workers_that_lease_feed_settle_finish_and_renew_at_once_never_deadlock(
    database: Database, monkeypatch: pytest.MonkeyPatch, is_capped: bool
) -> None:
    refs = [seed_batch(database, jobs=120, slice_size=2) for _ in range(2)]
    if is_capped:
        with database.write() as session:
            budgets.set_caps(session, 1, {"daily_nanos": 10**9})
    fleet = Fleet(database, refs)

    def publish(_app: object, _queue: str, ref: str, slice_no: int) -> None:
        fleet.messages.put((ref, slice_no))

    monkeypatch.setattr("jobs.feed.publish_slice", publish)
    fleet.run(workers=6, within_s=60.0)
    assert fleet.faults == []
    assert [batch_of(database, ref).state for ref in refs] == [BatchState.COMPLETED] * 2
