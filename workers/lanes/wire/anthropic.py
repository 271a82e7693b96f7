"""Anthropic's message batches. They carry no name of ours, and no file: all is in the create."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Set
from contextlib import aclosing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from pydantic import SecretStr

from jobs.configuration import Provider
from jobs.errors import Permanent, ProviderError
from jobs.exchange import Endpoint, ModelRequest
from workers.lanes.wire.http import PIECE_BYTES, LaneHttp
from workers.lanes.wire.native import End, LaneShape, NativeLine, Order, Remote, Traces
from workers.lanes.wire.readings import (
    count,
    ended,
    id_of,
    instant,
    items,
    part,
    segment,
    strange,
    text,
)
from workers.lanes.wire.site import MOST_PAGES, PAGE, Site
from workers.protocols.anthropic import VERSION, Anthropic
from workers.protocols.encoding import key_value
from workers.protocols.faults import UNREADABLE

SHAPE = LaneShape(
    max_lines=100_000,
    max_bytes=255_000_000,  # 256 MB of the whole body
    is_single_model=False,
    endpoints=frozenset({Endpoint.MESSAGES}),
    expires_after_s=24 * 3600,
    keeps_partial=True,
    cancel_s=600,
)

PATH = "/messages/batches"

HEAD, TAIL = b'{"requests":[', b"]}"

STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status with which a live call would have had the error of a line."""

EARLIER, LATER = timedelta(minutes=10), timedelta(hours=2)
"""When one may have been made by the provider's clock, before and after our create began."""


class _Result(msgspec.Struct):
    type: str
    message: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Line(msgspec.Struct):
    custom_id: str
    result: _Result


class _Kind(msgspec.Struct):
    type: Any = None


class _Envelope(msgspec.Struct):
    error: _Kind
    request_id: Any = None


_decoder = msgspec.json.Decoder(_Line)
_envelope = msgspec.json.Decoder(_Envelope)


class AnthropicBatches:
    """Message batches, whose lines may be of different models."""

    def __init__(self, provider: Provider, http: LaneHttp) -> None:
        self._protocol = Anthropic()
        self._site = Site(provider, http, self._protocol, credentials)

    @property
    def shape(self) -> LaneShape:
        """What Anthropic documents."""
        return self._site.shape(SHAPE)

    def endpoint(self, request: ModelRequest) -> Endpoint:
        """Return the messages, which are all there is."""
        return Endpoint.MESSAGES

    def line(self, custom_id: str, model: str, request: ModelRequest) -> bytes:
        """Return the request's body as params under its custom_id."""
        body = self._site.body(self._protocol, model, request)
        return b'{"custom_id":"%b","params":%b}' % (custom_id.encode(), body)

    async def upload(self, key: SecretStr | None, order: Order) -> str:
        """Do nothing: the lines go with the create."""
        return ""

    async def create(self, key: SecretStr | None, order: Order, file_id: str) -> Remote:
        """Make the batch of the spool's lines, which are streamed into the body."""
        size_bytes = len(HEAD) + order.size_bytes - 1 + len(TAIL)
        content = body_of(order.spool)
        ask = self._site.ask("POST", key, PATH, content=content, size_bytes=size_bytes)
        return remote_of(await self._site.document(ask, key))

    async def find(
        self, key: SecretStr | None, order: Order, since: datetime, known: Set[str] = frozenset()
    ) -> Traces:
        """Look for one of the time and the size, and then for our custom_ids in its results.

        Those are there when it has ended; until then it is a possible one.
        """
        possible, after = 0, ""
        for _ in range(MOST_PAGES):
            page = await self._site.get(key, f"{PATH}?limit={PAGE}{after}")
            batches = items(page, "data")
            for batch in batches:
                if batch.get("id") in known or not _may_be(batch, order, since):
                    continue
                remote = remote_of(batch)
                if remote.end is None:
                    possible += 1
                elif await self._has_lines_of(key, remote, order.tag):
                    return Traces(remote)
            if page.get("has_more") is not True or not batches or _are_older(batches, since):
                break
            after = f"&after_id={segment(id_of(batches[-1]))}"
        return Traces(None, possible)

    async def _has_lines_of(self, key: SecretStr | None, remote: Remote, tag: str) -> bool:
        """Whether the first line that can be read is one of the tag's."""
        async with aclosing(self.results(key, remote)) as results:
            try:
                async for line in results:
                    if line.custom_id:
                        return line.custom_id.startswith(f"{tag}-")
            except Permanent:
                pass  # archived or deleted: nobody will ever know
        return False

    async def look(self, key: SecretStr | None, remote_id: str) -> Remote:
        """Return how it stands."""
        return remote_of(await self._site.get(key, f"{PATH}/{segment(remote_id)}"))

    async def cancel(self, key: SecretStr | None, remote_id: str) -> None:
        """Cancel it; what is finished is kept."""
        await self._site.cancel(key, f"{PATH}/{segment(remote_id)}/cancel")

    async def results(
        self, key: SecretStr | None, remote: Remote
    ) -> AsyncGenerator[NativeLine, None]:
        """Yield the lines. The address that the provider names for them is not asked: it gets the key."""
        path = f"{PATH}/{segment(remote.id)}/results"
        async with aclosing(self._site.lines(key, path)) as lines:
            async for line in lines:
                yield self._read(line)

    def _read(self, line: bytes) -> NativeLine:
        try:
            read = _decoder.decode(line)
            match read.result:
                case _Result("succeeded", msgspec.Raw() as message):
                    end = ended(self._protocol, 200, {}, bytes(message))
                    return NativeLine(read.custom_id, end)
                case _Result("errored", error=msgspec.Raw() as error):
                    return NativeLine(read.custom_id, self._error(bytes(error)))
                case _Result("canceled" | "expired"):
                    return NativeLine(read.custom_id, None)
                case _:
                    return strange(line, "a result of no known type")
        except UNREADABLE as error:
            return strange(line, str(error))

    def _error(self, body: bytes) -> ProviderError:
        envelope = _envelope.decode(body)
        request_id = text(envelope.request_id)
        headers = {"request-id": request_id} if request_id else {}
        return self._site.error(STATUSES.get(text(envelope.error.type), 500), headers, body)

    async def tidy(self, key: SecretStr | None, remote: Remote, file_id: str = "") -> None:
        """Delete the batch with its results."""
        await self._site.delete(key, f"{PATH}/{segment(remote.id)}")


