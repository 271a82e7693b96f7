"""The gate's script, typed: what one round says and what it is answered.

The script itself is in `lua/`, one thought a file; Redis knows no modules, so they are joined here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from redis.asyncio import Redis

from workers.gate.scopes import Scope

PARTS = (
    "order",
    "scope",
    "models",
    "rates",
    "days",
    "ledger",
    "breaker",
    "flights",
    "answers",
    "deciding",
    "round",
)
"""In their order: a part uses what stands before it."""

SOURCE = "".join(
    (Path(__file__).parent / "lua" / f"{part}.lua").read_text(encoding="utf-8") for part in PARTS
)


class Spoken(NamedTuple):
    """A scope in a round: the calls of this process in flight there, and what is told about it."""

    scope: Scope
    flights: int
    told: dict[str, Any] | None = None


class Wish(NamedTuple):
    """An ask in a round. `scope` is an index into the round's scopes, `rank` 1 (interactive) to 4."""

    scope: int
    rank: int
    tokens: int
    input_tokens: int
    output_tokens: int
    day_tokens: int


@dataclass(frozen=True, slots=True)
class Order:
    """One round over one pool, whose scope comes first. Asks are decided in their order."""

    process: str
    scopes: Sequence[Spoken]
    wishes: Sequence[Wish] = ()
    day_ends: float = 0.0
    probe_s: float = 600.0
    """After which a probe that nobody settled is given up."""

    def keys(self) -> list[str]:
        """The keys that the script touches."""
        return [spoken.scope.key for spoken in self.scopes]

    def argument(self) -> bytes:
        """The JSON that the script reads; indexes count from 1, as in Lua."""
        asks: list[int] = []
        for wish in self.wishes:
            asks.append(wish.scope + 1)
            asks.extend(wish[1:])
        return orjson.dumps(
            {
                "process": self.process,
                "probe_s": self.probe_s,
                "scopes": [
                    {
                        "name": spoken.scope.name,
                        "limits": spoken.scope.limits,
                        "flights": spoken.flights,
                        "day_ends": self.day_ends,
                    }
                    for spoken in self.scopes
                ],
                "told": {
                    str(index): spoken.told
                    for index, spoken in enumerate(self.scopes, 1)
                    if spoken.told
                },
                "asks": asks,
            }
        )


class Refusal(NamedTuple):
    """Why the asks of a scope and rank were not granted, and how long to stay away.

    `code` is pace, flights, day, blocked, probing, settling or unseeded; `detail` the dimension, the
    number of calls or the reason; `by` the index of the scope that refused. `limit` is the one that is
    kept, configured or learned, where a dimension refused; `start_s` how far away the start was, known
    for pace.
    """

    scope: int
    rank: int
    wait_s: float
    code: str
    detail: str
    by: int
    limit: float | None
    start_s: float | None


@dataclass(frozen=True, slots=True)
class Reply:
    """How a round was decided. `starts` are seconds from `now`, in the order of the wishes; None for no.

    `foreign` are indexes of scopes whose key somebody else had written, and which began anew.
    """

    now: float
    starts: list[float | None]
    refusals: list[Refusal] = field(default_factory=list)
    probes: frozenset[int] = frozenset()
    unseeded: tuple[int, ...] = ()
    foreign: tuple[int, ...] = ()


class Script:
    """The script on a Redis. `clock` replaces the server's clock, and is for tests."""

    def __init__(self, redis: Redis, clock: Callable[[], float] | None = None) -> None:
        self._script = redis.register_script(SOURCE)
        self._clock = clock

    async def run(self, order: Order) -> Reply:
        """Run a round.

        Raises:
            redis.exceptions.RedisError: it is not known whether the round took place.
        """
        arguments: list[Any] = [order.argument()]
        if self._clock is not None:
            arguments.append(f"{self._clock():.6f}")
        return read_reply(await self._script(keys=order.keys(), args=arguments))


def read_reply(raw: Sequence[Any]) -> Reply:
    """Read what the script returns."""
    seconds, micros, said, *starts = raw
    words = orjson.loads(said)
    return Reply(
        now=seconds + micros / 1e6,
        starts=[None if micros < 0 else micros / 1e6 for micros in starts],
        refusals=[_refusal(entry) for entry in _list(words["refused"])],
        probes=frozenset(int(position) for position in _list(words["probes"])),
        unseeded=_indexes(words["unseeded"]),
        foreign=_indexes(words["foreign"]),
    )


def _list(value: Any) -> list[Any]:
    # An empty table of Lua is an empty object in JSON.
    return value if isinstance(value, list) else []


def _indexes(value: Any) -> tuple[int, ...]:
    return tuple(int(index) - 1 for index in _list(value))


def _refusal(entry: list[Any]) -> Refusal:
    scope, rank, wait_s, code, detail, by, limit, start_s = entry
    return Refusal(
        scope=int(scope) - 1,
        rank=int(rank),
        wait_s=wait_s,
        code=code,
        detail=detail,
        by=int(by) - 1,
        limit=limit if limit > 0 else None,
        start_s=start_s if start_s >= 0 else None,
    )
