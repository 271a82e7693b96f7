"""Permits of one worker process, handed round the open slices in turn.

A slice's jobs ask in their order; between slices it goes round, so that a batch of ten that opens
its slice beside eight full ones gets every ninth permit instead of waiting for eight hundred.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable


class Withdrawn(Exception):
    """Whoever waited for a permit is not to have one any more."""


class Permits:
    """`count` permits; used on one event loop."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count  # below zero after a shrinking, until enough are given back
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def in_use(self) -> int:
        """How many are held."""
        return self.count - self._free

    async def acquire(self, holder: Hashable) -> None:
        """Return with a permit; `release` it whatever happens.

        Raises:
            Withdrawn: `withdraw(holder)` was called meanwhile; there is no permit.
        """
        if self._free > 0:  # nobody waits while one is free
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(holder, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.release()
            raise

    def release(self) -> None:
        """Give a permit back: to the next in turn, if somebody waits."""
        self._free += 1
        if self._free > 0:
            self._hand_out()

    def resize(self, count: int) -> None:
        """Change how many there are; what is held stays held."""
        self._free += count - self.count
        self.count = count
        while self._free > 0 and self._waiting:
            self._hand_out()

    def withdraw(self, holder: Hashable) -> None:
        """Wake everybody who waits for this holder, without a permit."""
        for turn in self._waiting.pop(holder, ()):
            if not turn.done():
                turn.set_exception(Withdrawn())

    def _hand_out(self) -> None:
        """Give one free permit to the next in turn, if anybody waits."""
        while self._waiting:
            holder, turns = self._waiting.popitem(last=False)
            while turns:
                turn = turns.popleft()
                if not turn.done():
                    turn.set_result(None)
                    if turns:
                        self._waiting[holder] = turns
                    self._free -= 1
                    return
