"""The client for asyncio. It has the methods of `Tidemill`, which say what they do and raise."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx
from tenacity import AsyncRetrying

from . import asks
from .answers import answer_of, id_of
from .asks import Ask
from .asynchronous_pipelines import AsyncPipelines
from .connection import key_of_environment, open_async_http, send_async, url_of_environment
from .deadline import Deadline, standing_of
from .feed import Feed, Order, Pauses
from .jobs import AsyncJobs, opened_async
from .options import Dollars, Options, RetryOptions, texts_of
from .patience import judge_of, patience
from .progress import display
from .shapes import Batch, Result
from .sums import Budget, Quote, Receipt, UsageReport
from .upload import Upload

T = TypeVar("T")


class AsyncResults(AsyncIterator[Result]):
    """The results of a batch, one by one. `cursor` is where another reader goes on."""

    def __init__(self, client: "AsyncTidemill", feed: Feed, *, follow: bool) -> None:
        self._client = client
        self._feed = feed
        self._results = self._read(follow=follow)

    @property
    def cursor(self) -> str | None:
        """The place after the last result that was handed out; None before the first."""
        return self._feed.cursor

    async def __anext__(self) -> Result:
        return await anext(self._results)

    async def _read(self, *, follow: bool) -> AsyncIterator[Result]:
        client, feed, has_ended = self._client, self._feed, not follow
        if follow and feed.needs_all:
            has_ended = (await client.wait(feed.batch_id, progress=False)).is_final
        while True:
            for result in feed.take(await client.send(feed.ask())):
                yield result
            if not feed.is_exhausted:
                continue
            if has_ended:
                return
            has_ended = (await client.get(feed.batch_id)).is_final
            if not has_ended:
                await asyncio.sleep(feed.pauses.next_s())


class AsyncTidemill:
    """A client of a Tidemill server, for one event loop; see `Tidemill`."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        retry_for_s: float = 60.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Connect to nothing yet; see `Tidemill`."""
        self._http = http or open_async_http(
            url or url_of_environment(), key or key_of_environment()
        )
        self._retry_for_s = retry_for_s
        self.pipelines = AsyncPipelines(self._ask)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(
        self, jobs: AsyncJobs, *, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> Batch:
        """Submit jobs as one batch. They are read in threads, block by block.

        Those of an asynchronous iterable are all waited for before the first one is sent.
        """
        key = idempotency_key or secrets.token_urlsafe(18)
        async with opened_async(jobs, options) as upload:
            return await self._ask(asks.submission(upload, texts_of(options), key))

    async def quote(self, jobs: AsyncJobs, **options: Unpack[Options]) -> Quote:
        """Return what jobs would take; nothing is stored or sent."""
        async with opened_async(jobs, options) as upload:
            return await self._ask(asks.quote(upload, texts_of(options)))

    async def get(self, batch: Batch | str) -> Batch:
        """Return a batch as it is now."""
        return await self._ask(asks.batch(id_of(batch)))

    async def batches(self, *, page_size: int = 100) -> AsyncIterator[Batch]:
        """Yield all batches, the newest first."""
        cursor: str | None = None
        while True:
            page = await self._ask(asks.batches(page_size, cursor))
            for batch in page.data:
                yield batch
            cursor = page.next_cursor
            if cursor is None:
                return

    def results(
        self,
        batch: Batch | str,
        *,
        follow: bool = True,
        order: Order = "finished",
        after: str | None = None,
    ) -> AsyncResults:
        """Return an iterator over the results, as they come, until the batch has ended."""
        return AsyncResults(self, Feed(id_of(batch), order, after), follow=follow)

    async def wait(
        self, batch: Batch | str, *, timeout_s: float | None = None, progress: bool | None = None
    ) -> Batch:
        """Return the batch once it has ended."""
        deadline, pauses, finished = Deadline(timeout_s), Pauses(), -1
        with display(progress) as shown:
            while True:
                found = await self._ask(asks.batch(id_of(batch)), retry_for_s=deadline.left_s())
                shown.show(found)
                if found.is_final:
                    return found
                if found.counts.finished != finished:
                    pauses, finished = Pauses(), found.counts.finished
                await asyncio.sleep(deadline.pause_s(pauses, standing_of(found)))

    async def pause(self, batch: Batch | str) -> Batch:
        """Let a batch send no more calls; those in flight end."""
        return await self._ask(asks.steering(id_of(batch), "pause"))

    async def resume(self, batch: Batch | str) -> Batch:
        """Let a paused batch go on."""
        return await self._ask(asks.steering(id_of(batch), "resume"))

    async def cancel(self, batch: Batch | str) -> Batch:
        """Give open jobs the result `cancelled`; calls in flight end."""
        return await self._ask(asks.steering(id_of(batch), "cancel"))

    async def set_max_cost(self, batch: Batch | str, max_cost_usd: Dollars | None) -> Batch:
        """Change a batch's budget, None for none."""
        text = texts_of({"max_cost_usd": max_cost_usd}).get("max_cost_usd")
        return await self._ask(asks.batch_change(id_of(batch), {"max_cost_usd": text}))

    async def retry(
        self,
        batch: Batch | str,
        *,
        codes: list[str] | None = None,
        idempotency_key: str | None = None,
        **changes: Unpack[RetryOptions],
    ) -> Batch:
        """Make a new batch of one that has ended: good answers are kept, the rest is run again."""
        query = texts_of(changes) | ({"code": ",".join(codes)} if codes else {})
        key = idempotency_key or secrets.token_urlsafe(18)
        return await self._ask(asks.retry(id_of(batch), query, key))

    async def usage(
        self, *by: str, since: str | None = None, until: str | None = None
    ) -> UsageReport:
        """Return tokens and cost, grouped by some of day, project, provider, pool, model, outcome."""
        query = {"by": ",".join(by or ("day",)), "since": since, "until": until}
        return await self._ask(asks.usage(texts_of(query)))

    async def receipt(self, batch: Batch | str) -> Receipt:
        """Return what a batch cost up to now, against the list price, by model and lane."""
        return await self._ask(asks.receipt(id_of(batch)))

    async def month_receipt(self, month: str) -> Receipt:
        """Return what the project paid in a month, as `2026-11` (UTC), against the list price."""
        return await self._ask(asks.receipts(month))

    async def budget(self) -> Budget:
        """Return the project's caps and what is used of them."""
        return await self._ask(asks.budget())

    async def _ask(self, ask: Ask[T], *, retry_for_s: float | None = None) -> T:
        return answer_of(ask, await self.send(ask, retry_for_s=retry_for_s))

    async def send(self, ask: Ask[T], *, retry_for_s: float | None = None) -> httpx.Response:
        """Return the answer to a request, sent again while that may help."""
        if not ask.may_repeat:
            return await send_async(self._http, ask)
        waits_s = self._retry_for_s if retry_for_s is None else retry_for_s
        judge = judge_of(is_upload=isinstance(ask.body, Upload))
        return await AsyncRetrying(**patience(waits_s, judge))(send_async, self._http, ask)
