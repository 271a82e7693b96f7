"""The micro-batches: what jobs want written is gathered and flushed in one transaction at a time.

A flush takes what has come together while the one before was under way. Under load that is some
hundred rows; when little is going on a row waits for nobody.
"""

import asyncio
import logging
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from jobs.store import Database
from jobs.store.settlement import Admission, Journal, Settlement, Unattempted, flush

log = logging.getLogger(__name__)

ROWS_PER_FLUSH = 1000

GATHER_S = 0.02
"""A flush that follows another one closely waits so long for more rows to share its cost."""

RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between tries while the database is gone; the last one repeats. Nothing is given up: an
answer that was paid for is held until it can be stored."""

Work = Journal | Settlement | Unattempted


@dataclass(slots=True)
class _Load:
    """One flush: the work, and whom to tell."""

    journals: list[Journal] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    unattempted: list[Unattempted] = field(default_factory=list)
    admitted: list[asyncio.Future[Admission]] = field(default_factory=list)
    written: list[asyncio.Future[None]] = field(default_factory=list)


class Writer:
    """One process's way to journal and settle; used on one event loop, writes on one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._journals: deque[tuple[Journal, asyncio.Future[Admission]]] = deque()
        self._endings: deque[tuple[Settlement | Unattempted, asyncio.Future[None]]] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._last_flush_at = 0.0

    async def journal(self, wish: Journal) -> Admission:
        """Return once an attempt is journaled, or refused."""
        admitted: asyncio.Future[Admission] = asyncio.get_running_loop().create_future()
        self._journals.append((wish, admitted))
        self._start()
        return await admitted

    async def settle(self, ending: Settlement | Unattempted) -> None:
        """Return once the end of an attempt, or of a job without one, is committed."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._endings.append((ending, written))
        self._start()
        await written

    async def close(self) -> None:
        """Flush what is left and stop the thread."""
        while self._flushing is not None:
            await self._flushing
        self._thread.shutdown()

    def _start(self) -> None:
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush_all())

    async def _flush_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._journals or self._endings:
                since = loop.time() - self._last_flush_at
                if since < GATHER_S and len(self._journals) + len(self._endings) < ROWS_PER_FLUSH:
                    await asyncio.sleep(GATHER_S - since)
                load = self._take()
                admissions = await self._write(load)
                self._last_flush_at = loop.time()
                for admitted, admission in zip(load.admitted, admissions, strict=True):
                    if not admitted.done():
                        admitted.set_result(admission)
                for written in load.written:
                    if not written.done():
                        written.set_result(None)
        finally:
            self._flushing = None

    def _take(self) -> _Load:
        """Take the work of one flush: endings first, as they free money and finish slices."""
        load = _Load()
        while self._endings and len(load.written) < ROWS_PER_FLUSH:
            ending, written = self._endings.popleft()
            load.written.append(written)
            if isinstance(ending, Settlement):
                load.settlements.append(ending)
            else:
                load.unattempted.append(ending)
        while self._journals and len(load.admitted) < ROWS_PER_FLUSH:
            wish, admitted = self._journals.popleft()
            if admitted.cancelled():  # nobody waits any more: it must not be journaled
                continue
            load.journals.append(wish)
            load.admitted.append(admitted)
        return load

    async def _write(self, load: _Load) -> list[Admission]:
        """Flush until it is committed; a failed try may have been, so the next one looks first."""
        loop = asyncio.get_running_loop()
        tries = 0
        while True:
            try:
                return await loop.run_in_executor(self._thread, self._transact, load, tries > 0)
            except Exception:  # whatever the database's fault, an answer must not be dropped
                wait_s = RETRY_S[min(tries, len(RETRY_S) - 1)]
                log.exception("a flush failed, trying again in %.1f s", wait_s)
                tries += 1
                await asyncio.sleep(wait_s)

    def _transact(self, load: _Load, again: bool) -> list[Admission]:
        with self._database.write() as session:
            return flush(session, load.journals, load.settlements, load.unattempted, again=again)
