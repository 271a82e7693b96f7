"""Putting a request on the wire: JSON bodies, keys in headers, and what neither can carry."""

from collections.abc import Mapping

import msgspec
from pydantic import SecretStr

from jobs.errors import AuthenticationFailed, RequestRejected

_encoder = msgspec.json.Encoder()


def json_body(document: Mapping[str, object]) -> bytes:
    """Return `document` as JSON.

    Raises:
        RequestRejected: it holds what JSON in UTF-8 can't, such as half of a surrogate pair.
    """
    try:
        return _encoder.encode(document)
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        raise RequestRejected(f"the request can't be written as JSON: {error}") from None


def with_fields(body: bytes, fields: bytes) -> bytes:
    """Return a JSON object with more fields, none of which it has: `fields` is like `"stream":true`."""
    return b"{" + fields + b"," + body[1:]


def key_value(key: SecretStr) -> str:
    """Return the key as a header's value.

    Raises:
        AuthenticationFailed: a character of it can't stand in a header; none of it is shown.
    """
    value = key.get_secret_value()
    if value.isascii() and value.isprintable():
        return value
    raise AuthenticationFailed("the key has a character that no HTTP header can carry")


def bearer(key: SecretStr | None) -> tuple[tuple[str, str], ...]:
    """Return the `Authorization` header, none without a key (a server of one's own)."""
    return () if key is None else (("authorization", f"Bearer {key_value(key)}"),)
