"""The batches that live calls stand in: one for each project and day, leased while their process lives."""

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from jobs.clock import utcnow
from jobs.errors import LeaseLost, ServiceUnavailable
from jobs.store import live
from jobs.store.leases import leases
from jobs.store.leases.leases import Lease
from jobs.store.live import Keeper, LiveJob
from workers.transactions import Transactions

log = logging.getLogger(__name__)

PLACING_TRIES = 2
"""Somebody waits: a database that doesn't take a call in is told of."""


@dataclass(eq=False, slots=True)
class LiveBatch:
    """An open one. `calls` are not over yet."""

    lease: Lease
    day: date
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call stands in the books."""

    batch: LiveBatch
    seq: int

    @property
    def lease(self) -> Lease:
        """Of its slice."""
        return self.batch.lease


class LiveBatches:
    """All of one process, called `owner`. Used on one event loop."""

    def __init__(self, transactions: Transactions, owner: str) -> None:
        self._transactions = transactions
        self._owner = owner
        self._by_project: dict[int, LiveBatch] = {}
        self._open: set[LiveBatch] = set()
        self._beginning: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def place(self, project_id: int, job: LiveJob) -> Place:
        """Enter a call; `leave` its place when it is over.

        Raises:
            ServiceUnavailable: the database doesn't answer.
        """
        batch = self._by_project.get(project_id)
        if batch is None or batch.day != utcnow().date():
            async with self._beginning[project_id]:
                batch = self._by_project.get(project_id)
                if batch is None or batch.day != utcnow().date():
                    return await self._begin(project_id, job)
        batch.calls += 1
        try:
            seq = await self._add(batch, job)
        except LeaseLost as error:
            log.warning("%s: later calls stand in another batch", error)
            self._forget(batch)
            return await self.place(project_id, job)
        except BaseException:
            batch.calls -= 1
            raise
        return Place(batch, seq)

    def leave(self, place: Place) -> None:
        """Note that a call is over and settled."""
        place.batch.calls -= 1

    async def renew(self) -> None:
        """Keep the leases; end the batches of a day that is over once their calls are.

        Raises:
            ServiceUnavailable: the database doesn't answer.
        """
        today = utcnow().date()
        for batch in [batch for batch in self._open if batch.day != today and not batch.calls]:
            await self._finish(batch)
        held = [(batch.lease.batch_id, batch.lease.slice_no) for batch in self._open]
        if held:
            await self._transactions.write(
                lambda session: leases.renew(session, self._owner, held), about="leases", tries=1
            )

    async def close(self) -> None:
        """End all of them; no call may be under way."""
        for batch in list(self._open):
            try:
                await self._finish(batch)
            except ServiceUnavailable as error:  # the sweep ends it
                log.warning("%s stays open: %s", batch.lease.batch_ref, error)

    async def _begin(self, project_id: int, job: LiveJob) -> Place:
        keeper = Keeper(project_id, self._owner)
        lease = await self._transactions.write(
            lambda session: live.begin(session, keeper, job),
            about=("live", project_id),
            tries=PLACING_TRIES,
        )
        batch = LiveBatch(lease, utcnow().date(), calls=1)
        self._by_project[project_id] = batch
        self._open.add(batch)
        return Place(batch, 0)

    async def _add(self, batch: LiveBatch, job: LiveJob) -> int:
        return await self._transactions.write(
            lambda session: live.add(session, batch.lease, job),
            about=batch.lease.batch_ref,
            tries=PLACING_TRIES,
        )

    async def _finish(self, batch: LiveBatch) -> None:
        self._forget(batch)
        try:
            await self._transactions.write(
                lambda session: live.finish(session, batch.lease),
                about=batch.lease.batch_ref,
                tries=PLACING_TRIES,
            )
        except LeaseLost as error:
            log.warning("%s", error)

    def _forget(self, batch: LiveBatch) -> None:
        self._open.discard(batch)
        if self._by_project.get(batch.lease.project_id) is batch:
            del self._by_project[batch.lease.project_id]
