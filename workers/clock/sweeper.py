"""When there is a sweep: as beat tells it, by a clock that nobody sets, and without a broker all the same."""

import threading
import time
from datetime import datetime

from celery import Celery
from celery.schedules import schedule

from jobs.clock import UTC
from workers.clock.sweep import SWEEP_S, Sweep

UNTOLD_S = 5.0
"""Without a message for so long one sweeps without."""


def every(seconds: float, celery: Celery) -> schedule:
    """Return the schedule of so many seconds by a clock that nobody sets.

    By the wall's, nothing would be due for an hour after it was set back by one.
    """

    def since_start() -> datetime:
        return datetime.fromtimestamp(time.monotonic(), UTC)

    return schedule(seconds, nowfun=since_start, app=celery)


class Sweeper:
    """Sweeps when it is told to, once at a time, and by itself when for a while nobody has told it.

    Then the broker is away: batches are to say so, and what is cancelled needs no broker.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._turn = threading.Lock()
        self._swept_at_s = time.monotonic()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Sweep, unless that is being done."""
        if self._turn.acquire(blocking=False):
            try:
                self._sweep.run()
            finally:
                self._swept_at_s = time.monotonic()
                self._turn.release()

    def start(self) -> None:
        """Watch from now on."""
        threading.Thread(target=self._watch, name="sweeper", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(SWEEP_S):
            if time.monotonic() - self._swept_at_s > UNTOLD_S:
                self.run()
