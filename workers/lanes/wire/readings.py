"""What a provider's documents and lines say, read without trust: what is not there is empty, or told."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec

from jobs.errors import MalformedReply, ProviderError
from jobs.exchange import Answer
from workers.lanes.wire.native import NativeLine
from workers.protocols import Protocol
from workers.protocols.faults import UNREADABLE, printable, word

_ID = re.compile(rb'"(?:custom_id|key)"\s*:\s*"([A-Za-z0-9_-]{1,64})"')
_LOOKED_AT_BYTES = 4096


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
