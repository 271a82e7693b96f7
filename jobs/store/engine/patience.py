"""How long this thread waits for the database: until when, and who is told at once that it is away.

A server that is frozen accepts connections and answers nothing, and its own time-outs don't run. So
the time is kept on this side of the connection.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.errors import ServiceUnavailable

_this_thread = threading.local()


@contextmanager
def until(moment_s: float, look_every_s: float | None = None) -> Iterator[None]:
    """Let this thread wait for the database until then, by the monotonic clock.

    Where a statement may take long, it is looked every `look_every_s` whether the server still answers
    anybody: it may be busy with the statement, or frozen.
    """
    before = getattr(_this_thread, "ends_at_s", None), getattr(_this_thread, "look_every_s", None)
    _this_thread.ends_at_s, _this_thread.look_every_s = moment_s, look_every_s
    try:
        yield
    finally:
        _this_thread.ends_at_s, _this_thread.look_every_s = before


def left_s() -> float | None:
    """Return how long this thread may still wait, 0 if no longer; None for as long as it takes."""
    ends_at_s: float | None = getattr(_this_thread, "ends_at_s", None)
    return None if ends_at_s is None else max(0.0, ends_at_s - time.monotonic())


def look_every_s() -> float | None:
    """Return how often this thread looks whether the server is there; None for never."""
    every_s: float | None = getattr(_this_thread, "look_every_s", None)
    return every_s


def give_up() -> None:
    """Let this thread wait no longer: the server answers nobody."""
    _this_thread.ends_at_s = time.monotonic()


TOLD_AT_ONCE_S = 1.0
"""For so long after somebody waited in vain nobody waits again."""


class Reach:
    """Whether the database was waited for in vain lately. Used by many threads.

    While it is away one at a time tries, and finds it when it is back; the others are told at once.
    Else each of a hundred requests would keep a thread for as long as one is patient.
    """

    def __init__(self) -> None:
        self._lost_at_s: float | None = None
        self._trying = threading.Lock()

    @contextmanager
    def tried(self) -> Iterator[None]:
        """Try to reach the database; it is there if nothing is raised.

        Raises:
            ServiceUnavailable: it is away, and this is not who tries.
        """
        lost_at_s = self._lost_at_s
        if lost_at_s is not None and (
            time.monotonic() < lost_at_s + TOLD_AT_ONCE_S
            or not self._trying.acquire(blocking=False)
        ):
            raise ServiceUnavailable("the database can't be used now: it is waited for in vain")
        try:
            with self.noted():
                yield
            self._lost_at_s = None
        finally:
            if lost_at_s is not None:
                self._trying.release()

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note it if the database is of no use, and this thread's time is up."""
        try:
            yield
        except ServiceUnavailable:
            if left_s() == 0:
                self._lost_at_s = time.monotonic()
            raise
