"""Feeding from the event loop: slices that have dispatched their last job make room for the next."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from jobs.errors import ServiceUnavailable
from jobs.feed import Feeder
from jobs.store.leases.leases import Lease, mark_draining
from workers.transactions import Transactions

log = logging.getLogger(__name__)


class FeedLine:
    """Gathers drained slices while a feed is under way, and feeds once for all of them."""

    def __init__(self, feeder: Feeder, transactions: Transactions) -> None:
        self._feeder = feeder
        self._transactions = transactions
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        self._drained: dict[str, list[Lease]] = {}
        self._feeding: asyncio.Task[None] | None = None

    def drained(self, lease: Lease) -> None:
        """Note that a slice has dispatched its last job. Never waits."""
        self._drained.setdefault(lease.queue, []).append(lease)
        if self._feeding is None:
            self._feeding = asyncio.create_task(self._feed_all())

    async def close(self) -> None:
        """Finish what is under way and stop the thread."""
        if self._feeding is not None:
            await self._feeding
        self._thread.shutdown()

    async def _feed_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._drained:
                queue, leases = self._drained.popitem()
                try:
                    await asyncio.gather(*(self._mark(lease) for lease in leases))
                    await loop.run_in_executor(self._thread, self._feeder.feed, queue)
                except ServiceUnavailable as error:  # the sweep feeds what is missed here, too
                    log.warning("feeding %s: %s", queue, error)
                except Exception:  # the sweep feeds whatever is missed here
                    log.exception("feeding %s failed", queue)
        finally:
            self._feeding = None

    async def _mark(self, lease: Lease) -> None:
        """Make room for another slice of the queue."""
        await self._transactions.write(
            lambda session: mark_draining(session, lease), about=lease.batch_ref, tries=1
        )
