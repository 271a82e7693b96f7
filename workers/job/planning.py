"""Turning stored lines into plans: long ones beside the event loop, one after the other.

Cutting a text into its parts takes a microsecond a character. A slice of a hundred books held up the loop for
so long that its own lease ran out, and that of every other slice of its process.

Of lines that wait the longer ones let the shorter ones pass, or a letter would stand behind a hundred books
for minutes. They do so for a minute at most, so that a stream of letters holds up no book.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from typing import TypeVar

T = TypeVar("T")

LONG_CHARACTERS = 4_000
"""Of a stored line: what is shorter takes at most 5 ms, and most of it less than the way to a thread."""

PASSED_S_PER_CHARACTER = 1e-4
"""For so long after it came a line is passed by shorter ones: a hundred times as long as it takes itself."""

LONGEST_PASSED_S = 60.0
"""However long a line is: its slice closes after five minutes."""


class Planning:
    """Used on one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="plan")
        self._is_busy = False
        self._numbers = count()
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []

    async def run(self, plan: Callable[[], T], characters: int) -> T:
        """Return what `plan` does for a line of so many characters; raises what it raises."""
        if characters < LONG_CHARACTERS:
            return plan()
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        passed_s = min(characters * PASSED_S_PER_CHARACTER, LONGEST_PASSED_S)
        heappush(self._waiting, (loop.time() + passed_s, next(self._numbers), turn))
        if not self._is_busy:
            self._next()
        try:
            await turn
            return await loop.run_in_executor(self._thread, plan)
        finally:
            if turn.done() and not turn.cancelled():
                self._next()

    def close(self) -> None:
        """Let what is under way end, and begin nothing more."""
        self._thread.shutdown(cancel_futures=True)

    def _next(self) -> None:
        """Give the turn to whoever is due first and still wants it."""
        self._is_busy = False
        while self._waiting and not self._is_busy:
            _, _, turn = heappop(self._waiting)
            with suppress(asyncio.InvalidStateError):  # it was called off
                turn.set_result(None)
                self._is_busy = True
