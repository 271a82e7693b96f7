"""Calls in flight, and the berths in front of them.

A job is journaled before its call leaves, which takes a flush: some 30 ms. If it held the place of a
call meanwhile, short calls would leave in waves with gaps between them. So some more jobs than there
are places are let in: as many as will find a place by the time that they are journaled, at the pace
at which calls have just been ending. With slow calls that is next to none, as it should be: a job
that is journaled and not sent counts as unknown if the process dies.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workers.permits import Permits

LEAD_S = 0.06
"""How far ahead jobs are let in: about two flushes."""

MEMORY_S = 0.2
"""Over what time the pace is averaged."""


class InFlight:
    """At most `limit` calls at once; used on one event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.berths = Permits(limit)
        self._places = asyncio.Semaphore(limit)
        self._in_use = 0
        self._ended_per_s = 0.0
        self._last_end_at = 0.0

    @property
    def in_use(self) -> int:
        """How many calls are in flight."""
        return self._in_use

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold the place of a call; to be entered with a berth."""
        async with self._places:
            self._in_use += 1
            try:
                yield
            finally:
                self._in_use -= 1
                self._note_end()

    def _note_end(self) -> None:
        """Let in as many more as calls will end within the lead, at the present pace."""
        now = asyncio.get_running_loop().time()
        faded = math.exp((self._last_end_at - now) / MEMORY_S)
        self._last_end_at = now
        self._ended_per_s = self._ended_per_s * faded + 1 / MEMORY_S
        lead = min(int(self._ended_per_s * LEAD_S), self.limit)
        if lead != self.berths.count - self.limit:
            self.berths.resize(self.limit + lead)
