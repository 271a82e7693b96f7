"""Answers that the caller has already: an ETag tells, and they are not sent again (RFC 9110, 13.1.2).

All are weak: an answer may be packed in several ways, and means the same.
"""

import hashlib
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_DIGEST_BYTES = 12


def etag_of(*parts: object) -> str:
    """Return the ETag of what these tell apart."""
    return _tag("\n".join(map(str, parts)).encode())


def unchanged(request: Request, etag: str, headers: Mapping[str, str]) -> Response | None:
    """Return the answer 304 with these headers if the caller has what the ETag stands for."""
    if not _has(request.headers, etag):
        return None
    return Response(status_code=304, headers={**headers, "etag": etag})


def _tag(content: bytes) -> str:
    return f'W/"{hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest()}"'


def _has(headers: Headers, etag: str) -> bool:
    named = [tag.strip() for tag in headers.get("if-none-match", "").split(",")]
    return "*" in named or etag.removeprefix("W/") in {tag.removeprefix("W/") for tag in named}


class Etags:
    """An ASGI middleware: gives every answer of JSON to a GET that is sent in one piece its ETag."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, and answer 304 where the caller has the answer."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def tell(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_document(message):
                held = message
                return
            start, held = held, None
            if start is not None and message["type"] == "http.response.body":
                if not message.get("more_body", False):
                    message = _tagged(start, message, Headers(scope=scope))
                await send(start)
            await send(message)

        await self._app(scope, receive, tell)


def _is_document(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "")
    return start["status"] == 200 and kind == "application/json" and "etag" not in headers


def _tagged(start: Message, body: Message, asked: Headers) -> Message:
    """Add the ETag to the start of an answer; return its body, which is empty if the caller has it."""
    etag = _tag(body["body"])
    told = MutableHeaders(raw=start["headers"])
    told["etag"] = etag
    if not _has(asked, etag):
        return body
    start["status"] = 304
    del told["content-length"]
    del told["content-type"]
    return {**body, "body": b""}
