"""What is refused before any route sees it: requests that are too much, or for nobody.

A `Host` that is no host has let attackers past checks of the address in other servers; here nothing
is decided by it, and it is refused all the same.
"""

import asyncio
import re
from http import HTTPStatus

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem

MAX_HEADERS_BYTES = 32 * 1024
"""Names and values together; a request has some 500 bytes of them."""

MAX_PARAMETERS = 100

SINGLE = (b"authorization", b"x-api-key", b"idempotency-key", b"content-type", b"content-encoding")
"""Headers of which a second one would be read by some and not by others: a proxy and us, say."""

_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class FrontDoor:
    """An ASGI middleware. It also answers HEAD wherever there is a GET."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif refusal := _refusal(scope):
            await refusal(scope, receive, send)
        elif scope.get("method") == "HEAD":
            answer = _WithoutBody(receive, send)
            await self._app({**scope, "method": "GET"}, answer.receive, answer.send)
        else:
            await self._app(scope, receive, send)


def _refusal(scope: Scope) -> JSONResponse | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    size_bytes = sum(len(name) + len(value) for name, value in headers)
    if size_bytes > MAX_HEADERS_BYTES:
        return headers_too_large()
    if scope["query_string"].count(b"&") >= MAX_PARAMETERS:
        return problem(
            HTTPStatus.BAD_REQUEST,
            "too_many_parameters",
            f"the query has more than {MAX_PARAMETERS} parameters",
        )
    hosts = [value for name, value in headers if name == b"host"]
    is_old = not hosts and scope.get("http_version") == "1.0"
    if not is_old and (len(hosts) != 1 or not _HOST.fullmatch(hosts[0])):
        return invalid_host()
    names = [name for name, _ in headers]
    for name in SINGLE:
        if names.count(name) > 1:
            return problem(
                HTTPStatus.BAD_REQUEST,
                "duplicate_header",
                f"expected the header `{name.decode()}` once",
            )
    return None


def invalid_host() -> JSONResponse:
    """Return the answer to a request whose host can't be, or isn't clear."""
    return problem(
        HTTPStatus.BAD_REQUEST,
        "invalid_host",
        "expected a path as target and one `Host` header: a name or address, and perhaps a port",
    )


def headers_too_large() -> JSONResponse:
    """Return the answer to a request whose headers are too much."""
    return problem(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "headers_too_large",
        f"the headers have more than {MAX_HEADERS_BYTES:,} bytes",
    )


def uri_too_long(max_bytes: int) -> JSONResponse:
    """Return the answer to a request whose target is too long."""
    return problem(
        HTTPStatus.REQUEST_URI_TOO_LONG,
        "uri_too_long",
        f"the path and query have more than {max_bytes:,} bytes",
    )


def request_timeout() -> JSONResponse:
    """Return the answer to a request whose head doesn't come to an end in time."""
    return problem(
        HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "the head of the request took too long"
    )


def too_many_connections() -> JSONResponse:
    """Return the answer to a connection for which there is no place."""
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "too_many_connections",
        "this process has as many connections as it takes, all of them in use",
        headers={"retry-after": "1"},
    )


class _WithoutBody:
    """Ends an answer at its body; whoever still makes it is told that nobody listens any more."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._ended = asyncio.Event()
        self._asked = False

    async def receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._ended.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._ended.is_set():
            return
        if message["type"] == "http.response.body":
            message = {"type": "http.response.body", "body": b"", "more_body": False}
            self._ended.set()
        await self._send(message)
