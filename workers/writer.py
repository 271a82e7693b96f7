"""The micro-batches: what jobs want written is gathered and flushed in one transaction at a time.

A flush takes what has come together while the one before was under way. Under load that is some
hundred rows; when little is going on a row waits for nobody.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
from prometheus_client import Histogram

from jobs.errors import ServiceUnavailable
from jobs.store import Database
from jobs.store.attempts.reports import Admission, Journal, Settlement, Unattempted
from jobs.store.money.settlement import flush

log = logging.getLogger(__name__)

ROWS_PER_FLUSH = 1000

GATHER_S = 0.02
"""A flush that follows another one closely waits so long for more rows to share its cost."""

RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between tries while the database is gone; the last one repeats. Nothing is given up: an
answer that was paid for is held until it can be stored."""


WAIT_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class _Item(msgspec.Struct, frozen=True):
    """Something to write, and whom to tell when it is: what the journal said, else None."""

    work: Journal | Settlement | Unattempted
    done: asyncio.Future[Admission | None]
    since_s: float


class Writer:
    """One process's way to journal and settle; used on one event loop, writes on one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._items: deque[_Item] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._last_flush_at = 0.0
        # One look a flush: a look a row would be a thousand for nothing.
        self.waited = Histogram(
            "tidemill_settle_seconds",
            "How long the first row of a flush waited, from its coming to its commit.",
            registry=None,
            buckets=WAIT_BOUNDS_S,
        )

    async def journal(self, wish: Journal) -> Admission:
        """Return once an attempt is journaled, or refused.

        Raises:
            Exception: the database's, for a row that it will never take.
        """
        admission = await self._put(wish)
        assert admission is not None  # a journal is always answered
        return admission

    async def settle(self, ending: Settlement | Unattempted) -> None:
        """Return once the end of an attempt, or of a job without one, is committed.

        Raises:
            Exception: the database's, for a row that it will never take.
        """
        await self._put(ending)

    async def close(self) -> None:
        """Flush what is left and stop the thread."""
        while self._flushing is not None:
            await self._flushing
        self._thread.shutdown()

    async def _put(self, work: Journal | Settlement | Unattempted) -> Admission | None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Admission | None] = loop.create_future()
        self._items.append(_Item(work, done, loop.time()))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush_all())
        return await done

    async def _flush_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._items:
                since = loop.time() - self._last_flush_at
                if since < GATHER_S and len(self._items) < ROWS_PER_FLUSH:
                    await asyncio.sleep(GATHER_S - since)
                await self._write(self._take(), again=False)
                self._last_flush_at = loop.time()
        finally:
            self._flushing = None

    def _take(self) -> list[_Item]:
        """Take the work of one flush."""
        items: list[_Item] = []
        while self._items and len(items) < ROWS_PER_FLUSH:
            item = self._items.popleft()
            # Nobody waits for it any more: it must not be journaled. An ending is written always.
            if not (isinstance(item.work, Journal) and item.done.cancelled()):
                items.append(item)
        return items

    async def _write(self, items: Sequence[_Item], *, again: bool) -> None:
        """Flush until it is committed; a failed try may have been, so the next one looks first.

        A row that the database will never take must not hold up the others: it is found by halving.
        """
        loop = asyncio.get_running_loop()
        tries = 0
        while items:
            try:
                admissions = await loop.run_in_executor(
                    self._thread, self._transact, items, again or tries > 0
                )
            except ServiceUnavailable as error:
                wait_s = RETRY_S[min(tries, len(RETRY_S) - 1)]
                log.warning("a flush failed, trying again in %.1f s: %s", wait_s, error)
                tries += 1
                await asyncio.sleep(wait_s)
            except Exception as error:
                if len(items) == 1:
                    log.exception("the database takes no %s", type(items[0].work).__name__)
                    if not items[0].done.done():
                        items[0].done.set_exception(error)
                    return
                half = len(items) // 2
                await self._write(items[:half], again=True)
                await self._write(items[half:], again=True)
                return
            else:
                self.waited.observe(loop.time() - items[0].since_s)
                _tell(items, admissions)
                return

    def _transact(self, items: Sequence[_Item], again: bool) -> list[Admission]:
        journals = [item.work for item in items if isinstance(item.work, Journal)]
        settlements = [item.work for item in items if isinstance(item.work, Settlement)]
        unattempted = [item.work for item in items if isinstance(item.work, Unattempted)]
        with self._database.write() as session:
            return flush(session, journals, settlements, unattempted, again=again)


def _tell(items: Sequence[_Item], admissions: Sequence[Admission]) -> None:
    """Answer whoever waits; the admissions are those of the journals, in order."""
    said = iter(admissions)
    for item in items:
        answer = next(said) if isinstance(item.work, Journal) else None
        if not item.done.done():
            item.done.set_result(answer)
