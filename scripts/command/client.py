"""The API as the commands show it: the client's requests, with answers as JSON and errors of `jobs.errors`.

Requests, errors and how long to wait are those of `tidemill`, the client for programs.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

import tidemill.connection
from scripts.command.problems import in_our_words
from tidemill import asks
from tidemill.asks import Ask
from tidemill.connection import object_of, pieces_of, send
from tidemill.feed import lines_of
from tidemill.upload import Upload

RESULTS_PER_PAGE = 1000
"""Results held in memory at once; a page is a few megabytes."""

JsonObject = dict[str, Any]


def open_http(url: str, key: str | None) -> httpx.Client:
    """Return the HTTP client for the server at `url`.

    Raises:
        ConfigurationError: `url` is not an http or https address.
    """
    with in_our_words():
        return tidemill.connection.open_http(url, key)


class Client:
    """The API's native surface. Objects are as the API sends them.

    Every method may raise what `jobs.errors` has for the answer: `ServiceUnavailable` (there is
    none, or none of a working Tidemill), `NotAuthorised`, `NotFound`, `Conflict`,
    `InvalidSubmission`, `SubmissionTooLarge`.
    """

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def submit(
        self, upload: Upload, defaults: Mapping[str, str], idempotency_key: str
    ) -> JsonObject:
        """Send a submission and return its batch, accepted and durable.

        Sent again with the same key it is the same batch, whatever became of the first.
        """
        return self._object(asks.submission(upload, defaults, idempotency_key))

    def quote(self, upload: Upload, defaults: Mapping[str, str]) -> JsonObject:
        """Return what a submission would take; nothing of it is stored."""
        return self._object(asks.quote(upload, defaults))

    def batches(self, limit: int, cursor: str | None = None) -> JsonObject:
        """Return a page of batches, the newest first, as `{"data", "next_cursor"}`."""
        return self._object(asks.batches(limit, cursor))

    def batch(self, batch_id: str) -> JsonObject:
        """Return a batch."""
        return self._object(asks.batch(batch_id))

    def progress(self, batch_id: str) -> JsonObject:
        """Return how a batch went on as `{"data", "latencies_ms"}`."""
        return self._get(f"{asks.of_batch(batch_id)}/progress")

    def act(self, batch_id: str, verb: str) -> JsonObject:
        """Ask for `cancel`, `pause` or `resume`, and return the batch as it is then."""
        return self._object(asks.steering(batch_id, verb))

    def retry(self, batch_id: str, changes: Mapping[str, str], idempotency_key: str) -> JsonObject:
        """Make a new batch of a batch's jobs and return it; with the same key it is the same batch."""
        return self._object(asks.retry(batch_id, changes, idempotency_key))

    def change_batch(self, batch_id: str, changes: Mapping[str, str | None]) -> JsonObject:
        """Change what may be changed of a batch, `max_cost_usd`, and return the batch."""
        return self._object(asks.batch_change(batch_id, changes))

    def results(self, batch_id: str, order: str, **more: str) -> Iterator[bytes]:
        """Yield the results that there are now, each a line of JSON without its end.

        `order` is `finished` or `input`; `more` are parameters beside it. A page is read whole before
        its first line is yielded, so what was yielded before an error is complete.
        """
        after: str | None = None
        while True:
            ask = asks.results(batch_id, order, after, RESULTS_PER_PAGE)
            response = self._send(replace(ask, params={**ask.params, **more}))
            lines = lines_of(response)
            yield from lines
            if len(lines) < RESULTS_PER_PAGE:
                return
            # In the order of the input, the cursor is the place of the last result.
            after = response.headers.get("x-next-cursor") or str(json.loads(lines[-1])["seq"])

    def download(self, batch_id: str, query: Mapping[str, str]) -> Iterator[bytes]:
        """Yield the results that there are now as one file, in pieces: its end says that it is whole."""
        path = f"{asks.of_batch(batch_id)}/results"
        ask = Ask("GET", path, bytes, params=query, timeout_s=asks.SUBMIT_S, may_repeat=True)
        with in_our_words():
            yield from pieces_of(self._http, ask)

    def attempts(
        self, batch_id: str, limit: int, outcome: str | None = None, cursor: str | None = None
    ) -> JsonObject:
        """Return a page of a batch's attempts, as `{"data", "next_cursor"}`."""
        params = {"limit": str(limit), "outcome": outcome, "cursor": cursor}
        given = {name: text for name, text in params.items() if text is not None}
        return self._get(f"{asks.of_batch(batch_id)}/attempts", given)

    def balance(self, batch_id: str) -> JsonObject:
        """Return everything of a batch, counted and added up."""
        return self._object(_account_of("GET", batch_id))

    def reconcile(self, batch_id: str, account: Upload, query: Mapping[str, str]) -> JsonObject:
        """Send a provider's account of a batch, and return the balance beside it."""
        return self._object(_account_of("POST", batch_id, params=query, body=account))

    def usage(self, query: Mapping[str, str]) -> JsonObject:
        """Return sums of tokens and cost as `{"data", "total"}`."""
        return self._object(asks.usage(query))

    def receipt(self, batch_id: str) -> JsonObject:
        """Return what a batch, or a run, cost and saved."""
        return self._object(asks.receipt(batch_id))

    def receipts(self, month: str) -> JsonObject:
        """Return what the project's month cost and saved."""
        return self._object(asks.receipts(month))

    def pools(self) -> JsonObject:
        """Return what the gate knows of the pools as `{"data"}`."""
        return self._get("/api/pools")

    def budget(self) -> JsonObject:
        """Return the project's caps and what is used of them."""
        return self._object(asks.budget())

    def change_budget(self, changes: Mapping[str, str | None]) -> JsonObject:
        """Change `daily_usd` and `monthly_usd`, None for no cap, and return the budget."""
        return self._object(Ask("PATCH", "/api/budget", dict, body=changes))

    def pipelines(self) -> JsonObject:
        """Return the project's pipelines as `{"data"}`."""
        return self._get("/api/pipelines")

    def begin_run(self, pipeline: str, day: str | None, idempotency_key: str) -> JsonObject:
        """Begin a run of a pipeline and return it; with the same key it is the same run."""
        path = f"/api/pipelines/{quote(pipeline, safe='')}/runs"
        params = {} if day is None else {"date": day}
        headers = {"idempotency-key": idempotency_key}
        return self._object(
            Ask("POST", path, dict, params=params, headers=headers, may_repeat=True)
        )

    def backfill(self, pipeline: str, first: str, last: str, at_once: int) -> JsonObject:
        """Begin a run for each day and return them as `{"data"}`."""
        path = f"/api/pipelines/{quote(pipeline, safe='')}/backfill"
        body: dict[str, Any] = {"first": first, "last": last, "at_once": at_once}
        return self._object(Ask("POST", path, dict, body=body))

    def runs(self, pipeline: str | None, limit: int, cursor: str | None = None) -> JsonObject:
        """Return a page of runs, the newest first, as `{"data", "next_cursor"}`."""
        params = {"limit": str(limit), "pipeline": pipeline, "cursor": cursor}
        return self._get("/api/runs", {name: text for name, text in params.items() if text})

    def run(self, run_id: str) -> JsonObject:
        """Return a run with its stages and sinks."""
        return self._get(_of_run(run_id))

    def cancel_run(self, run_id: str) -> JsonObject:
        """Cancel a run and return it."""
        return self._object(Ask("POST", f"{_of_run(run_id)}/cancel", dict))

    def retry_run(self, run_id: str, stage: str | None, *, as_now: bool) -> JsonObject:
        """Ask again for what failed of a run and return it."""
        params = {"as_now": str(as_now).lower()} | ({"from": stage} if stage else {})
        return self._object(Ask("POST", f"{_of_run(run_id)}/retry", dict, params=params))

    def run_failures(self, run_id: str, limit: int) -> JsonObject:
        """Return rows of a run that failed as `{"data"}`."""
        return self._get(f"{_of_run(run_id)}/failures", {"limit": str(limit)})

    def run_diff(self, run_id: str, query: Mapping[str, str]) -> JsonObject:
        """Return a run beside an earlier one of its pipeline."""
        return self._get(f"{_of_run(run_id)}/diff", query)

    def webhooks(self) -> JsonObject:
        """Return the project's webhooks."""
        return self._get("/api/webhooks")

    def create_webhook(self, url: str) -> JsonObject:
        """Make a webhook and return it, with its secret."""
        return self._object(Ask("POST", "/api/webhooks", dict, body={"url": url}))

    def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook."""
        self._send(Ask("DELETE", f"/api/webhooks/{quote(webhook_id, safe='')}", dict))

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> JsonObject:
        return self._object(Ask("GET", path, dict, params=params or {}, may_repeat=True))

    def _object(self, ask: Ask[Any]) -> JsonObject:
        with in_our_words():
            return object_of(send(self._http, ask))

    def _send(self, ask: Ask[Any]) -> httpx.Response:
        with in_our_words():
            return send(self._http, ask)


def _account_of(method: str, batch_id: str, **more: Any) -> Ask[Any]:
    """Ask for what takes the server some seconds for each million jobs."""
    path = f"{asks.of_batch(batch_id)}/reconciliation"
    may_repeat = method == "GET"
    return Ask(method, path, dict, timeout_s=asks.SUBMIT_S, may_repeat=may_repeat, **more)


def _of_run(run_id: str) -> str:
    return f"/api/runs/{quote(run_id, safe='')}"
