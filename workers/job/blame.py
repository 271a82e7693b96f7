"""Whose fault a failed call is: the job's, or its pool's, told by how the pool's other calls end.

A job that its provider can't answer fails beside others that are answered. A pool in trouble fails
whatever is in flight, before any breaker can open: then no job is to blame, and no attempt counts. So
a failure is doubted for a moment:

- A call of the pool that left after the failure is answered: the job is at fault. One that left
  before it says nothing; a provider in trouble refuses at once and still ends what it had begun.
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
from typing import NamedTuple

from workers.gate.gate import PoolId

DOUBT_S = (1.0, 5.0)
"""How long a failure is doubted, at least and at most: in between, for three of the pool's answers."""

FEW = 3
"""So many jobs may fail at once by their own fault, at the end of a batch."""

SMOOTHING = 0.1
"""Weight of the latest answer in the pool's usual latency."""


@dataclass(frozen=True, slots=True)
class _Failure:
    """When a job failed last; `is_its_fault` is set once a later call has been answered."""

    at: float
    is_its_fault: asyncio.Event = field(default_factory=asyncio.Event)


class Trend(NamedTuple):
    """How many calls of a pool were answered, and how many were told of an overload."""

    answers: int
    overloads: int


@dataclass(slots=True)
class _Pool:
    """What was seen of a pool: jobs that failed and since when no later call was answered, in order."""

    latency_s: float = 0.0
    answers: int = 0
    overloads: int = 0
    failures: dict[Hashable, _Failure] = field(default_factory=dict)


class Blame:
    """See the module. Used on one event loop, whose time it goes by."""

    def __init__(self) -> None:
        self._pools: dict[PoolId, _Pool] = defaultdict(_Pool)

    def answered(self, pool: PoolId, latency_s: float) -> None:
        """Note that a call was answered just now: well, or with a rejection, which is work as well."""
        seen = self._pools[pool]
        seen.answers += 1
        seen.latency_s += SMOOTHING * (latency_s - seen.latency_s)
        if not seen.failures:
            return
        left_at = asyncio.get_running_loop().time() - latency_s
        for job, failure in list(seen.failures.items()):
            if failure.at > left_at:
                break
            failure.is_its_fault.set()
            del seen.failures[job]

    def overloaded(self, pool: PoolId) -> Trend:
        """Note that a call was told of an overload; return the pool's calls up to now, that one included."""
        seen = self._pools[pool]
        seen.overloads += 1
        return Trend(seen.answers, seen.overloads)

    async def is_jobs(self, job: Hashable, pool: PoolId) -> bool | None:
        """Return whether a failure that was met just now is the job's fault, None if nothing tells.

        Waits for what tells it, up to `DOUBT_S`.
        """
        seen = self._pools[pool]
        failure = _Failure(asyncio.get_running_loop().time())
        seen.failures.pop(job, None)
        seen.failures[job] = failure
        shortest_s, longest_s = DOUBT_S
        try:
            async with asyncio.timeout(min(max(shortest_s, 3 * seen.latency_s), longest_s)):
                await failure.is_its_fault.wait()
        except TimeoutError:
            return False if len(seen.failures) > FEW else None
        return True
