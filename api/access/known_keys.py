"""What an API process remembers of keys: those that were valid lately, and who guesses at others."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from starlette.requests import HTTPConnection

from jobs.clock import utcnow
from jobs.store.projects import Caller

REMEMBERED_S = 5.0
"""How long a key that was found valid is believed: also how long a revoked one may still work."""

REMEMBERED_KEYS = 10_000

GUESSES = 20
"""Unknown keys that one address may send at once; it gets one more every `GUESS_EVERY_S`."""

GUESS_EVERY_S = 3.0

REMEMBERED_SOURCES = 10_000


def source_of(request: HTTPConnection) -> str:
    """Return the address that a request comes from; empty where there is none."""
    return "" if request.client is None else request.client.host


class Belief(NamedTuple):
    """Who a key spoke for when it was looked up, and until when that is believed (monotonic)."""

    caller: Caller
    until_s: float


class KnownKeys:
    """Keys that were found valid lately, by their hash."""

    def __init__(self) -> None:
        self._beliefs: dict[bytes, Belief] = {}
        self._asked: dict[bytes, asyncio.Future[Caller | None]] = {}

    def caller(self, key_hash: bytes) -> Caller | None:
        """Return who a key speaks for that was valid within the last seconds."""
        belief = self._beliefs.get(key_hash)
        return belief.caller if belief is not None and belief.until_s > time.monotonic() else None

    def has_seen(self, key_hash: bytes) -> bool:
        """Whether the key was valid when it was last looked up, however long ago."""
        return key_hash in self._beliefs

    def remember(self, key_hash: bytes, caller: Caller) -> None:
        """Believe a key for a while, never beyond its own end."""
        if len(self._beliefs) >= REMEMBERED_KEYS:
            self._beliefs.clear()
        left_s = REMEMBERED_S
        if caller.expires_at is not None:
            left_s = min(left_s, (caller.expires_at - utcnow()).total_seconds())
        self._beliefs[key_hash] = Belief(caller, time.monotonic() + left_s)

    async def looked_up(
        self, key_hash: bytes, look_up: Callable[[], Coroutine[Any, Any, Caller | None]]
    ) -> Caller | None:
        """Return what `look_up` does, or one that is under way: a thousand listeners ask at one moment."""
        asked = self._asked.get(key_hash)
        if asked is None:
            asked = self._asked[key_hash] = asyncio.ensure_future(look_up())
            asked.add_done_callback(lambda _: self._asked.pop(key_hash))
        return await asyncio.shield(asked)

    def forget(self, key_hash: bytes) -> None:
        """Forget a key that was found not to be valid any more."""
        self._beliefs.pop(key_hash, None)


class Guesses:
    """How many unknown keys an address may still send: a bucket for each, refilled by time.

    A guess costs a look-up in the database, which is what is protected; 256 bits need no protection.
    """

    def __init__(self) -> None:
        self._paid_until: dict[str, float] = {}

    def wait_s(self, source: str) -> float:
        """Return for how long no more unknown keys are looked up; 0 if one may come now."""
        next_s = self._paid_until.get(source, 0.0) - (GUESSES - 1) * GUESS_EVERY_S
        return max(0.0, next_s - time.monotonic())

    def count(self, source: str) -> None:
        """Count a key that was not known."""
        if len(self._paid_until) >= REMEMBERED_SOURCES:
            del self._paid_until[next(iter(self._paid_until))]  # it guessed the longest ago
        now_s = time.monotonic()
        paid_until_s = self._paid_until.pop(source, 0.0)
        self._paid_until[source] = max(paid_until_s, now_s) + GUESS_EVERY_S
