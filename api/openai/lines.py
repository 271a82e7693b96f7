"""The lines of a batch's files: made of its results while they are sent, never copied."""

from collections.abc import Iterator
from typing import Any

import msgspec

from jobs.states import FileContent, ResultStatus
from jobs.store import Database
from jobs.store.surfaces.file_lines import FileLine, page

PIECE_BYTES = 256 * 1024
"""Of lines that are handed over to the server at once."""

PAGE_S = 10.0
"""How long a page may take to be read: an answer that has begun can only be cut off."""

REJECTED = {"request_rejected": None, "context_too_long": "context_length_exceeded"}
"""Codes of jobs that the provider won't do, with OpenAI's own code for the reason."""

_encode = msgspec.json.Encoder().encode


def lines_of(
    database: Database, batch_id: int, batch_ref: str, content: FileContent, until: int
) -> Iterator[bytes]:
    """Yield the lines of a batch's file, some together.

    Args:
        database: where the results are.
        batch_id: the batch.
        batch_ref: its name, of which the requests' ids are made.
        content: which of its files.
        until: the position of the last result that was there when the file was asked for.
    """
    patient = database.with_patience(PAGE_S, insists=True)
    looked_at, piece = 0, bytearray()
    while looked_at < until:
        with patient.read() as session:
            found = page(session, batch_id, content, after=looked_at, until=until)
        looked_at = found.looked_at
        for line in found.lines:
            piece += _encode(_line(line, batch_ref)) + b"\n"
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
    if piece:
        yield bytes(piece)


def _line(line: FileLine, batch_ref: str) -> dict[str, Any]:
    request_id = f"batch_req_{batch_ref.removeprefix('batch_')}{line.seq:07d}"
    response, error = None, None
    match line.status:
        case ResultStatus.SUCCEEDED:
            response = _response(200, request_id, msgspec.Raw((line.output or "null").encode()))
        case ResultStatus.FAILED:
            response = _failure(line, request_id)
        case status:
            error = {"code": f"batch_{status}", "message": line.error_message or ""}
    return {
        "id": request_id,
        "custom_id": line.custom_id,
        "response": response,
        "error": error,
    }


def _failure(line: FileLine, request_id: str) -> dict[str, Any]:
    """Return a response like the one that a single request would have got."""
    code = line.error_code or ""
    is_rejected = code in REJECTED
    body = {
        "error": {
            "message": line.error_message or "",
            "type": "invalid_request_error" if is_rejected else "server_error",
            "param": None,
            "code": REJECTED.get(code) or code,
        }
    }
    return _response(400 if is_rejected else 500, request_id, body)


def _response(status_code: int, request_id: str, body: Any) -> dict[str, Any]:
    return {"status_code": status_code, "request_id": request_id, "body": body}
