"""A slice that this process has leased: how much of it is left to send, and whether more may be."""

import asyncio

from jobs.defaults import JobDefaults
from jobs.states import WEIGHTS, Priority
from jobs.store.leases.leases import Lease
from workers.job.purse import Purse
from workers.parts import Parts


class OpenSlice:
    """One leased slice, as its jobs see it."""

    def __init__(self, parts: Parts, lease: Lease, defaults: JobDefaults, jobs: int) -> None:
        self.parts = parts
        self.lease = lease
        self.defaults = defaults
        self.weight = WEIGHTS[Priority(lease.priority)] ** 0.5
        """Its share of this process's calls: flatter than that of the feed, or bulk got one in 85."""
        self.lease_lost = False
        self.parked_for: str | None = None
        """Why jobs have been left to a later lease."""
        self.is_blocked = False
        """Whether what its jobs waited for last is more than mere pace."""
        self.purse = Purse()
        self._jobs = self._undispatched = jobs
        self._parked = 0
        self._parked_s = 0.0
        self._closed_s = 0.0
        self._waits_for: tuple[str, float] | None = None
        self._closing = asyncio.Event()
        self._at_the_gate: set[asyncio.Task[None]] = set()

    @property
    def is_closing(self) -> bool:
        """Whether no more calls may be started."""
        return self._closing.is_set()

    @property
    def is_left_over(self) -> bool:
        """Whether the slice is to be given back, though a job may have no result yet."""
        return self.is_closing or self._parked > 0

    @property
    def wait_s(self) -> float:
        """How long the slice need not be leased again once it is given back."""
        return self._closed_s if self.is_closing else self._parked_s

    @property
    def holds_queue(self) -> bool:
        """Whether all jobs were left for later at once: then so are those of the next slices."""
        return 0 < self._parked == self._jobs

    @property
    def waits_for(self) -> str | None:
        """Why its jobs wait at the moment, for the operator; None if they don't, or not for long."""
        if self._waits_for is None:
            return None
        reason, until = self._waits_for
        return reason if asyncio.get_running_loop().time() < until else None

    def waits(self, reason: str, told_again_s: float, *, is_blocked: bool = False) -> None:
        """Note why its jobs wait, until they have asked again and would have been told it again."""
        self.is_blocked = is_blocked
        self._waits_for = (reason, asyncio.get_running_loop().time() + told_again_s)

    def goes_on(self) -> None:
        """Note that a job of it has got through."""
        if self._waits_for is not None:
            self._waits_for = None
            self.parts.vigil.leaves(self)

    def close(self, *, wait_s: float = 0.0, reason: str | None = None) -> None:
        """Start no more calls: those in flight end, the rest is given back, due in `wait_s`.

        Jobs that wait at the gate are called off. `reason` says what the rest waits for.
        """
        self._closed_s = max(wait_s, self._closed_s)
        self.parked_for = reason or self.parked_for
        self._closing.set()
        self.parts.in_flight.berths.withdraw(self)
        for task in self._at_the_gate:
            task.cancel()

    def lose_lease(self) -> None:
        """Start no more calls, and give nothing back: another worker has the slice."""
        self.lease_lost = True
        self.close()

    def park(self, wait_s: float, reason: str) -> None:
        """Leave a job to a later lease, due when the first of those parked is.

        The others run on: they may be of another model, which need not wait.
        """
        self._parked_s = min(wait_s, self._parked_s) if self._parked else wait_s
        self._parked += 1
        self.parked_for = reason

    async def rest(self, wait_s: float) -> None:
        """Sleep, but wake as soon as the slice is closing."""
        try:
            async with asyncio.timeout(wait_s):
                await self._closing.wait()
        except TimeoutError:
            return

    def enters_gate(self, task: asyncio.Task[None]) -> None:
        """Let `close` cancel a job's task, until `leaves_gate`."""
        self._at_the_gate.add(task)

    def leaves_gate(self, task: asyncio.Task[None]) -> None:
        """Let `close` leave a job's task alone: its call ends, or is not made."""
        self._at_the_gate.discard(task)

    def dispatched(self) -> None:
        """Note that a job has been sent for the first time; the last one makes room for more."""
        self._undispatched -= 1
        if self._undispatched == 0:
            self.parts.feed.drained(self.lease)

    def ended(self) -> None:
        """Make room for more if the slice ended without sending every job, or had none to send."""
        self.parts.vigil.leaves(self)
        if self._undispatched > 0 or self._jobs == 0:
            self.parts.feed.drained(self.lease)

    def __str__(self) -> str:
        """Name the slice for a log line."""
        return f"slice {self.lease.slice_no} of {self.lease.batch_ref}"
