"""Permits of one worker process, handed round the open slices in turn, lent while nobody needs them.

A slice's jobs ask in their order; between slices of one weight it goes round, so that a batch of ten
that opens its slice beside eight full ones gets every ninth permit instead of waiting for eight
hundred. Between weights, permits are shared in their proportion.

Whoever holds a permit may say that it is idle: then others have it when they are short of one. So a
thousand jobs that wait for a slow provider hold up nobody, and nobody has to guess how many of them
to let in.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable

MOMENT_S = 0.05
"""A permit is lent only if it has been idle for so long: most are needed again sooner than that."""


class Withdrawn(Exception):
    """Whoever waited for a permit is not to have one any more."""


class _Class:
    """Those who wait with one weight: by holder, each in order."""

    def __init__(self) -> None:
        self.turns: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self.served = 0.0

    def pop(self) -> asyncio.Future[None] | None:
        """Return the next in turn that still waits."""
        while self.turns:
            holder, waiting = self.turns.popitem(last=False)
            while waiting:
                turn = waiting.popleft()
                if not turn.done():
                    if waiting:
                        self.turns[holder] = waiting
                    return turn
        return None


class Permits:
    """`count` permits; used on one event loop."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count  # below zero after a shrinking or a recall, until enough are given back
        self._classes: dict[float, _Class] = {}
        self._idle: dict[Hashable, float] = {}  # since when; the first is idle the longest
        self._lent: set[Hashable] = set()
        self._lending: asyncio.TimerHandle | None = None

    @property
    def in_use(self) -> int:
        """How many are held; those that were lent count once."""
        return self.count - self._free

    async def acquire(self, holder: Hashable, weight: float = 1.0) -> None:
        """Return with a permit; `release` it whatever happens, or `leave` it.

        Raises:
            Withdrawn: `withdraw(holder)` was called meanwhile; there is no permit.
        """
        if self._free > 0:  # nobody waits while one is free
            self._free -= 1
            return
        turn = self._line_up(holder, weight)
        self._lend_soon()
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

    def idle(self, owner: Hashable) -> None:
        """Note that `owner` has no use for its permit before it calls `recall`, then `leave`."""
        self._idle[owner] = asyncio.get_running_loop().time()
        if self._classes:
            self._lend_soon()

    def recall(self, owner: Hashable) -> bool:
        """Return whether an idle `owner` has its permit for use again.

        One that was lent is granted beyond the count; those who come later wait the longer. False
        if that has been done too often already: then all permits are in use by calls.
        """
        if self._idle.pop(owner, None) is not None:
            return True
        if -self._free > self.count // 8:
            return False
        self._lent.discard(owner)
        self._free -= 1
        return True

    def leave(self, owner: Hashable) -> None:
        """Give back the permit that `owner` has, idle or recalled; nothing if it was lent."""
        if owner in self._lent:
            self._lent.discard(owner)
        else:
            self._idle.pop(owner, None)
            self.release()

    def resize(self, count: int) -> None:
        """Change how many there are; what is held stays held."""
        self._free += count - self.count
        self.count = count
        while self._free > 0 and self._classes:
            self._hand_out()

    def withdraw(self, holder: Hashable) -> None:
        """Wake everybody who waits for this holder, without a permit."""
        for weight, waiting in list(self._classes.items()):
            for turn in waiting.turns.pop(holder, ()):
                if not turn.done():
                    turn.set_exception(Withdrawn())
            if not waiting.turns:
                del self._classes[weight]

    def _line_up(self, holder: Hashable, weight: float) -> asyncio.Future[None]:
        waiting = self._classes.get(weight)
        if waiting is None:
            # Whoever joins starts beside the others: it has nothing to catch up on.
            served = min((other.served for other in self._classes.values()), default=0.0)
            waiting = self._classes[weight] = _Class()
            waiting.served = served
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.turns.setdefault(holder, deque()).append(turn)
        return turn

    def _hand_out(self) -> None:
        """Give one free permit to the next in turn, if anybody waits."""
        while self._classes:
            weight, waiting = min(
                self._classes.items(), key=lambda each: (each[1].served, -each[0])
            )
            turn = waiting.pop()
            if not waiting.turns:
                del self._classes[weight]
            if turn is not None:
                waiting.served += 1 / weight
                turn.set_result(None)
                self._free -= 1
                return

    def _lend_soon(self) -> None:
        """See to it that the permit that has been idle the longest is lent when its time comes."""
        if self._lending is None and self._idle:
            since = next(iter(self._idle.values()))
            loop = asyncio.get_running_loop()
            self._lending = loop.call_at(since + MOMENT_S, self._lend)

    def _lend(self) -> None:
        """Lend what has been idle for long enough, as far as somebody waits for it."""
        self._lending = None
        idle_since = asyncio.get_running_loop().time() - MOMENT_S
        while self._classes and self._idle:
            owner, since = next(iter(self._idle.items()))
            if since > idle_since:
                break
            del self._idle[owner]
            self._lent.add(owner)
            self.release()
        if self._classes:
            self._lend_soon()
