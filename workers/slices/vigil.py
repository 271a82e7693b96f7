"""Which slices stay open while their pool is blocked: a few of each provider.

One of their jobs is then the probe that finds the pool working again, and the others go on at once.
The rest of the slices are given back, so that they don't keep the places of batches that could run:
those of another model, or with another target.
"""

from collections import defaultdict
from collections.abc import Hashable

WATCHING_SLICES = 4
"""Of a provider and a process: some 400 jobs, seconds of work until the others are leased again."""


class Vigil:
    """One process's slices that watch; used on one event loop."""

    def __init__(self, per_provider: int = WATCHING_SLICES) -> None:
        self._per_provider = per_provider
        self._watching: dict[str, set[Hashable]] = defaultdict(set)

    def joins(self, provider: str, opened: Hashable) -> bool:
        """Return whether a slice is one of those that watch the provider; it is from now on."""
        watching = self._watching[provider]
        if opened not in watching and len(watching) >= self._per_provider:
            return False
        watching.add(opened)
        return True

    def leaves(self, opened: Hashable) -> None:
        """Make room for another slice: this one has got through, or ended."""
        for watching in self._watching.values():
            watching.discard(opened)
