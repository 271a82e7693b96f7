"""Which prompt caches are being written, and which are there: what worker processes tell each other of them.

A hint in Redis, never more: without it each process has every cache written once.

`tidemill:prompt-cache:PROVIDER:MODEL:PREFIX` holds `priming PROCESS` while a process has it written, then
`warm POOL` for as long as the provider keeps it at least. Both run out by themselves: a claim within
`CLAIM_S` of its process's death, as a living one renews it.
"""

import asyncio
import logging
from collections.abc import Coroutine
from enum import Enum, auto
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

KEY = "tidemill:prompt-cache"
LOOK_EVERY_S = 0.1
"""How often is looked whether another process is done: far less than a call takes."""

CLAIM_S = 5.0
"""How long a claim is believed that its process doesn't renew. A killed one's jobs are with another worker
some 15 s later, and shall not wait for it then."""

RENEW_EVERY_S = 1.5
"""Often enough that a busy process or a slow Redis may miss twice."""

_UNREACHABLE = (RedisError, OSError, TimeoutError)


class Entry(NamedTuple):
    """The cache of one prefix at one provider's model."""

    provider: str
    model: str
    prefix: str


class Warm(NamedTuple):
    """Another process has had the cache written, in this pool."""

    pool: str


class Claim(Enum):
    """What else a claim comes to."""

    OURS = auto()
    """This process is to have it written."""
    BUSY = auto()
    """Another one is at it, and has been for too long to wait for."""


class SharedPrimings:
    """One process's side of it. `process` is a name that no other process has."""

    def __init__(self, redis: Redis, process: str) -> None:
        self._redis = redis
        self._mine = f"priming {process}"
        self._tellings: set[asyncio.Task[None]] = set()
        self._claims: dict[Entry, asyncio.Task[None]] = {}

    async def claim(self, entry: Entry, held_s: float, patience_s: float) -> Claim | Warm:
        """Return who has the cache written, waiting for another process for `patience_s`.

        A claim of this process's lasts until it says how it ended, and `held_s` at most.
        """
        loop, key = asyncio.get_running_loop(), _key(entry)
        until = loop.time() + patience_s
        try:
            while not await self._redis.set(key, self._mine, nx=True, px=round(CLAIM_S * 1000)):
                said = await self._redis.get(key)
                word, _, rest = _text(said).partition(" ")
                if word == "warm":
                    return Warm(rest)
                if loop.time() >= until:
                    return Claim.BUSY
                if said is not None:
                    await asyncio.sleep(LOOK_EVERY_S)
        except _UNREACHABLE as error:
            log.debug("whether another worker primes %s can't be asked: %s", entry, error)
            return Claim.OURS
        self._end(entry)
        self._claims[entry] = asyncio.create_task(self._keep(entry, held_s))
        return Claim.OURS

    def is_warm(self, entry: Entry, pool: str, kept_s: float) -> None:
        """Tell the other processes that the cache can be read; never waits."""
        self._end(entry)
        self._tell(self._set(_key(entry), f"warm {pool}", round(kept_s * 1000)))

    def gives_up(self, entry: Entry) -> None:
        """Let another process have it written; never waits."""
        self._end(entry)
        self._tell(self._drop(_key(entry)))

    async def close(self) -> None:
        """Wait until everything is told; the connection belongs to whoever made it."""
        for entry in [*self._claims]:
            self._end(entry)
        if self._tellings:
            await asyncio.wait(self._tellings)

    async def _keep(self, entry: Entry, for_s: float) -> None:
        """Renew a claim for so long, or until it is another's."""
        loop, key = asyncio.get_running_loop(), _key(entry)
        until = loop.time() + for_s
        try:
            while (left_s := until - loop.time()) > 0:
                await asyncio.sleep(min(RENEW_EVERY_S, left_s))
                if _text(await self._redis.get(key)) != self._mine:
                    break
                await self._redis.pexpire(key, round(CLAIM_S * 1000))
        except _UNREACHABLE as error:
            log.debug("a claim of %s can't be renewed, and runs out: %s", entry, error)
        if self._claims.get(entry) is asyncio.current_task():
            del self._claims[entry]

    def _end(self, entry: Entry) -> None:
        """Renew a claim no longer."""
        if (keeping := self._claims.pop(entry, None)) is not None:
            keeping.cancel()

    async def _set(self, key: str, value: str, for_ms: int) -> None:
        await self._redis.set(key, value, px=for_ms)

    async def _drop(self, key: str) -> None:
        # Between the two another process may claim it; then a third does as well, and no harm is done.
        if _text(await self._redis.get(key)) == self._mine:
            await self._redis.delete(key)

    def _tell(self, telling: Coroutine[Any, Any, None]) -> None:
        async def quietly() -> None:
            try:
                await telling
            except _UNREACHABLE as error:
                log.debug("the other workers are not told of a prompt cache: %s", error)

        task = asyncio.create_task(quietly())
        self._tellings.add(task)
        task.add_done_callback(self._tellings.discard)


def _key(entry: Entry) -> str:
    return f"{KEY}:{entry.provider}:{entry.model}:{entry.prefix}"


def _text(said: object) -> str:
    return said if isinstance(said, str) else ""
