"""Rows of an HTTP endpoint, page after page. Where it is the operator says, and no answer leads elsewhere."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from jobs.errors import UnreadableSource
from jobs.pipelines.ends import SourceSection
from jobs.pipelines.rows import RunFacts
from jobs.strict_json import LooseJson, read_strict
from workers.pipelines.places import filled_in
from workers.pipelines.secrets import secret
from workers.pipelines.sources.formats import Format, objects_of, rows_in

TIMEOUT_S = 60.0

TRIES = 4
"""Of a page that isn't answered, or with 429 or 5xx; then the whole source is tried again, later."""

MOST_PAGES = 100_000

LONGEST_PAGE_BYTES = 256 << 20

TYPES: dict[str, Format] = {
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
}
"""What answers that are no JSON are, by their media types."""


def page_rows(source: SourceSection, run: RunFacts) -> Iterator[dict[str, Any]]:
    """Yield the rows of all pages, in order.

    Raises:
        UnreadableSource: it doesn't answer, refuses, answers something else, or leads to another server.
    """
    first = address = filled_in(source.http or "", run)
    headers = {"accept": "application/json, application/x-ndjson, text/csv;q=0.9"}
    if source.authorization is not None:
        headers["authorization"] = secret(source.authorization)
    seen: set[str] = set()
    with httpx.Client(headers=headers, timeout=TIMEOUT_S, trust_env=False) as client:
        while address:
            if address in seen or len(seen) == MOST_PAGES:
                raise UnreadableSource(f"{_shown(address)} names a next page that was read already")
            seen.add(address)
            answer = _fetched(client, address)
            rows, following = _read(source, answer, _shown(address))
            yield from rows
            address = _next(first, address, following)


def _fetched(client: httpx.Client, address: str) -> httpx.Response:
    try:
        for attempt in Retrying(
            retry=retry_if_exception(_is_passing),
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(0.5, 8.0),
            reraise=True,
        ):
            with attempt:
                return _get(client, address)
    except httpx.HTTPStatusError as error:
        raise UnreadableSource(f"{_shown(address)} answers {error.response.status_code}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnreadableSource(
            f"{_shown(address)} doesn't answer: {type(error).__name__}"
        ) from error
    raise AssertionError("the last attempt returns or raises")


def _get(client: httpx.Client, address: str) -> httpx.Response:
    with client.stream("GET", address) as answer:
        answer.raise_for_status()
        body = bytearray()
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > LONGEST_PAGE_BYTES:
                raise UnreadableSource(
                    f"{_shown(address)} answers more than {LONGEST_PAGE_BYTES >> 20} MB; ask for pages"
                )
        # Unpacked it is, so without what its headers say of its form on the way.
        return httpx.Response(
            answer.status_code,
            headers={
                name: value
                for name, value in answer.headers.items()
                if name in {"content-type", "link"}
            },
            content=bytes(body),
        )


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return (
            error.response.status_code == httpx.codes.TOO_MANY_REQUESTS
            or error.response.is_server_error
        )
    return isinstance(error, httpx.TransportError)


def _read(
    source: SourceSection, answer: httpx.Response, place: str
) -> tuple[Iterator[dict[str, Any]], str | None]:
    """Return a page's rows, and the address of the next one as it names it."""
    linked = answer.links.get("next", {}).get("url")
    kind = TYPES.get(answer.headers.get("content-type", "").partition(";")[0].strip().lower())
    if source.format != "auto":
        kind = None if source.format == "json" else source.format
    if kind is not None:
        return rows_in(BytesIO(answer.content), kind, place), linked
    try:
        found = read_strict(answer.content.decode())
    except (UnicodeDecodeError, LooseJson) as error:
        raise UnreadableSource(f"{place} answers no JSON: {str(error)[:200]}") from None
    rows = _at(found, source.rows, place) if source.rows else found
    following = _at(found, source.next, place, may_lack=True) if source.next else linked
    if following is not None and not isinstance(following, str):
        raise UnreadableSource(f"{place}: `{source.next}` is no address")
    return objects_of(rows, place), following


def _at(found: Any, path: str, place: str, *, may_lack: bool = False) -> Any:
    for part in path.split("."):
        if not isinstance(found, dict) or part not in found:
            if may_lack:
                return None
            raise UnreadableSource(f"{place}: the answer has no `{path}`")
        found = found[part]
    return found


def _next(first: str, address: str, following: str | None) -> str:
    """Return the next page's address, empty for none. What we send is for the operator's server alone."""
    if not following:
        return ""
    address = urljoin(address, following)
    if urlsplit(address)[:2] != urlsplit(first)[:2]:
        raise UnreadableSource(f"{_shown(first)} leads to another server for its next page")
    return address


def _shown(address: str) -> str:
    """Return an address without its query, in which there may be a secret."""
    return address.partition("?")[0][:200]
