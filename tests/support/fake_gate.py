"""A gate for tests: it grants at once unless it is told otherwise, and notes what it is told."""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from workers.gate.gate import Ask, ComeBack, Ending, Grant, PoolId


@dataclass
class FakeGate:
    """See `workers.gate.gate.Gate`."""

    pools: Mapping[str, str]
    """The pool that it grants of each provider."""
    answers: deque[ComeBack] = field(default_factory=deque)
    """What it says to the next asks, one each."""
    blocked: dict[str, ComeBack] = field(default_factory=dict)
    """What it says to every ask for a provider."""
    start_in_s: float = 0.0
    probes: int = 0
    """So many of the next grants are probes."""
    is_open: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, asks wait."""
    asked: list[tuple[Ask, float]] = field(default_factory=list)
    granted: list[Grant] = field(default_factory=list)
    settled: list[tuple[Grant, Ending]] = field(default_factory=list)
    called_off: int = 0
    """Asks that were cancelled while they waited."""

    def __post_init__(self) -> None:
        self.is_open.set()

    async def ask(self, ask: Ask, patience_s: float) -> Grant | ComeBack:
        self.asked.append((ask, patience_s))
        try:
            await self.is_open.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.called_off += 1
            raise
        if ask.provider in self.blocked:
            return self.blocked[ask.provider]
        if self.answers:
            return self.answers.popleft()
        self.probes -= 1
        start_at = asyncio.get_running_loop().time() + self.start_in_s
        pool = PoolId(ask.provider, self.pools[ask.provider])
        grant = Grant(ask, pool, start_at, is_probe=self.probes >= 0)
        self.granted.append(grant)
        return grant

    def settle(self, grant: Grant, ending: Ending) -> None:
        self.settled.append((grant, ending))

    async def close(self) -> None:
        pass

    @property
    def endings(self) -> list[Ending]:
        return [ending for _, ending in self.settled]

    @property
    def each_grant_is_settled_once(self) -> bool:
        times = Counter(id(grant) for grant, _ in self.settled)
        return times == Counter(id(grant) for grant in self.granted)
