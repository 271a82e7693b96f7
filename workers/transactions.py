"""Transactions from the event loop: run on a few threads, tried again while the database is gone."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from jobs.errors import ServiceUnavailable
from jobs.store import Database, Session

log = logging.getLogger(__name__)

THREADS = 4
"""Leases, heartbeats and endings of slices; none of them is on a job's path."""

RETRY_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits between tries; the last one repeats."""

T = TypeVar("T")


class Transactions:
    """One process's transactions beside the writer's micro-batches."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="transaction")

    async def write(self, work: Callable[[Session], T], *, tries: int | None = None) -> T:
        """Return what `work` returns in a committed transaction.

        Args:
            work: must be harmless to run again after a commit whose answer was lost.
            tries: None goes on until the database answers.

        Raises:
            ServiceUnavailable: the last try's, after `tries`.
            Exception: whatever else `work` raised; it is not tried again.
        """
        loop = asyncio.get_running_loop()
        tried = 0
        while True:
            try:
                return await loop.run_in_executor(self._threads, self._transact, work)
            except ServiceUnavailable as error:
                tried += 1
                if tries is not None and tried >= tries:
                    raise
                wait_s = RETRY_S[min(tried, len(RETRY_S)) - 1]
                log.warning("%s; trying again in %.1f s", error, wait_s)
                await asyncio.sleep(wait_s)

    def close(self) -> None:
        """Wait for what runs and stop the threads."""
        self._threads.shutdown()

    def _transact(self, work: Callable[[Session], T]) -> T:
        with self._database.write() as session:
            return work(session)
