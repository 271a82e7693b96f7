"""Whose fault a failed call is: the job's, or its pool's, told by how the pool's other calls end.

A job that its provider can't answer fails beside others that are answered. A pool in trouble fails
whatever is in flight, before any breaker can open: then no job is to blame, and no attempt counts. So
a failure is doubted for a moment:

- Another call of the pool is answered meanwhile: the job is at fault.
- None is, and more than a few other jobs fail as well: the pool is.
- None is, and hardly anything else fails: hardly anybody called, and the attempt counts all the same,
  or a batch whose last jobs can't be answered would never end.

Each process judges by its own calls. A pool that answers nobody can't be told from many jobs of which
none can be answered: both wait, and say so.
"""

import asyncio
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field

from jobs.errors import ProviderError, TimedOut
from workers.gate.gate import PoolId

DOUBT_S = (1.0, 5.0)
"""How long a failure is doubted, at least and at most: in between, for two of the pool's answers."""

FEW = 3
"""So many jobs may fail at once by their own fault, at the end of a batch."""

SMOOTHING = 0.1
"""Weight of the latest answer in the pool's usual latency."""


@dataclass(slots=True)
class _Seen:
    """What was seen of a pool. `failing` are jobs that failed since its last answer."""

    answered_at: float = float("-inf")
    latency_s: float = 0.0
    failing: set[Hashable] = field(default_factory=set)
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class Blame:
    """See the module. Used on one event loop, whose time it goes by."""

    def __init__(self) -> None:
        self._pools: dict[PoolId, _Seen] = defaultdict(_Seen)

    def answered(self, pool: PoolId, latency_s: float) -> None:
        """Note that a call was answered: well, or with a rejection, which is work as well."""
        seen = self._pools[pool]
        seen.answered_at = asyncio.get_running_loop().time()
        seen.latency_s += SMOOTHING * (latency_s - seen.latency_s)
        if seen.failing:
            seen.failing.clear()
            seen.answered.set()
            seen.answered = asyncio.Event()

    async def is_jobs(
        self, job: Hashable, pool: PoolId, error: ProviderError, latency_s: float
    ) -> bool | None:
        """Return whether a failure that was just met is the job's fault, None if nothing tells.

        Waits for what tells it, up to `DOUBT_S`.
        """
        seen, now = self._pools[pool], asyncio.get_running_loop().time()
        if isinstance(error, TimedOut) and seen.answered_at > now - latency_s / 2:
            # Others were answered all the while.
            return True
        seen.failing.add(job)
        shortest_s, longest_s = DOUBT_S
        try:
            async with asyncio.timeout(min(max(shortest_s, 2 * seen.latency_s), longest_s)):
                await seen.answered.wait()
        except TimeoutError:
            return False if len(seen.failing) > FEW else None
        return True
