"""The client: everything that is done with batches, by name."""

import secrets
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Self, TypeVar, Unpack

import httpx
from tenacity import Retrying

from . import asks
from .answers import answer_of, id_of
from .asks import Ask
from .connection import key_of_environment, open_http, send, url_of_environment
from .deadline import Deadline, standing_of
from .feed import Feed, Order, Pauses
from .jobs import Jobs, opened
from .options import Dollars, Options, RetryOptions, texts_of
from .patience import judge_of, patience
from .pipelines import Pipelines
from .progress import display
from .shapes import Batch, Result
from .sums import Budget, Quote, Receipt, UsageReport
from .upload import Upload

T = TypeVar("T")


class Results(Iterator[Result]):
    """The results of a batch, one by one. `cursor` is where another reader goes on."""

    def __init__(self, client: "Tidemill", feed: Feed, *, follow: bool) -> None:
        self._client = client
        self._feed = feed
        self._results = self._read(follow=follow)

    @property
    def cursor(self) -> str | None:
        """The place after the last result that was handed out; None before the first."""
        return self._feed.cursor

    def __next__(self) -> Result:
        return next(self._results)

    def _read(self, *, follow: bool) -> Iterator[Result]:
        client, feed, has_ended = self._client, self._feed, not follow
        if follow and feed.needs_all:
            has_ended = client.wait(feed.batch_id, progress=False).is_final
        while True:
            yield from feed.take(client.send(feed.ask()))
            if not feed.is_exhausted:
                continue
            if has_ended:
                return
            has_ended = client.get(feed.batch_id).is_final
            if not has_ended:
                time.sleep(feed.pauses.next_s())


