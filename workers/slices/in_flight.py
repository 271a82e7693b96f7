"""Calls in flight, and the berths in front of them.

A job is journaled before its call leaves, which takes a flush or two: 30 to 100 ms. If it held the
place of a call meanwhile, short calls would leave in waves with gaps between them. So some more jobs
than there are places are let in: as many as will find a place by the time that they are journaled, by
what a journal has just been taking and the pace at which calls have just been ending. With slow calls
that is next to none, as it should be: a job that is journaled and not sent counts as unknown if the
process dies.
"""

import asyncio
import math
from types import TracebackType

from workers.slices.permits import Permits

GATE_S = 0.08
"""From the berth to the journal, at a pool whose pace lets a call leave at once, on a busy loop. Measured
at 1,700 calls a second of a process: 20 to 60 ms, and what is too little idles places at once."""

FIRST_JOURNAL_S = 0.03
"""A journal's wait before any was seen."""

LONGEST_JOURNAL_S = 0.3
"""A journal that is slower than this is in trouble; letting in more jobs would add to it."""

MEMORY_JOURNALS = 1000
"""Over how many waits their mean runs: some ten flushes, each of which ends a hundred at once."""

MEMORY_S = 1.0
"""Over what time the pace is averaged."""

LOOK_EVERY_S = 0.01
"""How often it is worked out how many more are let in."""


class InFlight:
    """At most `limit` calls at once; used on one event loop.

    It is the context manager of a call, to be entered with a berth.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.berths = Permits(limit)
        self.in_use = 0
        """How many calls are in flight."""
        self._places = asyncio.Semaphore(limit)
        self._ended_per_s = 0.0
        self._ended = 0
        self._looked_at = 0.0
        self._journal_s = FIRST_JOURNAL_S

    async def __aenter__(self) -> None:
        """Wait until fewer calls than the limit are in flight."""
        await self._places.acquire()
        self.in_use += 1

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the place of a call back."""
        self.in_use -= 1
        self._places.release()
        self._note_end()

    def journaled(self, took_s: float) -> None:
        """Note how long a job has just waited for its journal."""
        self._journal_s += (min(took_s, LONGEST_JOURNAL_S) - self._journal_s) / MEMORY_JOURNALS

    def _note_end(self) -> None:
        """Let in as many more as calls will end within the lead, at the present pace."""
        self._ended += 1
        now = asyncio.get_running_loop().time()
        if now - self._looked_at < LOOK_EVERY_S:
            return
        faded = math.exp((self._looked_at - now) / MEMORY_S)
        self._ended_per_s = self._ended_per_s * faded + self._ended / MEMORY_S
        self._ended, self._looked_at = 0, now
        lead = min(int(self._ended_per_s * (GATE_S + self._journal_s)), self.limit)
        if lead != self.berths.count - self.limit:
            self.berths.resize(self.limit + lead)
