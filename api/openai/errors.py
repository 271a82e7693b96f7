"""Errors in OpenAI's shape: every problem that is answered under `/v1`, whoever found it.

Clients raise a class by the status and read `code`, `type` and `param` of `error`; they try again after
409 and whatever is 500 or more.
"""

import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.headers import TOLD

PREFIX = "/v1/"

CODES = {"unauthorised": "invalid_api_key", "too_many_guesses": "rate_limit_exceeded"}
"""Codes for which OpenAI has words of its own."""

TYPES = {HTTPStatus.TOO_MANY_REQUESTS: "requests"}

FOR_GOOD = {HTTPStatus.CONFLICT: HTTPStatus.BAD_REQUEST}
"""What clients would send again and again, in vain, unless the answer says when to."""

DESCRIBED: dict[str, Any] = {
    "description": "An error in OpenAI's shape; nothing was changed.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["message", "type", "param", "code"],
                        "properties": {
                            "message": {"type": "string", "minLength": 1},
                            "type": {"type": "string"},
                            "param": {"type": ["string", "null"]},
                            "code": {"type": "string"},
                        },
                        "additionalProperties": False,
                    }
                },
                "additionalProperties": False,
            }
        }
    },
}

ERRORS: dict[int | str, dict[str, Any]] = {"4XX": DESCRIBED, "5XX": DESCRIBED}
"""The responses of every route under `/v1` that is not 2xx."""


class OpenAIErrors:
    """The middleware that turns problem documents into these, and names every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an answer through, or the same in the other shape."""
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, receive, send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            # Starlette's own answer to it is sent outside of every middleware.
            await answer.fail()
            raise


class _Answer:
    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
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
            MutableHeaders(scope=message)["x-request-id"] = self._request_id
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
        body = error_of(
            status, {"code": "internal_error", "detail": "Tidemill failed; its log says why."}
        )
        headers = {**TOLD, "x-request-id": self._request_id}
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
        await JSONResponse(error_of(status, problem), status.value, headers=kept)(*self._parts)


def error_of(status: HTTPStatus, problem: Mapping[str, Any]) -> dict[str, Any]:
    """Return a problem document's error; `param` is the first field that is at fault."""
    fields = [fault["field"] for fault in problem.get("errors", ()) if fault["field"]]
    code = str(problem["code"])
    own = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
    return {
        "error": {
            "message": problem["detail"],
            "type": TYPES.get(status, own),
            "param": fields[0] if fields else None,
            "code": CODES.get(code, code),
        }
    }
