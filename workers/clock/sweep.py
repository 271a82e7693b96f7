"""The sweep: whatever was lost is found again here. Every duty is harmless to do twice, or by two."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from celery import Celery
from prometheus_client import Counter

from jobs.errors import ServiceUnavailable
from jobs.feed import Feeder
from jobs.prices import PriceBook
from jobs.states import BatchState
from jobs.store import Database, Session, now, workers
from jobs.store.batches import batches, uploads
from jobs.store.leases import lost_leases, slices
from jobs.store.leases.feeding import FedSlice
from jobs.store.money import budgets
from jobs.store.results import results
from jobs.tables import Batch, Slice
from workers.clock.progress import ProgressWatch
from workers.clock.timekeeper import Timekeeper

log = logging.getLogger(__name__)

SWEEP_S = 2.0
"""Between two sweeps; with a lease of 12 s a killed worker's jobs run elsewhere within 17 s."""

SILENT_UPLOAD = timedelta(minutes=10)
"""An upload without a sign of life for so long has died: its process notes one with every chunk."""

PER_SWEEP = 200
"""Leases that one sweep expires, and slices that it cancels per batch: bounded, the next goes on."""

CLOCK_MOVED_S = 2.0
"""By which the database's clock may part from a steady one between two sweeps; by more, it was set."""

PROMPT_S = 1.0
"""An answer of the database that took longer tells nothing of its clock."""

EndJobs = Callable[[Session, Batch, Slice], None]
"""What gives the open jobs of an idle slice of a locked batch their result."""

CANCEL_STEPS = 5
"""Times `PER_SWEEP` slices of a batch that one sweep cancels: some 100,000 jobs, two seconds."""


