"""What one listener is told of a batch, in order: how it stands, what came out, that it ended.

Nothing is queued for anybody. A listener comes for the next piece when it has taken the last one, and
is told how the batch stands then; what it was too slow for it never hears of.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from api.listening.pages import Pages, ResultPage
from api.listening.watcher import Watched, Watcher
from jobs.errors import ServiceUnavailable

QUIET_S = 15.0
"""After so long without news a listener is told that there is none: proxies drop what is silent."""

KEY_CHECKED_EVERY_S = 20.0
"""With the quiet time before it a revoked key hears nothing new after 40 s at most."""

AGAIN_S = 1.0
"""Until a page that couldn't be read is tried again."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How the batch stands."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Quiet:
    """There is no news."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The batch is final, and everything of it was told up to this position."""

    state: str
    cursor: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """The listener's key is not valid any more; nothing comes after it."""


Piece = Progress | ResultPage | Quiet | Ended | Revoked


@dataclass(frozen=True, slots=True)
class Wish:
    """What a listener wants: also results, and those after which position."""

    results: bool
    after: int


class KeyCheck:
    """Whether a listener still may listen, asked now and then."""

    def __init__(self, is_allowed: Callable[[], Awaitable[bool]]) -> None:
        self._is_allowed = is_allowed
        self._next_s = time.monotonic() + KEY_CHECKED_EVERY_S

    async def fails(self) -> None:
        """Return when the key is valid no more."""
        held = True
        while held:
            await asyncio.sleep(KEY_CHECKED_EVERY_S)
            held = await self.holds()

    async def holds(self) -> bool:
        """Return False once the key was found to be valid no more; without the database nobody knows."""
        if time.monotonic() < self._next_s:
            return True
        self._next_s = time.monotonic() + KEY_CHECKED_EVERY_S
        try:
            return await self._is_allowed()
        except ServiceUnavailable:
            return True


class Listening:
    """What a process needs to be listened to. `watcher` and `pages` are used by its one event loop."""

    def __init__(self, watcher: Watcher, pages: Pages) -> None:
        self.watcher = watcher
        self.pages = pages

    async def follow(
        self, watched: Watched, wish: Wish, is_allowed: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[Piece]:
        """Yield pieces until the batch has ended, the key is revoked, or this process stops.

        `is_allowed` asks whether the listener still may listen; it may be asked often.
        """
        told, after = b"", wish.after
        key = KeyCheck(is_allowed)
        while not self.watcher.has_ended:
            changed = watched.changed
            if not await key.holds():
                yield Revoked()
                return
            if watched.progress != told:
                told = watched.progress
                yield Progress(told)
            elif wish.results and after < watched.finished_jobs:
                page = await self._page(watched, after)
                if page is not None:
                    after = page.last
                    yield page
            elif watched.is_final:
                yield Ended(watched.state, after if wish.results else watched.finished_jobs)
                return
            elif not await _happens(changed):
                yield Quiet()

    async def _page(self, watched: Watched, after: int) -> ResultPage | None:
        """Return the next page; None, after a while, if it can't be read now."""
        try:
            page = await self.pages.read(
                watched.batch_id, after=after, finished=watched.finished_jobs
            )
            if page.lines:
                return page
        except ServiceUnavailable:
            pass
        await asyncio.sleep(AGAIN_S)
        return None


async def _happens(changed: asyncio.Event) -> bool:
    """Wait for a change; return False if there is none for a while."""
    try:
        async with asyncio.timeout(QUIET_S):
            await changed.wait()
    except TimeoutError:
        return False
    return True
