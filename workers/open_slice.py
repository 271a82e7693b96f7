"""A slice that this process has leased: how much of it is left to send, and whether more may be."""

import asyncio

from jobs.lines import JobDefaults
from jobs.store.slices import Lease
from workers.parts import Parts
from workers.purse import Purse


class OpenSlice:
    """One leased slice, as its jobs see it."""

    def __init__(self, parts: Parts, lease: Lease, jobs: int) -> None:
        self.parts = parts
        self.lease = lease
        self.defaults = JobDefaults.from_json(lease.defaults)
        self.lease_lost = False
        self.wait_s = 0.0
        self.reason: str | None = None
        self.purse = Purse()
        self._undispatched = jobs
        self._closing = asyncio.Event()

    @property
    def is_closing(self) -> bool:
        """Whether no more calls may be started."""
        return self._closing.is_set()

    def close(self, *, wait_s: float = 0.0, reason: str | None = None) -> None:
        """Start no more calls: those in flight end, the rest is given back, due in `wait_s`."""
        if wait_s >= self.wait_s:
            self.wait_s, self.reason = wait_s, reason
        self._closing.set()
        self.parts.in_flight.berths.withdraw(self)

    def lose_lease(self) -> None:
        """Start no more calls, and give nothing back: another worker has the slice."""
        self.lease_lost = True
        self.close()

    async def rest(self, wait_s: float) -> None:
        """Sleep, but wake as soon as the slice is closing."""
        try:
            async with asyncio.timeout(wait_s):
                await self._closing.wait()
        except TimeoutError:
            return

    def dispatched(self) -> None:
        """Note that a job has been sent for the first time; the last one makes room for more."""
        self._undispatched -= 1
        if self._undispatched == 0:
            self.parts.feed.drained(self.lease)

    def ended(self) -> None:
        """Make room for more if the slice ended without sending every job."""
        if self._undispatched > 0:
            self.parts.feed.drained(self.lease)

    def __str__(self) -> str:
        """Name the slice for a log line."""
        return f"slice {self.lease.slice_no} of {self.lease.batch_ref}"
