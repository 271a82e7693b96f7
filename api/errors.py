"""Errors as problem+json (RFC 9457): one table from our tree to statuses, one shape for all."""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import JSONResponse
from starlette.routing import Match
from starlette.websockets import WebSocket

from api.headers import TOLD
from jobs.errors import (
    REPORTED_FAULTS,
    CallRejected,
    Conflict,
    CrossSite,
    DeadlineUnreachable,
    IdempotencyKeyReused,
    InsufficientScope,
    InvalidParameter,
    InvalidSubmission,
    LiveCallError,
    NoPace,
    NoTarget,
    NotAuthorised,
    NotFound,
    OverBudget,
    RequestInProgress,
    ServiceUnavailable,
    SourceNotAllowed,
    StorageFull,
    SubmissionError,
    SubmissionTooLarge,
    TidemillError,
    TooManyGuesses,
    UnreadableBody,
    UnsupportedMedia,
)
from jobs.wording import in_words

log = logging.getLogger(__name__)

STATUSES: tuple[tuple[type[TidemillError], HTTPStatus], ...] = (
    (NotAuthorised, HTTPStatus.UNAUTHORIZED),
    (InsufficientScope, HTTPStatus.FORBIDDEN),
    (CrossSite, HTTPStatus.FORBIDDEN),
    (TooManyGuesses, HTTPStatus.TOO_MANY_REQUESTS),
    (NotFound, HTTPStatus.NOT_FOUND),
    (SourceNotAllowed, HTTPStatus.FORBIDDEN),
    (SubmissionTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (UnsupportedMedia, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    (DeadlineUnreachable, HTTPStatus.UNPROCESSABLE_ENTITY),
    (SubmissionError, HTTPStatus.BAD_REQUEST),
    (IdempotencyKeyReused, HTTPStatus.UNPROCESSABLE_ENTITY),
    (Conflict, HTTPStatus.CONFLICT),
    (StorageFull, HTTPStatus.INSUFFICIENT_STORAGE),
    (ServiceUnavailable, HTTPStatus.SERVICE_UNAVAILABLE),
    (OverBudget, HTTPStatus.PAYMENT_REQUIRED),
    (NoPace, HTTPStatus.TOO_MANY_REQUESTS),
    (NoTarget, HTTPStatus.SERVICE_UNAVAILABLE),
    (CallRejected, HTTPStatus.BAD_REQUEST),
    (LiveCallError, HTTPStatus.BAD_GATEWAY),
)
"""The first match counts. Whatever is not here is our own fault: 500, without internals."""

LONGEST_RETRY_S = 60.0
"""Clients give up, or go their own way, when they are told to wait for longer."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

SHOWN_CHARACTERS = 300
"""Of a message about a parameter."""

ECHOED_CHARACTERS = 80
"""Of a parameter's name that somebody made up."""

PARAMETER_CODES: Mapping[str, str] = {
    "extra_forbidden": "unknown_parameter",
    "duplicate": "duplicate_parameter",
    "missing": "missing_field",
}

BOUNDS = ("greater_than", "less_than", "too_long", "too_short", "string_too")
"""How pydantic's names of faults of size begin."""


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of `app` a problem document."""

    @app.exception_handler(TidemillError)
    async def on_tidemill_error(
        connection: HTTPConnection, error: TidemillError
    ) -> JSONResponse | None:
        return await _told(connection, problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def on_bad_parameter(
        connection: HTTPConnection, error: RequestValidationError
    ) -> JSONResponse | None:
        return await _told(connection, _of_bad_parameters(error))

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
        if isinstance(error.__cause__, TidemillError):
            return problem_of(error.__cause__)  # which FastAPI met when it read the body
        status = HTTPStatus(error.status_code)
        code = status.phrase.lower().replace(" ", "_")
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            headers["allow"] = ", ".join(_allowed_methods(request))
        return problem(status, code, str(error.detail), headers=headers)

    @app.exception_handler(ClientDisconnect)
    async def on_disconnect(_request: Request, _error: ClientDisconnect) -> JSONResponse:
        # Nobody reads it; but a sender that went away is no fault of ours to be logged as one.
        return problem(HTTPStatus.BAD_REQUEST, "upload_broke_off", "The upload is incomplete.")

    @app.exception_handler(Exception)
    async def on_fault(_request: Request, _error: Exception) -> JSONResponse:
        # Said outside of every middleware, so with the headers that one would have added.
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal_error",
            "Tidemill failed; its log says why.",
            headers=TOLD,
        )


async def _told(connection: HTTPConnection, refusal: JSONResponse) -> JSONResponse | None:
    """Return the answer; None where it was given: to a WebSocket that isn't accepted, by whichever Starlette.

    Older ones leave that to whoever handles the error, newer ones send what is returned, and would
    send it a second time.
    """
    if isinstance(connection, WebSocket):
        await connection.send_denial_response(refusal)
        return None
    return refusal


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes with this path; Starlette's own answer names one's alone."""
    allowed = [
        method
        for method in METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]
    # The front door makes of every HEAD a GET.
    return [*allowed[:1], "HEAD", *allowed[1:]] if "GET" in allowed else allowed


def status_of(error: TidemillError) -> HTTPStatus:
    """Return the status with which an error of our tree is answered."""
    return next(
        (found for kind, found in STATUSES if isinstance(error, kind)),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )


def problem_of(error: TidemillError) -> JSONResponse:
    """Return the problem document of an error of our tree."""
    status = status_of(error)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("unexpected here: %s", error, exc_info=error)
        return problem(status, "internal_error", "Tidemill failed; its log says why.")
    extra: dict[str, Any] = {}
    if isinstance(error, InvalidSubmission) and error.fault_count:
        extra["error_count"] = error.fault_count
        extra["errors"] = [
            {"line": f.line, "field": f.field, "code": f.code, "message": f.message}
            | ({"column": f.column} if f.column else {})
            for f in error.faults
        ]
    if isinstance(error, InvalidParameter) and error.field:
        extra["errors"] = [
            {"field": error.field, "code": "invalid_value", "message": error.message}
        ]
    if isinstance(error, DeadlineUnreachable):
        extra |= error.told
    if isinstance(error, UnreadableBody) and error.line:
        extra["line"], extra["column"] = error.line, error.column
    return problem(status, error.code, error.message, extra=extra, headers=_headers_of(error))


def _headers_of(error: TidemillError) -> dict[str, str]:
    match error:
        case NotAuthorised():
            return {"www-authenticate": "Bearer"}
        case InsufficientScope():
            challenge = f'Bearer error="insufficient_scope", scope="{error.needed}"'
            return {"www-authenticate": challenge}
        case TooManyGuesses():
            return {"retry-after": str(error.wait_s)}
        case StorageFull():
            return {"retry-after": "30"}  # room is made by people
        case ServiceUnavailable() | RequestInProgress():
            return {"retry-after": "2"}
        case LiveCallError(wait_s=float(wait_s)):
            return {"retry-after": str(max(1, math.ceil(min(wait_s, LONGEST_RETRY_S))))}
        case LiveCallError():
            # It was tried as often as may be: a client that does the same again only pays again.
            return {"x-should-retry": "false"}
        case _:
            return {}


def problem(
    status: HTTPStatus,
    code: str,
    detail: str,
    *,
    extra: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Return a problem document."""
    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "code": code,
        "detail": detail,
        **(extra or {}),
    }
    return JSONResponse(body, status.value, headers=headers, media_type="application/problem+json")


def _of_bad_parameters(error: RequestValidationError) -> JSONResponse:
    faults = [
        {
            "field": ".".join(str(part) for part in fault["loc"][1:])[:ECHOED_CHARACTERS],
            "code": _code_of(fault["type"]),
            "message": in_words(fault)[:SHOWN_CHARACTERS],
        }
        for fault in error.errors()[:REPORTED_FAULTS]
    ]
    detail = "; ".join(f"{fault['field'] or 'request'}: {fault['message']}" for fault in faults[:5])
    return problem(HTTPStatus.BAD_REQUEST, "invalid_parameter", detail, extra={"errors": faults})


def _code_of(kind: str) -> str:
    """Return the code of a parameter's fault; pydantic's own names change with its versions."""
    if (code := PARAMETER_CODES.get(kind)) is not None:
        return code
    if kind.endswith(("_type", "_parsing")):
        return "wrong_type"
    return "out_of_range" if kind.startswith(BOUNDS) else "invalid_value"