class Sweep:
    """The duties, each callable alone."""

    def __init__(
        self,
        database: Database,
        celery: Celery,
        steady: Callable[[], float] = time.monotonic,
        prices: PriceBook | None = None,
    ) -> None:
        """Sweep this database; `steady` is a clock in seconds that nobody sets.

        With `prices`, batches with time enough wait for lower ones.
        """
        self._database = database
        self._feeder = Feeder(database, celery)
        self._steady = steady
        self._progress = ProgressWatch(database, steady)
        self._timekeeper = Timekeeper(database, prices)
        self._ahead_s: float | None = None  # the database's clock, of the steady one
        self.takeovers = Counter(
            "tidemill_lease_takeovers",
            "Slices that were taken from a worker that was not heard of.",
            registry=None,
        )
        self._unsure_at: float | None = None  # when it could not be told, last, who is alive

    def run(self) -> None:
        """Do every duty; one that fails does not keep the others from being done."""
        for duty in (
            self.watch_clock,
            self.expire_leases,
            self.keep_time,
            self.cancel_batches,
            self.expire_batches,
            self.resume_batches,
            self.feed,
            self.publish_lost,
            self.hint_lanes,
            self.drop_abandoned_uploads,
            self.forget_silent_workers,
            self.mark_progress,
        ):
            try:
                duty()
            except ServiceUnavailable as error:
                self._unsure_at = self._steady()
                log.warning("%s: %s", duty.__name__, error)
            except Exception:  # the next sweep tries again
                log.exception("%s failed", duty.__name__)

    def watch_clock(self) -> None:
        """Notice that the database's clock was set, or this machine slept, and mend what depends on it.

        By a clock that was set forward every lease has run out; by one that was set back, nothing is
        due before it has caught up.
        """
        asked_at = self._steady()
        with self._database.read() as session:
            moment = now(session)
        if self._steady() - asked_at > PROMPT_S:
            return
        ahead_s, before_s = moment.timestamp() - asked_at, self._ahead_s
        self._ahead_s = ahead_s
        if before_s is not None and abs(ahead_s - before_s) > CLOCK_MOVED_S:
            log.warning("the database's clock was set by %+.0f s", ahead_s - before_s)
            self._unsure_at = asked_at
        if before_s is None or self._is_unsure():
            with self._database.write() as session:
                lost_leases.bring_near(session)

    def expire_leases(self) -> None:
        """Take slices from workers that were not heard of, so that others may run them.

        Not soon after the database was away or its clock was set: then it can't be told who is alive,
        and healthy workers renew their leases first.
        """
        if self._is_unsure():
            return
        with self._database.read() as session:
            expired = lost_leases.expired(session, limit=PER_SWEEP)
        fed: list[FedSlice] = []
        for batch_id, slice_no in expired:
            with (
                self._none_keeps_the_others(f"slice {slice_no} of batch {batch_id}"),
                self._database.write() as session,
            ):
                piece = lost_leases.expire(session, batch_id, slice_no)
                if piece is not None:
                    log.warning("the lease of slice %d of %s ran out", slice_no, piece.batch_ref)
                    self.takeovers.inc()
                    fed.append(piece)
        # Together, so that a broker that hangs is waited for once.
        self._feeder.publish(fed)

    def cancel_batches(self) -> None:
        """Answer the jobs of cancelled batches that no worker holds."""
        self._end_batches(BatchState.CANCELLING, results.cancel_jobs)

    def keep_time(self) -> None:
        """Hold, hurry or end batches by their deadlines and hours."""
        self._timekeeper.look()

    def expire_batches(self) -> None:
        """Answer the jobs that no worker holds of batches whose deadline is over."""
        self._end_batches(BatchState.FINALIZING, results.expire_jobs)

    def resume_batches(self) -> None:
        """Let batches go on whose budget has room again: a new day or month, a raised cap."""
        with self._database.read() as session:
            held = budgets.held_by_budget(session)
        for batch_id in held:
            with (
                self._none_keeps_the_others(f"batch {batch_id}"),
                self._database.write() as session,
            ):
                if budgets.reconsider(session, batch_id):
                    log.info("batch %d goes on: its budget has room again", batch_id)

    def feed(self) -> None:
        """Fill the windows of all queues."""
        self._feeder.feed_all()

    def publish_lost(self) -> None:
        """Publish again what the broker seems to have lost."""
        self._feeder.publish_lost()

    def hint_lanes(self) -> None:
        """Let workers do what is due in the batch lanes."""
        self._feeder.hint_lanes()

    def drop_abandoned_uploads(self) -> None:
        """Delete what dead uploads have left."""
        with self._database.read() as session:
            since = now(session) - SILENT_UPLOAD
            dead = uploads.abandoned(session, since)
        for batch_id in dead:
            log.warning("deleting an upload that died: batch %d", batch_id)
            uploads.discard(self._database, batch_id, untouched_since=since)

    def forget_silent_workers(self) -> None:
        """Delete the cards of workers that are long gone."""
        with self._database.write() as session:
            workers.forget_silent(session)

    def mark_progress(self) -> None:
        """Note how running batches go on."""
        self._progress.look()

    def _is_unsure(self) -> bool:
        unsure_at = self._unsure_at
        return unsure_at is not None and self._steady() - unsure_at < slices.LEASE.total_seconds()

    @contextmanager
    def _none_keeps_the_others(self, what: str) -> Iterator[None]:
        """Log what one piece of a duty fails of, and go on; not if the database is away."""
        try:
            yield
        except ServiceUnavailable:
            raise
        except Exception:  # the next sweep tries again
            log.exception("sweeping %s failed", what)

    def _in_state(self, state: BatchState) -> list[int]:
        with self._database.read() as session:
            return batches.in_state(session, state)

    def _end_batches(self, state: BatchState, end_jobs: EndJobs) -> None:
        """Answer the jobs of idle slices of the batches in this state."""
        for batch_id in self._in_state(state):
            with self._none_keeps_the_others(f"batch {batch_id}"):
                for _step in range(CANCEL_STEPS):
                    if not self._end_some(batch_id, state, end_jobs):
                        break

    def _end_some(self, batch_id: int, state: BatchState, end_jobs: EndJobs) -> bool:
        """Answer the jobs of some idle slices of a batch; return whether there may be more."""
        with self._database.write() as session:
            batch = batches.lock(session, batch_id)
            if batch.state != state:  # another sweep was faster
                return False
            idle = slices.idle_slices(session, batch_id, limit=PER_SWEEP)
            for piece in idle:
                end_jobs(session, batch, piece)
                slices.close(session, batch, piece)
            is_final = batches.finish_if_complete(session, batch)
        return bool(idle) and not is_final
