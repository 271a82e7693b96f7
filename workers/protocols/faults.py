"""What an error reply says: its body in whichever of many shapes, else its status alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from jobs.clock import utcnow
from jobs.errors import (
    AccessForbidden,
    AuthenticationFailed,
    MalformedReply,
    Overloaded,
    ProviderError,
    ProviderUnusable,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from workers.protocols import hints

MESSAGE_CHARACTERS = 500
"""Enough for every sentence that providers are known to send, too little for an echoed prompt."""

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON asked for."""

BY_STATUS: dict[int, type[ProviderError]] = {
    401: AuthenticationFailed,
    402: QuotaExhausted,
    403: AccessForbidden,
    408: ServerFailed,
    409: ServerFailed,
    429: RateLimited,
    503: Overloaded,
    529: Overloaded,
}
"""Statuses that mean something else than their hundred does."""


def kind_by_status(status: int) -> type[ProviderError]:
    """Return what a status other than 200 means by itself."""
    if status in BY_STATUS:
        return BY_STATUS[status]
    match status // 100:
        case 5:
            return ServerFailed
        case 4:
            return RequestRejected
        case 3:
            # Never followed, for the key would follow too: someone has to correct the base URL.
            return ProviderUnusable
        case _:
            return MalformedReply


@dataclass(frozen=True, slots=True)
class Fault:
    """What an error body says; `code` and `error_type` are the provider's words, empty if none."""

    message: str = ""
    code: str = ""
    error_type: str = ""

    def error(
        self,
        kind: type[ProviderError],
        status: int,
        headers: Mapping[str, str],
        *,
        request_id: str | None,
        wait_s: float | None = None,
    ) -> ProviderError:
        """Return the error to raise. `wait_s` is a hint in the body, which goes before others."""
        if wait_s is None:
            wait_s = hints.wait_hint(headers, self.message, utcnow())
        said = printable(self.message)
        return kind(
            f"HTTP {status}: {said}" if said else f"HTTP {status}: {kind.__doc__}",
            status=status,
            provider_code=printable(self.code or self.error_type) or None,
            request_id=request_id,
            wait_s=wait_s,
            headers=headers,
        )


def malformed(
    reason: str, body: bytes, headers: Mapping[str, str], request_id: str | None = None
) -> MalformedReply:
    """Return the error for a 200 reply that is no answer.

    It tells the body's kind and size but shows none of it: a broken answer is still someone's text.
    """
    kind = "HTML" if body.lstrip()[:1] == b"<" else "body"
    message = f"HTTP 200 without an answer: {reason} ({kind} of {len(body)} bytes)"
    return MalformedReply(message, status=200, request_id=request_id, headers=headers)


def printable(text: str) -> str:
    """Return the text on one line without control characters, cut to what a person reads."""
    line = " ".join(text[: 4 * MESSAGE_CHARACTERS].split())
    return "".join(c for c in line if c.isprintable())[:MESSAGE_CHARACTERS]


def decoded(body: bytes) -> object:
    """Return the JSON value in `body`, unwrapped from a list of one; None where there is none."""
    try:
        value = msgspec.json.decode(body)
    except UNREADABLE:
        return None
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def read_fault(body: bytes) -> Fault:
    """Return the fault in a body of OpenAI's shape or one of those that other servers have.

    `{"error": {…}}`, `{"error": "text"}`, the same keys without the envelope, `{"message": …}`,
    `{"detail": …}` with a text or a list, a `message` that is an object again, or a plain text.
    `code` may be a number, a text or null.
    """
    value = decoded(body)
    if not isinstance(value, dict):
        return Fault(message=plain_text(body))
    inner = value.get("error")
    if isinstance(inner, str):
        return Fault(
            message=inner, code=word(value.get("code")), error_type=word(value.get("type"))
        )
    fields = inner if isinstance(inner, dict) else value
    return Fault(
        message=_sentence(fields.get("message", fields.get("detail"))),
        code=word(fields.get("code")),
        error_type=word(fields.get("type")),
    )


def plain_text(body: bytes) -> str:
    """Return a body that is not JSON as a message: a proxy's sentence, or that it is a web page."""
    text = body[: 4 * MESSAGE_CHARACTERS].decode("utf-8", "replace").strip()
    return "a web page instead of JSON" if text.startswith("<") else text


def word(value: object) -> str:
    """Return a code as text; servers send numbers, numbers as text, and null."""
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else ""


def _sentence(value: object) -> str:
    """Return what a person reads of a message: a text, a list of faults, or an object."""
    match value:
        case str():
            return value
        case {"detail": detail} | {"message": detail}:
            # One level only: whatever is deeper is shown as it came.
            return detail if isinstance(detail, str) else _shown(detail)
        case None:
            return ""
        case _:
            return _shown(value)


def _shown(value: object) -> str:
    try:
        return msgspec.json.encode(value).decode()
    except (ValueError, RecursionError):
        return ""
