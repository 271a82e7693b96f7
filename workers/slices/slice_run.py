"""The run of a slice: from its lease to its last result, or to giving the rest back."""

import asyncio
import logging

from jobs.errors import CallBrokeDown, LeaseLost
from jobs.states import CUT_OFF
from jobs.store.batches.jobs import OpenJob
from jobs.store.leases import leases
from workers.job.job_run import JobRun
from workers.slices.open_slice import OpenSlice

log = logging.getLogger(__name__)

SLICE_LIFE_S = 300.0
"""After so long a slice starts no more calls and gives the rest back.

So slices stay short whatever the pace is: others get their turn, and a broker's redelivery never
meets a running one.
"""

BREAKDOWN_WAIT_S = 5.0
"""Before a slice of which a job broke down by our own fault is tried again: no hot loop."""

BREAKDOWN = "a job broke down by Tidemill's own fault; the log of its worker says more"


class SliceRun:
    """The tasks of one open slice."""

    def __init__(self, opened: OpenSlice, jobs: list[OpenJob]) -> None:
        self._opened = opened
        self._jobs = jobs
        self._tasks: list[asyncio.Task[None]] = []
        self._open_ends = CUT_OFF
        """Why nobody knows how the attempts ended that have no end."""

    @property
    def waits_for(self) -> tuple[int, str] | None:
        """The batch's id and why its jobs wait, if they have for more than a moment."""
        reason = self._opened.waits_for or self._opened.parked_for
        return None if reason is None else (self._opened.lease.batch_id, reason)

    @property
    def batch_id(self) -> int:
        """Whose slice it is."""
        return self._opened.lease.batch_id

    async def run(self) -> None:
        """Run every open job, then finish the slice or give it back."""
        life = asyncio.get_running_loop().call_later(SLICE_LIFE_S, self._opened.close)
        try:
            self._tasks = [
                asyncio.create_task(JobRun(self._opened, job).run()) for job in self._jobs
            ]
            for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
                # Not only an Exception: libraries in Rust panic with a BaseException.
                if ended is not None and not isinstance(ended, asyncio.CancelledError):
                    log.error("a job of %s broke down", self._opened, exc_info=ended)
                    self._opened.close(wait_s=BREAKDOWN_WAIT_S, reason=BREAKDOWN)
                    self._open_ends = CallBrokeDown.code
        finally:
            life.cancel()
        try:
            await self._end()
        except LeaseLost as error:
            log.warning("%s", error)
        finally:
            self._opened.ended()

    def drain(self) -> None:
        """Start no more calls."""
        self._opened.close()

    def abort(self) -> None:
        """Cancel the calls in flight as well; their attempts become unknown."""
        self._opened.close()
        for task in self._tasks:
            task.cancel()

    async def _end(self) -> None:
        opened = self._opened
        if opened.lease_lost:
            return
        if opened.is_left_over:
            await opened.parts.transactions.write(
                lambda session: leases.give_back(
                    session,
                    opened.lease,
                    wait_s=opened.wait_s,
                    reason=opened.parked_for,
                    holds_queue=opened.holds_queue,
                    error_code=self._open_ends,
                ),
                about=opened.lease.batch_ref,
            )
        else:
            await opened.parts.transactions.write(
                lambda session: leases.finish(session, opened.lease),
                about=opened.lease.batch_ref,
            )
