"""Where faults happen: a rig, and what of it a fault has to itself while it lasts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

from scripts.fault_injection.rig import Rig

LONGER_THAN_A_LEASE_S = 14.0
"""A fault of a worker that lasts so long costs it the slices that it has leased."""


class Scene:
    """A rig with the run's dice. What one fault has hold of, no other takes meanwhile."""

    def __init__(self, rig: Rig, random: Random) -> None:
        self.rig = rig
        self.random = random
        self._taken: set[str] = set()

    def free(self, names: Sequence[str]) -> list[str]:
        """Return those of these parts and servers that no fault has hold of."""
        return [name for name in names if name not in self._taken]

    def any_free(self, names: Sequence[str]) -> str | None:
        """Return one of these that no fault has hold of, None if there is none."""
        free = self.free(names)
        return self.random.choice(free) if free else None

    @contextmanager
    def hold(self, *names: str) -> Iterator[bool]:
        """Take these for oneself; yields False, and takes none, if another fault has any of them."""
        if self._taken.intersection(names):
            yield False
            return
        self._taken.update(names)
        try:
            yield True
        finally:
            self._taken.difference_update(names)
