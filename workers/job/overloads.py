"""A job that is told again and again that its provider is overloaded, while others are answered. Pure.

An overload is the pool's matter: it pauses, and no attempt counts. But some servers say so of a model that
isn't there, or of a request that they can't take. Such a job would hold its pool up for ever.
"""

from workers.gate.gate import PoolId
from workers.job.blame import Trend

MANY = 6
"""So often in a row."""

ANSWERED = 10
"""So many calls of the pool must have been answered in between for each other one that was told the same. In
a true overload that is this light, hardly any job meets it so often in a row."""


class Overloads:
    """One job's."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._seen: dict[PoolId, Trend] = {}

    @property
    def are_its_own(self) -> bool:
        """Whether the job is to be taken for the reason."""
        return self._in_a_row >= MANY

    def note(self, pool: PoolId, trend: Trend) -> None:
        """Count one more, which is the newest in the pool's `trend`; one whose reason is not clear, not."""
        before = self._seen.get(pool)
        self._seen[pool] = trend
        if before is None:
            return
        answered, others = trend.answers - before.answers, trend.overloads - before.overloads - 1
        if answered > ANSWERED * others:
            self._in_a_row += 1
        elif others > 0:
            self._in_a_row = 0
