"""Turning stored lines into plans: long ones beside the event loop, one after the other.

Cutting a text into its parts takes a microsecond a character. A slice of a hundred books held up the loop for
so long that its own lease ran out, and that of every other slice of its process.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

LONG_CHARACTERS = 4_000
"""Of a stored line: what is shorter takes at most 5 ms, and most of it less than the way to a thread."""


class Planning:
    """Used on one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="plan")

    async def run(self, plan: Callable[[], T], characters: int) -> T:
        """Return what `plan` does for a line of so many characters; raises what it raises."""
        if characters < LONG_CHARACTERS:
            return plan()
        return await asyncio.get_running_loop().run_in_executor(self._thread, plan)

    def close(self) -> None:
        """Let what is under way end, and begin nothing more."""
        self._thread.shutdown(cancel_futures=True)
