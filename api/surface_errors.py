"""Errors as other companies' clients expect them: problem documents, said in a surface's own shape.

Clients raise a class by the status, and try again after 409 and whatever is 500 or more.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.headers import TOLD

FOR_GOOD = {HTTPStatus.CONFLICT: HTTPStatus.BAD_REQUEST}
"""What clients would send again and again, in vain, unless the answer says when to."""


@dataclass(frozen=True, slots=True)
class Surface:
    """Where somebody's clients call, and how they are told what is wrong, by which of their `own_statuses`.

    `error_of` makes the body of the status, the problem document and the request's id, which
    `request_id_header` tells as well.
    """

    prefix: str
    request_id_header: str
    error_of: Callable[[HTTPStatus, Mapping[str, Any], str], dict[str, Any]]
    own_statuses: Mapping[HTTPStatus, HTTPStatus] = field(default_factory=dict)


class SurfaceErrors:
    """The middleware that turns problem documents into a surface's errors, and names every request."""

    def __init__(self, app: ASGIApp, surface: Surface) -> None:
        self._app = app
        self._surface = surface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an answer through, or the same in the other shape."""
        if scope["type"] != "http" or not scope["path"].startswith(self._surface.prefix):
            await self._app(scope, receive, send)
            return
        answer = _Answer(self._surface, scope, receive, send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            # Starlette's own answer to it is sent outside of every middleware.
            await answer.fail()
            raise


class _Answer:
    def __init__(self, surface: Surface, scope: Scope, receive: Receive, send: Send) -> None:
        self._surface = surface
        self._parts = (scope, receive, send)
        self._send = send
        self._request_id = f"req_{secrets.token_hex(12)}"
        self._begun = False
        self._problem: Message | None = None
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        """Send a message on; the body of a problem is kept until it is whole."""
        if message["type"] == "http.response.start":
            self._begun = True
            MutableHeaders(scope=message)[self._surface.request_id_header] = self._request_id
            if Headers(scope=message).get("content-type") == "application/problem+json":
                self._problem = message
                return
        if self._problem is None:
            await self._send(message)
            return
        self._body += message.get("body", b"")
        if not message.get("more_body", False):
            await self._turn(self._problem)

    async def fail(self) -> None:
        """Say that Tidemill failed, if nothing was said yet."""
        if self._begun:
            return
        status = HTTPStatus.INTERNAL_SERVER_ERROR
        problem = {"code": "internal_error", "detail": "Tidemill failed; its log says why."}
        body = self._surface.error_of(status, problem, self._request_id)
        headers = {**TOLD, self._surface.request_id_header: self._request_id}
        await JSONResponse(body, status.value, headers=headers)(*self._parts)

    async def _turn(self, start: Message) -> None:
        if not self._body:  # of an answer to HEAD
            headers = MutableHeaders(scope=start)
            headers["content-type"] = "application/json"
            del headers["content-length"]
            await self._send(start)
            await self._send({"type": "http.response.body", "body": b""})
            return
        problem = msgspec.json.decode(bytes(self._body), type=dict[str, Any])
        told = Headers(scope=start)
        status = HTTPStatus(start["status"])
        if "retry-after" not in told:
            status = FOR_GOOD.get(status, status)
        kept = {
            name: value
            for name, value in told.items()
            if name not in {"content-type", "content-length"}
        }
        body = self._surface.error_of(status, problem, self._request_id)
        status = self._surface.own_statuses.get(status, status)
        await JSONResponse(body, status.value, headers=kept)(*self._parts)
