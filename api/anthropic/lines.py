"""The results of a batch as Anthropic's clients read them: made of its rows while they are sent."""

from collections.abc import Iterator
from typing import Any

import msgspec

from jobs.states import ResultStatus
from jobs.store import Database
from jobs.store.surfaces.file_lines import FileLine, page

PIECE_BYTES = 256 * 1024
"""Of lines that are handed over to the server at once."""

PAGE_S = 10.0
"""How long a page may take to be read: an answer that has begun can only be cut off."""

REJECTED = frozenset({"request_rejected", "context_too_long", "unrunnable"})
"""Codes of requests that would fail again as they are."""

_encode = msgspec.json.Encoder().encode


def lines_of(database: Database, batch_id: int, until: int) -> Iterator[bytes]:
    """Yield the lines of a batch that has ended, some together.

    Args:
        database: where the results are.
        batch_id: the batch.
        until: how many results it has.
    """
    patient = database.with_patience(PAGE_S, insists=True)
    looked_at, piece = 0, bytearray()
    while looked_at < until:
        with patient.read() as session:
            found = page(session, batch_id, None, after=looked_at, until=until)
        looked_at = found.looked_at
        for line in found.lines:
            piece += _encode({"custom_id": line.custom_id, "result": _result(line)}) + b"\n"
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
    if piece:
        yield bytes(piece)


def _result(line: FileLine) -> dict[str, Any]:
    match line.status:
        case ResultStatus.SUCCEEDED:
            return {"type": "succeeded", "message": msgspec.Raw((line.output or "null").encode())}
        case ResultStatus.FAILED:
            return {"type": "errored", "error": _error(line)}
        case ResultStatus.CANCELLED:
            return {"type": "canceled"}
        case _:
            return {"type": "expired"}


def _error(line: FileLine) -> dict[str, Any]:
    """Return an error like the one that a single request would have got."""
    code = line.error_code or "internal_error"
    error = {
        "type": "invalid_request_error" if code in REJECTED else "api_error",
        "message": line.error_message or "",
        "details": {"error_code": code},
    }
    return {"type": "error", "error": error, "request_id": None}
