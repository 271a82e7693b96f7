"""The same transport over pyreqwest, for who makes thousands of short calls a second: optional.

Its I/O runs in Rust, beside the interpreter's lock, at two thirds of aiohttp's cost per call. Its own
classes of errors can't tell a request that was dropped from one that was never sent; the chain of
causes behind them can, and that is what is read here. Both transports pass the same tests.
"""

import re
from datetime import timedelta

import httpx
from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import BuilderError, PyreqwestError, RequestTimeoutError
from pyreqwest.http import HeaderMap
from pyreqwest.response import Response

from workers.calls.transport import (
    CONNECT_TIMEOUT_S,
    KEEPALIVE_S,
    MAX_RESPONSE_BYTES,
    PROBE_S,
    PROBES,
    WIRE_HEADERS,
    ReplyTooLarge,
    content,
)

NOT_CONNECTED = "client error (Connect)"
"""How hyper begins the cause of whatever failed before a byte of the request was sent."""

RESET = "reset by peer"

_OF_SYSTEM = re.compile(r"(?P<word>.+) \(os error \d+\)")


class ReqwestTransport(httpx.AsyncBaseTransport):
    """One pool of connections without a limit, as `AiohttpTransport` is.

    Of httpx's time-outs, `read` bounds the whole call here, and `deadline_s` does where it is not
    given: a call that its caller cancels instead leaves its connection open in pyreqwest 0.15.
    Made, used and closed within one running event loop.
    """

    def __init__(
        self,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        *,
        deadline_s: float,
    ) -> None:
        self._max_response_bytes = max_response_bytes
        self._client = (
            ClientBuilder()
            .no_proxy()
            .follow_redirects(False)
            .timeout(timedelta(seconds=deadline_s))
            .connect_timeout(timedelta(seconds=connect_timeout_s))
            .pool_idle_timeout(timedelta(seconds=KEEPALIVE_S))
            .tcp_keepalive(timedelta(seconds=PROBE_S))
            .tcp_keepalive_interval(timedelta(seconds=PROBE_S))
            .tcp_keepalive_retries(PROBES)
            .build()
        )

    async def aclose(self) -> None:
        """Close all connections, also those in use."""
        await self._client.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return the reply with its body read and decoded.

        Raises:
            httpx.TransportError: the exact subclass; ConnectError, ConnectTimeout and
                LocalProtocolError alone mean that nothing was sent.
        """
        try:
            building = (
                self._client.request(request.method, str(request.url))
                .headers([(name.decode(), value.decode()) for name, value in request.headers.raw])
                .body_bytes(await content(request))
            )
            async with building.build_streamed() as response:
                body = await self._read(response)
                headers = _headers(response.headers)
        except PyreqwestError as error:
            raise _translated(error, request) from error
        return httpx.Response(response.status, headers=headers, stream=httpx.ByteStream(body))

    async def _read(self, response: Response) -> bytes:
        """Return the decoded body; its size is checked as it grows, so a bomb is never unpacked."""
        chunks: list[bytes] = []
        size_bytes = 0
        while (chunk := await response.body_reader.read_chunk()) is not None:
            size_bytes += len(chunk)
            if size_bytes > self._max_response_bytes:
                raise ReplyTooLarge(f"the reply exceeds {self._max_response_bytes} bytes")
            chunks.append(chunk.to_bytes())
        return b"".join(chunks)


def _headers(headers: HeaderMap) -> list[tuple[bytes, bytes]]:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return [pair for pair in pairs if pair[0].lower() not in WIRE_HEADERS]


def _translated(error: PyreqwestError, request: httpx.Request) -> httpx.RequestError:
    """Return the httpx error for one of pyreqwest's, by what hyper says was under way."""
    details = getattr(error, "details", None) or {}
    causes = [cause["message"] for cause in details.get("causes") or ()]
    timed_out = isinstance(error, RequestTimeoutError) or "operation timed out" in causes
    kind: type[httpx.RequestError]
    if isinstance(error, BuilderError):
        kind = httpx.LocalProtocolError
    elif NOT_CONNECTED in causes:
        kind = httpx.ConnectTimeout if timed_out else httpx.ConnectError
    elif timed_out:
        kind = httpx.ReadTimeout
    elif any(RESET in cause for cause in causes):
        kind = httpx.ReadError
    else:
        # Cut off, or not HTTP; whatever else there may be is safest as "perhaps it ran".
        kind = httpx.RemoteProtocolError
    # The deepest cause is the system's own word and has no address; hyper's words are for its makers.
    system = _OF_SYSTEM.match(causes[-1]) if causes else None
    return kind(system["word"].lower() if system else "", request=request)
