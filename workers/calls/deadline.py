"""One deadline for many: whatever takes longer than a fixed time is cancelled.

All have the same time, so who came first is due first, and one timer does for all of them. asyncio's
own time-outs take a timer each, which one call in a thousand needs and every call would pay for.
"""

import asyncio
from types import TracebackType


class Deadline:
    """`with deadline.watch():` raises TimeoutError after `seconds`, as `asyncio.timeout` does."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._watches: dict[_Watch, None] = {}  # in the order in which they are due
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> "_Watch":
        """Return a context manager for the task that enters it."""
        return _Watch(self)

    def add(self, watch: "_Watch") -> None:
        """Cancel the task of this watch when it is due."""
        self._watches[watch] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(watch.due_at, self._expire)

    def remove(self, watch: "_Watch") -> None:
        """Leave the task of this watch alone."""
        self._watches.pop(watch, None)

    def _expire(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        while self._watches:
            watch = next(iter(self._watches))
            if watch.due_at > loop.time():
                self._timer = loop.call_at(watch.due_at, self._expire)
                return
            del self._watches[watch]
            watch.expire()


class _Watch:
    """One task under the deadline."""

    __slots__ = ("_cancelling", "_deadline", "_is_over", "_task", "due_at")

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # only a task can be cancelled
        self._task = task
        self._cancelling = task.cancelling()
        self.due_at = asyncio.get_running_loop().time() + self._deadline.seconds
        self._deadline.add(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deadline.remove(self)
        if (
            self._is_over
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the task; leaving the context then raises TimeoutError."""
        self._is_over = True
        self._task.cancel()
