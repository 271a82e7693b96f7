"""How long a wait may go on."""

import math
import time

from .feed import Pauses
from .shapes import Batch


class Deadline:
    """The end of a wait of `timeout_s` seconds from now; None for none."""

    def __init__(self, timeout_s: float | None) -> None:
        self._timeout_s = math.inf if timeout_s is None else timeout_s
        self._ends_at_s = time.monotonic() + self._timeout_s

    def left_s(self) -> float:
        """Return the seconds that are left, 0 when it is over."""
        return max(0.0, self._ends_at_s - time.monotonic())

    def pause_s(self, pauses: Pauses, standing: str) -> float:
        """Return how long to pause before the next look at what has not ended, and where that stands.

        Raises:
            TimeoutError: there is no time left.
        """
        if (left_s := self.left_s()) <= 0:
            raise TimeoutError(f"{standing}, after {self._timeout_s:g} s; it runs on")
        return min(pauses.next_s(), left_s)


def standing_of(batch: Batch) -> str:
    """Return where a batch stands, for who waits no longer."""
    done = f"{batch.counts.finished:,} of {batch.counts.total:,} jobs done"
    return f"batch {batch.id} is {batch.state}, with {done}"
