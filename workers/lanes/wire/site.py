"""A provider's address: what is asked there, and what its replies say."""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Set
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
from pydantic import SecretStr

from jobs.configuration import BatchLane, Provider
from jobs.errors import MalformedReply, Permanent, ProviderError, RequestRejected
from jobs.exchange import Answer, ModelRequest
from workers.calls import said, without_key
from workers.lanes.wire.http import Ask, LaneHttp, Reply
from workers.lanes.wire.native import LaneShape, NativeLine
from workers.protocols import Protocol
from workers.protocols.faults import UNREADABLE, printable, word

Credentials = Callable[[SecretStr | None], tuple[tuple[str, str], ...]]

NOT_FOUND = 404

_ID = re.compile(rb'"(?:custom_id|key)"\s*:\s*"([A-Za-z0-9_-]{1,64})"')
_LOOKED_AT_BYTES = 4096


class Site:
    """One provider's, as a batch API asks it. An error there is what its live protocol says it is."""

    def __init__(
        self, provider: Provider, http: LaneHttp, protocol: Protocol, credentials: Credentials
    ) -> None:
        self.provider = provider
        self.http = http
        self.protocol = protocol
        self._credentials = credentials

    def shape(self, documented: LaneShape) -> LaneShape:
        """Return what one native batch can hold: no more than is documented, times as configured."""
        lane = self.provider.lane or BatchLane()
        return replace(
            documented,
            max_lines=min(lane.max_jobs or documented.max_lines, documented.max_lines),
            max_bytes=min(lane.max_bytes or documented.max_bytes, documented.max_bytes),
            expires_after_s=lane.expires_after_s or documented.expires_after_s,
            cancel_s=documented.cancel_s if lane.cancel_s is None else lane.cancel_s,
        )

    async def get(self, key: SecretStr | None, path: str) -> dict[str, Any]:
        """Return the object that is there."""
        return await self.document(self.ask("GET", key, path), key)

    async def post(
        self, key: SecretStr | None, path: str, document: Mapping[str, object] | None
    ) -> dict[str, Any]:
        """Send an object, or nothing; return the one that is answered."""
        content = b"" if document is None else msgspec.json.encode(document)
        ask = self.ask("POST", key, path, content=content)
        return await self.document(ask, key)

    async def delete(
        self, key: SecretStr | None, path: str, gone: Set[int] = frozenset({NOT_FOUND})
    ) -> None:
        """Delete what is there; what is gone already, as these statuses say, is no error."""
        try:
            await self.reply(self.ask("DELETE", key, path), key)
        except ProviderError as error:
            if error.status not in gone:
                raise

    def ask(self, method: str, key: SecretStr | None, path: str, **body: Any) -> Ask:
        """Return a request to a path below the base URL, or to an address of the same server."""
        url = path if path.startswith("http") else self.provider.base_url + path
        headers = list(self._credentials(key))
        if isinstance(body.get("content"), bytes | AsyncIterator):
            headers.append(("content-type", "application/json"))
        headers += body.pop("headers", ())
        return Ask(method, url, tuple(headers), **body)

    async def document(self, ask: Ask, key: SecretStr | None) -> dict[str, Any]:
        """Return the object that a request is answered with.

        Raises:
            ProviderError: what the reply says instead.
        """
        return object_of((await self.reply(ask, key)).body)

    async def reply(self, ask: Ask, key: SecretStr | None) -> Reply:
        """Return a good reply.

        Raises:
            ProviderError: what the reply says instead.
        """
        reply = await self.http.ask(ask)
        if reply.status // 100 != 2:
            raise self.error(reply.status, reply.headers, without_key(reply.body, key))
        return reply

    async def lines(self, key: SecretStr | None, path: str) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a file.

        Raises:
            ProviderError: what the reply says instead, or that it broke off.
        """
        async with aclosing(self.http.lines(self.ask("GET", key, path))) as lines:
            async for line in lines:
                if isinstance(line, Reply):
                    raise self.error(line.status, line.headers, without_key(line.body, key))
                yield line

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Return what a reply says, be it to a call of ours or in a line of results."""
        try:
            self.protocol.answer(status if status != 200 else 500, headers, body)
        except ProviderError as error:
            return error
        raise AssertionError("only a 200 has an answer")

    def body(self, protocol: Protocol, model: str, request: ModelRequest) -> bytes:
        """Return a request's body on one line, as a live call would send it.

        Raises:
            ProviderError: nothing that could be sent.
        """
        try:
            body = protocol.request(said(self.provider, request), model, None).body
        except RecursionError:
            raise RequestRejected("the request's schema is nested too deeply") from None
        # A body that is passed on has the white space that it was written with.
        return msgspec.json.format(body, indent=-1) if b"\n" in body or b"\r" in body else body


def ended(
    protocol: Protocol, status: int, headers: Mapping[str, str], body: bytes
) -> Answer | ProviderError:
    """Return what a line's reply comes to."""
    try:
        return protocol.answer(status, headers, body)
    except ProviderError as error:
        return error


def refusal(kind: type[ProviderError], message: object, code: object) -> ProviderError:
    """Return an error that no reply says, but a document."""
    said, provider_code = printable(text(message)), printable(word(code))
    return kind(said or provider_code or None, provider_code=provider_code or None)


def strange(line: bytes, reason: str) -> NativeLine:
    """Return a line that can't be read, under its custom_id if that much can be told."""
    found = _ID.search(line[:_LOOKED_AT_BYTES])
    custom_id = "" if found is None else found[1].decode()
    return NativeLine(
        custom_id, MalformedReply(f"a line of results can't be read: {reason} ({len(line)} bytes)")
    )


def object_of(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is.

    Raises:
        MalformedReply: it is none; nothing of it is shown.
    """
    try:
        value = msgspec.json.decode(body)
    except UNREADABLE:
        value = None
    if not isinstance(value, dict):
        raise MalformedReply(f"the provider's reply is no JSON object ({len(body)} bytes)")
    return value


def id_of(document: Mapping[str, Any], name: str = "id") -> str:
    """Return the id in a reply.

    Raises:
        MalformedReply: there is none.
    """
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedReply(f"the provider's reply has no `{name}`")
    return value


def segment(name: str) -> str:
    """Return what a provider calls a thing as one segment of a path: it can't lead elsewhere."""
    return quote(name.encode("utf-8", "replace"), safe="")


def text(value: object) -> str:
    """Return a text; empty where there is none."""
    return value if isinstance(value, str) else ""


def count(value: object) -> int:
    """Return a count, also one that is written as a text; 0 where there is none."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 15:
        return int(value)
    return value if type(value) is int and value >= 0 else 0


def instant(value: object) -> datetime | None:
    """Return a time: seconds since 1970, or in RFC 3339; None where there is none."""
    try:
        if type(value) in {int, float}:
            return datetime.fromtimestamp(float(str(value)), UTC)
        if isinstance(value, str) and value:
            at = datetime.fromisoformat(value)
            return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the object under a name; an empty one where there is none."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def items(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the objects in the list under a name."""
    value = document.get(name)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def is_refusal(error: ProviderError) -> bool:
    """Whether a cancel was refused because there is nothing (left) to cancel."""
    return isinstance(error, Permanent) or error.status == 409
