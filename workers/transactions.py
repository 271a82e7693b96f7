"""Transactions from the event loop: several share a commit, all are tried again while the database is gone.

A commit costs the same for one slice's lease as for twenty. Works on the same batch have to take
turns anyway, as each locks the batch's row: so those that come while one is under way wait, and go
together in the next.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from jobs.errors import ServiceUnavailable
from jobs.store import Database, Session

log = logging.getLogger(__name__)

THREADS = 4
"""Batches that are written to at once, and as many reads: a long one keeps no heartbeat waiting."""

TOGETHER = 50
"""Works that share a transaction: some 20 ms, and no other writer waits longer for the batch."""

RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between tries; the last one repeats."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Work:
    """Something to do in a transaction, and whom to tell what it returned."""

    run: Callable[[Session], Any]
    done: asyncio.Future[Any]


class Transactions:
    """One process's transactions beside the writer's micro-batches; used on one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writing = ThreadPoolExecutor(THREADS, thread_name_prefix="transaction")
        self._reading = ThreadPoolExecutor(THREADS, thread_name_prefix="read")
        self._waiting: dict[Hashable, deque[_Work]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(
        self, run: Callable[[Session], T], *, about: Hashable, tries: int | None = None
    ) -> T:
        """Return what `run` returns in a committed transaction.

        Args:
            run: must be harmless to run again after a commit whose answer was lost.
            about: the batch, or what else it locks: works about the same may share a transaction.
            tries: None goes on until the database answers.

        Raises:
            ServiceUnavailable: the last try's, after `tries`.
            Exception: whatever else `run` raised; it is not tried again.
        """
        loop = asyncio.get_running_loop()
        tried = 0
        while True:
            done: asyncio.Future[T] = loop.create_future()
            self._put(_Work(run, done), about)
            try:
                return await done
            except ServiceUnavailable as error:
                tried += 1
                if tries is not None and tried >= tries:
                    raise
                wait_s = RETRY_S[min(tried, len(RETRY_S)) - 1]
                log.warning("%s; trying again in %.1f s", error, wait_s)
                await asyncio.sleep(wait_s)

    async def read(self, run: Callable[[Session], T]) -> T:
        """Return what `run` reads, waiting for no writer.

        Raises:
            ServiceUnavailable: the database doesn't answer.
        """
        return await asyncio.get_running_loop().run_in_executor(self._reading, self._read, run)

    def close(self) -> None:
        """Wait for what runs and stop the threads."""
        self._writing.shutdown()
        self._reading.shutdown()

    def _put(self, work: _Work, about: Hashable) -> None:
        waiting = self._waiting.get(about)
        if waiting is not None:
            waiting.append(work)
            return
        self._waiting[about] = deque([work])
        task = asyncio.create_task(self._write_all(about))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write_all(self, about: Hashable) -> None:
        """Write what waits, and what comes meanwhile."""
        waiting = self._waiting[about]
        try:
            while waiting:
                works = [waiting.popleft() for _ in range(min(len(waiting), TOGETHER))]
                await self._write(works)
        finally:
            del self._waiting[about]

    async def _write(self, works: Sequence[_Work]) -> None:
        """Write works in one transaction; if one of them fails, each in its own."""
        loop = asyncio.get_running_loop()
        try:
            returned = await loop.run_in_executor(self._writing, self._transact, works)
        except Exception as error:  # noqa: BLE001 - it is told to whoever waits
            if len(works) > 1 and not isinstance(error, ServiceUnavailable):
                for work in works:
                    await self._write([work])
                return
            for work in works:
                if not work.done.done():
                    work.done.set_exception(error)
            return
        for work, value in zip(works, returned, strict=True):
            if not work.done.done():
                work.done.set_result(value)

    def _transact(self, works: Sequence[_Work]) -> list[Any]:
        returned = []
        with self._database.write() as session:
            for work in works:
                returned.append(work.run(session))
                # The next one reads what this one wrote, also by statements past the session.
                session.flush()
                session.expire_all()
        return returned

    def _read(self, run: Callable[[Session], T]) -> T:
        with self._database.read() as session:
            return run(session)
