"""Live calls as a surface makes them: a body is read and checked like a line of a batch, then asked."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, Protocol

import msgspec
from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from api.errors import problem_of
from api.media_type import media_type
from api.services import Services
from jobs.defaults import JobDefaults
from jobs.errors import (
    BodyTooLarge,
    InvalidParameter,
    LineFault,
    NotFound,
    ServiceUnavailable,
    TidemillError,
    UnreadableBody,
    UnsupportedEncoding,
    UnsupportedMedia,
)
from jobs.kinds.faults import fault_of
from jobs.lines import MAX_LINE_BYTES, LineReader
from jobs.live import Answered, LiveCall, LiveCalls, Piece
from jobs.store.refs import new_ref
from jobs.strict_json import LooseJson, read_strict

USUAL_MAX_TOKENS = 4096
"""Of an answer whose request has no bound: money is reserved for so many, and every model can write it."""

CALL_ID = "x-tidemill-call"
"""The header that names a call: it is the `custom_id` of its job in the books."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def read_body(request: Request) -> bytes:
    """Return the whole body of a live call.

    Raises:
        BodyTooLarge, UnsupportedEncoding, UnsupportedMedia: it is not read.
    """
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedEncoding("only a submission's body may be packed")
    if media_type(request.headers.get("content-type", "")) != "application/json":
        raise UnsupportedMedia("expected a body of content-type application/json")
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > MAX_LINE_BYTES:
            raise BodyTooLarge(f"a call may have {MAX_LINE_BYTES >> 20} MiB")
    return bytes(body)


def fields_of(body: bytes) -> dict[str, msgspec.Raw]:
    """Return the fields of a body, each as it was written.

    Raises:
        UnreadableBody: it is no JSON object, or not strictly one.
    """
    try:
        value = read_strict(body.decode())
        if isinstance(value, dict):
            return _fields.decode(body)
    except msgspec.DecodeError as error:
        # It is looked at more closely than by `read_strict`, as a line of a batch is.
        fault = fault_of(error, body, dict)
        message = f"{fault.field or 'the body'}: {fault.message}"
        raise UnreadableBody(message, fault.code) from None
    except UnicodeDecodeError as error:
        message = f"expected UTF-8, but byte {error.start + 1} of the body is none"
        raise UnreadableBody(message, "invalid_encoding") from None
    except LooseJson as error:
        raise UnreadableBody(
            f"the body: {error.message}", error.code, line=error.line, column=error.column
        ) from None
    raise UnreadableBody("the body: expected a JSON object", "wrong_type")


def flag(fields: dict[str, msgspec.Raw], name: str) -> bool:
    """Take a yes or no out of a body; no where it is absent or null.

    Raises:
        InvalidParameter: it is neither.
    """
    match bytes(fields.pop(name, msgspec.Raw(b"null"))):
        case b"true":
            return True
        case b"false" | b"null":
            return False
        case _:
            raise InvalidParameter("expected true or false", field=name)


async def live_call(
    services: Services, project_id: int, kind: str, line: dict[str, Any], *, is_streamed: bool
) -> LiveCall:
    """Return the call of a line, checked as it would be in a batch of this kind.

    Raises:
        InvalidParameter: it is no line of that kind.
        NotFound: nobody serves its model.
    """
    max_tokens = max(USUAL_MAX_TOKENS, services.configuration.default_max_tokens)
    defaults = JobDefaults(kind=kind, max_tokens=max_tokens)
    call_id = new_ref("call_")
    encoded = msgspec.json.encode({"custom_id": call_id, **line})

    def read() -> LiveCall:
        with services.database.read() as session:
            prices = services.prices_if_budgeted(session, project_id, None)
        reader = LineReader(
            defaults, services.catalogue, services.count_tokens, prices=prices, mixes_kinds=False
        )
        job = reader.read(1, encoded)
        if isinstance(job, LineFault):
            raise _refusal(job)
        return LiveCall(call_id, project_id, job, max_tokens, is_streamed)

    return await run_in_threadpool(read)


def _refusal(fault: LineFault) -> Exception:
    if fault.code == "unknown_model":
        return NotFound(fault.message)
    field = fault.field.removeprefix("body.").removeprefix("params.")
    return InvalidParameter(f"`{field}` {fault.message}" if field else fault.message, field=field)


class StreamWriter(Protocol):
    """How a surface tells an answer that comes in pieces."""

    def write(self, piece: Piece) -> bytes:
        """Return the events for a piece, `Answered` being the last; none where it has none."""

    def failed(self, status: HTTPStatus, problem: Mapping[str, Any]) -> bytes:
        """Return the event that says why an answer that has begun can't go on."""


async def respond(request: Request, call: LiveCall, writer: StreamWriter) -> Response:
    """Make a call and answer the request: in one piece, or in a stream of events.

    Raises:
        LiveCallError: there is no answer; of one that has begun its stream tells.
        ServiceUnavailable: this process makes none, or the database doesn't answer.
    """
    calls: LiveCalls | None = request.app.state.live
    if calls is None:
        raise ServiceUnavailable("this process makes no live calls")
    pieces = calls.pieces(call)
    headers = {CALL_ID: call.id}
    if not call.is_streamed:
        answer = await _answered(pieces)
        return Response(answer.output, media_type="application/json", headers=headers)
    first = await anext(pieces)  # whatever is wrong before it is said by a status
    return StreamingResponse(
        _events(first, pieces, writer),
        media_type="text/event-stream",
        headers={**headers, "cache-control": "no-cache"},
    )


async def _answered(pieces: AsyncGenerator[Piece, None]) -> Answered:
    try:
        while True:
            if isinstance(piece := await anext(pieces), Answered):
                return piece
    finally:
        await pieces.aclose()


async def _events(
    first: Piece, pieces: AsyncGenerator[Piece, None], writer: StreamWriter
) -> AsyncIterator[bytes]:
    try:
        piece = first
        while True:
            if data := writer.write(piece):
                yield data
            if isinstance(piece, Answered):
                return
            piece = await anext(pieces)
    except TidemillError as error:
        problem = problem_of(error)
        told = msgspec.json.decode(bytes(problem.body), type=dict[str, Any])
        yield writer.failed(HTTPStatus(problem.status_code), told)
    finally:
        # Waits for nothing: it only hangs up.
        await pieces.aclose()
