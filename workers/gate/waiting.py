"""Who waits for a start in this process: a queue for each model and priority."""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile, zip_longest

from jobs.states import Priority
from workers.gate.gate import BLOCKED_PATIENCE_S, Ask, ComeBack, Grant

RANKS: dict[str, int] = {
    Priority.INTERACTIVE: 1,
    Priority.HIGH: 2,
    Priority.NORMAL: 3,
    Priority.BULK: 4,
}
"""The script's numbers of the priorities, first come those of the first."""

MEMORY_S = 5.0
"""Over what time a queue's pace is averaged."""

FORETOLD_S = 0.25
"""For so long what a call is expected to use is not asked again. Of the first hundreds of a batch
nothing is known: at what they were foretold at first, a limit on output would idle for ten seconds."""


@dataclass(slots=True, eq=False)
class Waiter:
    """An ask in a queue. Its answer is set once; a cancelled one is dropped when its turn comes."""

    ask: Ask
    since: float
    patience_s: float
    answer: asyncio.Future[Grant | ComeBack]
    _foretold_at: float = field(init=False)

    def __post_init__(self) -> None:
        self._foretold_at = self.since

    def renew(self, now: float) -> None:
        """Let the ask be foretold again, if that was some time ago."""
        if self.ask.renew is not None and now - self._foretold_at >= FORETOLD_S:
            self.ask = self.ask.renew()
            self._foretold_at = now

    def gives_up_at(self, is_blocked: bool) -> float:
        """Return until when it waits for what refuses it: pace, or a block."""
        patience_s = min(self.patience_s, BLOCKED_PATIENCE_S) if is_blocked else self.patience_s
        return self.since + patience_s


@dataclass(slots=True, eq=False)
class Queue:
    """The asks of one model and rank: resumed ones, then the others, each in their order."""

    model: str
    rank: int
    waiters: deque[Waiter] = field(default_factory=deque)
    _pace: float = 0.0
    _paced_at: float = 0.0

    def join(self, waiter: Waiter) -> None:
        """Let somebody wait from now on; behind a round's worth of others if one is under way."""
        if waiter.ask.is_resumed:
            before = takewhile(lambda other: other.ask.is_resumed, self.waiters)
            self.waiters.insert(sum(1 for _ in before), waiter)
        else:
            self.waiters.append(waiter)

    def take(self, count: int) -> list[Waiter]:
        """Remove and return up to `count` that still wait."""
        taken: list[Waiter] = []
        while self.waiters and len(taken) < count:
            waiter = self.waiters.popleft()
            if not waiter.answer.done():
                taken.append(waiter)
        return taken

    def put_back(self, waiters: list[Waiter]) -> None:
        """Put what was taken back to the front."""
        self.waiters.extendleft(reversed(waiters))

    def note_granted(self, count: int, now: float) -> None:
        """Remember the pace at which starts are granted."""
        self._pace = self._pace_at(now) + count / MEMORY_S
        self._paced_at = now

    def drained_in_s(self, now: float) -> float:
        """Return how long what waits here will take at the present pace, between 0.1 and 60 s."""
        return min(60.0, max(0.1, len(self.waiters) / max(self._pace_at(now), 0.1)))

    def _pace_at(self, now: float) -> float:
        return self._pace * max(0.0, 1.0 - (now - self._paced_at) / MEMORY_S)

    def dismiss(self, start_at: float, reply: ComeBack) -> None:
        """Answer all whose patience, for pace or for a block, ends before `start_at`."""
        staying: deque[Waiter] = deque()
        for waiter in self.waiters:
            if waiter.answer.done():
                continue
            if waiter.gives_up_at(reply.is_blocked) < start_at:
                waiter.answer.set_result(reply)
            else:
                staying.append(waiter)
        self.waiters = staying


class WaitingRoom:
    """The queues of a provider."""

    def __init__(self) -> None:
        self._queues: dict[tuple[int, str], Queue] = {}

    def queue(self, model: str, rank: int) -> Queue:
        """Return a queue, made when it is first asked for."""
        found = self._queues.get((rank, model))
        if found is None:
            found = self._queues[rank, model] = Queue(model, rank)
        return found

    def waited_for(self) -> Iterator[Queue]:
        """Iterate over the queues in which somebody waits, highest priority first."""
        yield from sorted((q for q in self._queues.values() if q.waiters), key=lambda q: q.rank)

    def forget_empty(self) -> None:
        """Drop the queues of models that nobody asks for any more."""
        self._queues = {key: queue for key, queue in self._queues.items() if queue.waiters}


def in_turn(hands: list[tuple[Queue, list[Waiter]]]) -> list[tuple[Queue, Waiter]]:
    """Return what was taken from several queues in the order of asking: by rank, models in turn."""
    order: list[tuple[Queue, Waiter]] = []
    for rank in sorted({queue.rank for queue, _ in hands}):
        rows = [
            [(queue, waiter) for waiter in taken] for queue, taken in hands if queue.rank == rank
        ]
        for turn in zip_longest(*rows):
            order.extend(pair for pair in turn if pair is not None)
    return order
