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

    def pause_s(self, pauses: Pauses, batch: Batch) -> float:
        """Return how long to pause before the next look at a batch that has not ended.

        Raises:
            TimeoutError: there is no time left.
        """
        if (left_s := self.left_s()) <= 0:
            counts = batch.counts
            raise TimeoutError(
                f"batch {batch.id} is {batch.state} after {self._timeout_s:g} s, with "
                f"{counts.finished:,} of {counts.total:,} jobs done; it runs on"
            )
        return min(pauses.next_s(), left_s)
