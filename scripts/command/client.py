"""A small client of the HTTP API. What can go wrong comes out as the errors of `jobs.errors`."""

import ipaddress
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from jobs.errors import ConfigurationError, ServiceUnavailable
from scripts.command.problems import error_from
from scripts.command.upload import Upload

CONNECT_S = 5.0
ANSWER_S = 30.0
SUBMIT_S = 600.0
"""Between the last byte of an upload and the answer: a million jobs are being committed."""

RESULTS_PER_PAGE = 1000
"""Results held in memory at once; a page is a few megabytes."""

JsonObject = dict[str, Any]


def open_http(url: str, key: str | None) -> httpx.Client:
    """Return the HTTP client for the server at `url`.

    Raises:
        ConfigurationError: `url` is not an http or https address.
    """
    try:
        host = urlsplit(url).hostname
        base_url = httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        host, base_url = None, httpx.URL("")
    if not host or base_url.scheme not in {"http", "https"}:
        raise ConfigurationError(f"{url!r} is not the address of a server: http://HOST:PORT")
    headers = {"user-agent": "tidemill"}
    if key:
        if not (key.isascii() and key.isprintable()):
            raise ConfigurationError("the API key holds characters that no key has")
        headers["authorization"] = f"Bearer {key}"
    timeout = httpx.Timeout(ANSWER_S, connect=CONNECT_S)
    # A proxy that the environment names can't reach this machine's own loopback.
    return httpx.Client(
        base_url=base_url, headers=headers, timeout=timeout, trust_env=not _is_loopback(host)
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
        timeout = httpx.Timeout(SUBMIT_S, connect=CONNECT_S)
        request = self._http.build_request(
            "POST",
            "/api/batches",
            params=defaults,
            content=upload.blocks(),
            headers={**upload.headers, "idempotency-key": idempotency_key},
            timeout=timeout,
        )
        return _object(self._send(request))

    def quote(self, upload: Upload, defaults: Mapping[str, str]) -> JsonObject:
        """Return what a submission would take; nothing of it is stored."""
        request = self._http.build_request(
            "POST",
            "/api/batches",
            params={**defaults, "dry_run": "true"},
            content=upload.blocks(),
            headers=upload.headers,
            timeout=httpx.Timeout(SUBMIT_S, connect=CONNECT_S),
        )
        return _object(self._send(request))

    def batches(self, limit: int, cursor: str | None = None) -> JsonObject:
        """Return a page of batches, the newest first, as `{"data", "next_cursor"}`."""
        params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return self._get("/api/batches", params)

    def batch(self, batch_id: str) -> JsonObject:
        """Return a batch."""
        return self._get(_path(batch_id))

    def act(self, batch_id: str, verb: str) -> JsonObject:
        """Ask for `cancel`, `pause` or `resume`, and return the batch as it is then."""
        return _object(self._send(self._http.build_request("POST", f"{_path(batch_id)}/{verb}")))

    def retry(self, batch_id: str, changes: Mapping[str, str], idempotency_key: str) -> JsonObject:
        """Make a new batch of a batch's jobs and return it; with the same key it is the same batch."""
        request = self._http.build_request(
            "POST",
            f"{_path(batch_id)}/retry",
            params=changes,
            headers={"idempotency-key": idempotency_key},
            timeout=httpx.Timeout(SUBMIT_S, connect=CONNECT_S),
        )
        return _object(self._send(request))

    def change_batch(self, batch_id: str, changes: Mapping[str, str | None]) -> JsonObject:
        """Change what may be changed of a batch, `max_cost_usd`, and return the batch."""
        return self._patch(_path(batch_id), changes)

    def results(self, batch_id: str, order: str) -> Iterator[bytes]:
        """Yield the results that there are now, each a line of JSON without its end.

        `order` is `finished` or `input`. A page is read whole before its first line is yielded, so
        what was yielded before an error is complete.
        """
        params = {"order": order, "limit": str(RESULTS_PER_PAGE)}
        while True:
            response = self._send(
                self._http.build_request("GET", f"{_path(batch_id)}/results", params=params)
            )
            lines = [line for line in response.content.split(b"\n") if line.strip()]
            yield from lines
            if len(lines) < RESULTS_PER_PAGE:
                return
            # In the order of the input, the cursor is the place of the last result.
            next_cursor = response.headers.get("x-next-cursor")
            params["after"] = next_cursor or str(json.loads(lines[-1])["seq"])

    def attempts(
        self, batch_id: str, limit: int, outcome: str | None = None, cursor: str | None = None
    ) -> JsonObject:
        """Return a page of a batch's attempts, as `{"data", "next_cursor"}`."""
        params = {"limit": str(limit), "outcome": outcome, "cursor": cursor}
        given = {name: text for name, text in params.items() if text is not None}
        return self._get(f"{_path(batch_id)}/attempts", given)

    def balance(self, batch_id: str) -> JsonObject:
        """Return everything of a batch, counted and added up."""
        return _object(self._ask_long("GET", f"{_path(batch_id)}/reconciliation"))

    def reconcile(self, batch_id: str, account: Upload, query: Mapping[str, str]) -> JsonObject:
        """Send a provider's account of a batch, and return the balance beside it."""
        path = f"{_path(batch_id)}/reconciliation"
        content, headers = account.blocks(), account.headers
        return _object(self._ask_long("POST", path, params=query, content=content, headers=headers))

    def _ask_long(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask for what takes the server some seconds for each million jobs."""
        timeout = httpx.Timeout(SUBMIT_S, connect=CONNECT_S)
        return self._send(self._http.build_request(method, path, timeout=timeout, **more))

    def usage(self, query: Mapping[str, str]) -> JsonObject:
        """Return sums of tokens and cost as `{"data", "total"}`."""
        return self._get("/api/usage", query)

    def pools(self) -> JsonObject:
        """Return what the gate knows of the pools as `{"data"}`."""
        return self._get("/api/pools")

    def budget(self) -> JsonObject:
        """Return the project's caps and what is used of them."""
        return self._get("/api/budget")

    def change_budget(self, changes: Mapping[str, str | None]) -> JsonObject:
        """Change `daily_usd` and `monthly_usd`, None for no cap, and return the budget."""
        return self._patch("/api/budget", changes)

    def _patch(self, path: str, changes: Mapping[str, str | None]) -> JsonObject:
        return _object(self._send(self._http.build_request("PATCH", path, json=dict(changes))))

    def _get(self, path: str, params: Mapping[str, str] | None = None) -> JsonObject:
        return _object(self._send(self._http.build_request("GET", path, params=params)))

    def _send(self, request: httpx.Request) -> httpx.Response:
        with _reachability(request):
            response = self._http.send(request)
        if response.is_success:
            return response
        # The answer stays at hand, as the cause: its status is part of a report in JSON.
        answer = httpx.HTTPStatusError("", request=request, response=response)
        raise error_from(response) from answer


@contextmanager
def _reachability(request: httpx.Request) -> Iterator[None]:
    address = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
    changes_nothing = request.method == "GET" or "dry_run" in request.url.params
    may_repeat = changes_nothing or "idempotency-key" in request.headers
    doubt = "" if may_repeat else "; it may have been done, so look before asking again"
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise ServiceUnavailable(
            f"no server answers at {address}: start one with `tidemill up`, or name one with --url"
        ) from error
    except httpx.TimeoutException as error:
        raise ServiceUnavailable(f"{address} does not answer in time{doubt}") from error
    except httpx.HTTPError as error:
        raise ServiceUnavailable(
            f"the connection to {address} was lost ({error}){doubt}"
        ) from error


def _path(batch_id: str) -> str:
    return f"/api/batches/{quote(batch_id, safe='')}"


def _object(response: httpx.Response) -> JsonObject:
    try:
        value = response.json()
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ServiceUnavailable(f"what answers at {response.url} is not Tidemill")
    return value
