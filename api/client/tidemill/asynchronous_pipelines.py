"""Pipelines and their runs for asyncio. The methods are those of `Pipelines`, which say what they do."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Protocol, TypeVar

from . import asks, run_asks
from .asks import Ask
from .deadline import Deadline
from .feed import Pauses
from .pipelines import day_of, page_of, retry_of, run_id_of, standing_of
from .run_shapes import Failure, Pipeline, Run
from .sums import Receipt

T = TypeVar("T")


class AsyncAsking(Protocol):
    """Sends a request, again while that may help, and returns its answer."""

    async def __call__(self, ask: Ask[T], *, retry_for_s: float | None = None) -> T:
        """Return the answer."""
        ...


class AsyncPipelines:
    """The pipelines of a project; see `Pipelines`."""

    def __init__(self, ask: AsyncAsking) -> None:
        self._ask = ask

    async def list(self) -> list[Pipeline]:
        """Return all of them."""
        return (await self._ask(run_asks.pipelines())).data

    async def start(
        self, pipeline: str, *, date: date | str | None = None, idempotency_key: str | None = None
    ) -> Run:
        """Begin a run now."""
        key = idempotency_key or secrets.token_urlsafe(18)
        return await self._ask(run_asks.begin(pipeline, day_of(date), key))

    async def run(self, run: Run | str) -> Run:
        """Return a run as it is now, with its stages and sinks."""
        return await self._ask(run_asks.run(run_id_of(run)))

    async def runs(
        self, pipeline: str | None = None, *, page_size: int = 100
    ) -> AsyncIterator[Run]:
        """Yield runs, the newest first, of one pipeline or of all."""
        cursor: str | None = None
        while True:
            page = await self._ask(run_asks.runs(page_of(pipeline, page_size, cursor)))
            for run in page.data:
                yield run
            cursor = page.next_cursor
            if cursor is None:
                return

    async def wait(self, run: Run | str, *, timeout_s: float | None = None) -> Run:
        """Return a run once it has ended."""
        deadline, pauses = Deadline(timeout_s), Pauses()
        while True:
            found = await self._ask(run_asks.run(run_id_of(run)), retry_for_s=deadline.left_s())
            if found.is_final:
                return found
            await asyncio.sleep(deadline.pause_s(pauses, standing_of(found)))

    async def cancel(self, run: Run | str) -> Run:
        """Send nothing more for a run."""
        return await self._ask(run_asks.cancel(run_id_of(run)))

    async def retry(
        self, run: Run | str, *, from_stage: str | None = None, as_now: bool = False
    ) -> Run:
        """Take up a run that has ended."""
        return await self._ask(run_asks.retry(run_id_of(run), retry_of(from_stage, as_now=as_now)))

    async def failures(self, run: Run | str, *, limit: int = 100) -> Sequence[Failure]:
        """Return rows that failed: where, and of what."""
        return (await self._ask(run_asks.failures(run_id_of(run), limit))).data

    async def receipt(self, run: Run | str) -> Receipt:
        """Return what the batches of a run cost together up to now."""
        return await self._ask(asks.receipt(run_id_of(run)))