def credentials(key: SecretStr | None) -> tuple[tuple[str, str], ...]:
    """Return the headers that every request has."""
    own = () if key is None else (("x-api-key", key_value(key)),)
    return (("anthropic-version", VERSION), *own)


async def body_of(spool: Path) -> AsyncIterator[bytes]:
    """Yield a create's body: the spool's lines as a list. No line has a newline in it."""
    yield HEAD
    with spool.open("rb") as lines:
        piece = lines.read(PIECE_BYTES)
        while following := lines.read(PIECE_BYTES):
            yield piece.replace(b"\n", b",")
            piece = following
        yield piece.removesuffix(b"\n").replace(b"\n", b",")
    yield TAIL


def remote_of(batch: Mapping[str, Any]) -> Remote:
    """Return how a batch stands by the object that says so."""
    status, total = text(batch.get("processing_status")), _total(batch)
    is_ended = status == "ended"
    processing = count(part(batch, "request_counts").get("processing"))
    return Remote(
        id=id_of(batch),
        end=_end(batch) if is_ended else None,
        is_cancelling=status == "canceling",
        # All counts but the one of what is processed stay 0 until it has ended.
        done=total - processing if is_ended else None,
        total=total or None,
        created_at=instant(batch.get("created_at")),
        expires_at=instant(batch.get("expires_at")),
        endpoint=Endpoint.MESSAGES,
    )


def _end(batch: Mapping[str, Any]) -> End:
    counts = part(batch, "request_counts")
    if batch.get("cancel_initiated_at"):
        return End.CANCELLED
    return End.EXPIRED if count(counts.get("expired")) else End.COMPLETED


def _total(batch: Mapping[str, Any]) -> int:
    return sum(count(number) for number in part(batch, "request_counts").values())


def _may_be(batch: Mapping[str, Any], order: Order, since: datetime) -> bool:
    created_at = instant(batch.get("created_at"))
    is_of_the_time = created_at is None or since - EARLIER <= created_at <= since + LATER
    return is_of_the_time and _total(batch) == order.lines


def _are_older(batches: list[Mapping[str, Any]], since: datetime) -> bool:
    """Whether the list, newest first, is past what is looked for."""
    last = instant(batches[-1].get("created_at"))
    return last is not None and last < since - EARLIER