class Tidemill:
    """A client of a Tidemill server. Threads may share it; close it, or enter it.

    What is harmless to send again is sent again while the server or the connection fails, for up to
    `retry_for_s` seconds of waiting. Every method may raise what `tidemill.errors` has: `NotAuthorised`,
    `NotFound`, `ServiceUnavailable`, or what its docstring says.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        retry_for_s: float = 60.0,
        http: httpx.Client | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            url: default: TIDEMILL_URL, else http://127.0.0.1:8080.
            key: default: TIDEMILL_API_KEY, else the file `api-key` in TIDEMILL_HOME (`.tidemill`).
            retry_for_s: how long to wait altogether for a server that is away; 0 for not at all.
            http: a client of your own instead, with the address and the key.

        Raises:
            ConfigurationError: the address or the key can't be one.
        """
        self._http = http or open_http(url or url_of_environment(), key or key_of_environment())
        self._retry_for_s = retry_for_s
        self.pipelines = Pipelines(self._ask)
        """What is done with pipelines and their runs."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def submit(
        self, jobs: Jobs, *, idempotency_key: str | None = None, **options: Unpack[Options]
    ) -> Batch:
        """Submit jobs as one batch, accepted and durable: all of them, or none.

        Args:
            jobs: an iterable of mappings or lines, the path of a file, or a DataFrame.
            idempotency_key: the same jobs under the same key are one batch, also from another
                process. Default: a random one, so that what is sent again by this call is one.
            options: of the batch, and of the jobs that don't say it themselves.

        Raises:
            InvalidSubmission: some lines are no jobs; `faults` names them.
            SubmissionError: something else of it can't be accepted.
        """
        key = idempotency_key or secrets.token_urlsafe(18)
        with opened(jobs, options) as upload:
            return self._ask(asks.submission(upload, texts_of(options), key))

    def quote(self, jobs: Jobs, **options: Unpack[Options]) -> Quote:
        """Return what jobs would take in tokens, money and time; nothing is stored or sent."""
        with opened(jobs, options) as upload:
            return self._ask(asks.quote(upload, texts_of(options)))

    def get(self, batch: Batch | str) -> Batch:
        """Return a batch as it is now."""
        return self._ask(asks.batch(id_of(batch)))

    def batches(self, *, page_size: int = 100) -> Iterator[Batch]:
        """Yield all batches, the newest first; pages are fetched as they are needed."""
        cursor: str | None = None
        while True:
            page = self._ask(asks.batches(page_size, cursor))
            yield from page.data
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
    ) -> Results:
        """Return an iterator over the results, as they come, until the batch has ended.

        A connection that is lost costs nothing: none comes twice, none is left out.

        Args:
            batch: the batch, or its id.
            follow: wait for what isn't there yet; without, the iterator ends with what is there.
            order: `input` is that of the jobs, and waits for the end of the batch.
            after: the `cursor` of an iterator before, to go on there.
        """
        return Results(self, Feed(id_of(batch), order, after), follow=follow)

    def wait(
        self, batch: Batch | str, *, timeout_s: float | None = None, progress: bool | None = None
    ) -> Batch:
        """Return the batch once it has ended, however long the server is away meanwhile.

        A batch that is paused is waited for, too.

        Args:
            batch: the batch, or its id.
            timeout_s: how long to wait at most.
            progress: show a bar; default: in a terminal and in a notebook.

        Raises:
            TimeoutError: it has not ended by then; it runs on.
        """
        deadline, pauses, finished = Deadline(timeout_s), Pauses(), -1
        with display(progress) as shown:
            while True:
                found = self._ask(asks.batch(id_of(batch)), retry_for_s=deadline.left_s())
                shown.show(found)
                if found.is_final:
                    return found
                if found.counts.finished != finished:
                    pauses, finished = Pauses(), found.counts.finished
                time.sleep(deadline.pause_s(pauses, standing_of(found)))

    def pause(self, batch: Batch | str) -> Batch:
        """Let a batch send no more calls; those in flight end. Raises `Conflict` if it has ended."""
        return self._ask(asks.steering(id_of(batch), "pause"))

    def resume(self, batch: Batch | str) -> Batch:
        """Let a paused batch go on. Raises `Conflict` if it isn't paused."""
        return self._ask(asks.steering(id_of(batch), "resume"))

    def cancel(self, batch: Batch | str) -> Batch:
        """Give open jobs the result `cancelled`; calls in flight end. Raises `Conflict` if it has ended."""
        return self._ask(asks.steering(id_of(batch), "cancel"))

    def set_max_cost(self, batch: Batch | str, max_cost_usd: Dollars | None) -> Batch:
        """Change a batch's budget, None for none. If only that kept it, it goes on."""
        text = texts_of({"max_cost_usd": max_cost_usd}).get("max_cost_usd")
        return self._ask(asks.batch_change(id_of(batch), {"max_cost_usd": text}))

    def retry(
        self,
        batch: Batch | str,
        *,
        codes: list[str] | None = None,
        idempotency_key: str | None = None,
        **changes: Unpack[RetryOptions],
    ) -> Batch:
        """Make a new batch of one that has ended: good answers are kept, the rest is run again.

        Args:
            batch: the batch, or its id; it stays as it is.
            codes: of the failures to run again; default: all.
            idempotency_key: as of a submission.
            changes: what is to be otherwise than in the batch before.

        Raises:
            Conflict: the batch has not ended.
        """
        query = texts_of(changes) | ({"code": ",".join(codes)} if codes else {})
        key = idempotency_key or secrets.token_urlsafe(18)
        return self._ask(asks.retry(id_of(batch), query, key))

    def usage(self, *by: str, since: str | None = None, until: str | None = None) -> UsageReport:
        """Return tokens and cost, grouped by some of day, project, provider, pool, model, outcome.

        `since` and `until` are the first and last day, as `2026-11-27`, UTC.
        """
        query = {"by": ",".join(by or ("day",)), "since": since, "until": until}
        return self._ask(asks.usage(texts_of(query)))

    def receipt(self, batch: Batch | str) -> Receipt:
        """Return what a batch cost up to now, against the list price, by model and lane."""
        return self._ask(asks.receipt(id_of(batch)))

    def month_receipt(self, month: str) -> Receipt:
        """Return what the project paid in a month, as `2026-11` (UTC), against the list price."""
        return self._ask(asks.receipts(month))

    def budget(self) -> Budget:
        """Return the project's caps and what is used of them."""
        return self._ask(asks.budget())

    def _ask(self, ask: Ask[T], *, retry_for_s: float | None = None) -> T:
        return answer_of(ask, self.send(ask, retry_for_s=retry_for_s))

    def send(self, ask: Ask[T], *, retry_for_s: float | None = None) -> httpx.Response:
        """Return the answer to a request, sent again while that may help."""
        if not ask.may_repeat:
            return send(self._http, ask)
        waits_s = self._retry_for_s if retry_for_s is None else retry_for_s
        judge = judge_of(is_upload=isinstance(ask.body, Upload))
        return Retrying(**patience(waits_s, judge))(send, self._http, ask)
