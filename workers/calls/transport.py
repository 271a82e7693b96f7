"""HTTP over aiohttp behind httpx's transport interface: what a call costs, and exactly how it failed.

httpx's own pool walks all its connections at every call, which a thousand calls in flight can't
afford; the ready-made bridges to faster clients report a request that the provider took and dropped
as one that was never sent. Here every way to fail has the httpx class that tells these apart.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from functools import lru_cache

import aiohttp
import httpx
from multidict import CIMultiDict
from yarl import URL

MAX_RESPONSE_BYTES = 32 * 1024 * 1024
"""Decoded size of the largest reply that is read: far beyond what a model writes in one answer."""

LARGE_BYTES = 1 << 20
"""What is decoded of a reply in one go, some 3 ms; hardly any is as large."""

KEEPALIVE_S = 15.0
"""How long an idle connection is kept.

Well below the minute or so after which servers and load balancers close it: a POST that meets the
closing is lost, and whether it ran is not known then.
"""

CONNECT_TIMEOUT_S = 10.0
"""For name, connection and TLS together; what takes longer is an outage."""

PROBE_S = 15
"""Seconds of silence before the kernel probes a connection, and between its probes.

A peer that vanished is then noticed within 75 s and not at the deadline, and no NAT forgets a
connection on which a model thinks for minutes.
"""

PROBES = 4

WIRE_HEADERS = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
"""Headers that describe the reply on the wire and not the decoded body that is handed on."""


EVENTS = "text/event-stream"


class ReplyTooLarge(httpx.TransportError):
    """The reply is larger than what is read of one."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """One pool of connections without a limit: calls in flight are limited by who makes the calls.

    No cookies, no proxies, no redirects, nothing from the environment. Made, used and closed within
    one running event loop.
    """

    def __init__(
        self,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self._max_response_bytes = max_response_bytes
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEEPALIVE_S, socket_factory=_probed_socket
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout_s),
        )

    async def aclose(self) -> None:
        """Close all connections, also those in use."""
        await self._session.close()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and return the reply with its body read and decoded.

        A stream of events is not read yet: its pieces come decoded from the response's stream, which is
        to be closed.

        Of httpx's time-outs none is observed: how long a call may take is its caller's matter.

        Raises:
            httpx.TransportError: the exact subclass; ConnectError, ConnectTimeout and
                LocalProtocolError alone mean that nothing was sent.
        """
        try:
            response = await self._session.request(
                request.method,
                _url(str(request.url)),
                data=aiohttp.BytesPayload(await content(request)),
                headers=_wire_headers(tuple(request.headers.raw)),
                allow_redirects=False,
            )
            if response.content_type == EVENTS:
                stream = _Events(response, request, self._max_response_bytes)
                return httpx.Response(response.status, headers=_decoded(response), stream=stream)
            try:
                body = await self._read(response)
            except BaseException:
                # Also when cancelled: a connection in the middle of a reply is of no use any more.
                response.close()
                raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise translated(error, request) from error
        # A stream instead of content: httpx would copy, count and wrap it, at four times the cost.
        body_stream = httpx.ByteStream(body)
        return httpx.Response(response.status, headers=_decoded(response), stream=body_stream)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the decoded body; its size is checked as it grows, so a bomb is never unpacked."""
        chunks: list[bytes] = []
        size_bytes = 0
        while chunk := await response.content.readany():
            size_bytes += len(chunk)
            if size_bytes > self._max_response_bytes:
                raise ReplyTooLarge(f"the reply exceeds {self._max_response_bytes} bytes")
            chunks.append(chunk)
            if size_bytes > LARGE_BYTES:
                # A packed reply unfolds without ever waiting for the network: others get a turn.
                await asyncio.sleep(0)
        return b"".join(chunks)


class _Events(httpx.AsyncByteStream):
    """The pieces of a reply as they come, until they are more than is read of one."""

    def __init__(
        self, response: aiohttp.ClientResponse, request: httpx.Request, max_bytes: int
    ) -> None:
        self._response = response
        self._request = request
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces; raises what the transport does."""
        size_bytes = 0
        try:
            while piece := await self._response.content.readany():
                size_bytes += len(piece)
                if size_bytes > self._max_bytes:
                    raise ReplyTooLarge(f"the reply exceeds {self._max_bytes} bytes")
                yield piece
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise translated(error, self._request) from error

    async def aclose(self) -> None:
        """Close the connection, unless the reply was read to its end: then it is free already."""
        self._response.close()


def _decoded(response: aiohttp.ClientResponse) -> list[tuple[bytes, bytes]]:
    """Return the headers of a reply but for those of how it came."""
    return [pair for pair in response.raw_headers if pair[0].lower() not in WIRE_HEADERS]


async def content(request: httpx.Request) -> bytes:
    """Return a request's body; a `ByteStream`'s at a fifth of what httpx takes to read it."""
    stream = request.stream
    if isinstance(stream, httpx.ByteStream):
        return b"".join(stream)
    return await request.aread()


def translated(error: Exception, request: httpx.Request) -> httpx.RequestError:
    """Return the httpx error for one of aiohttp's; the cases go from the special to the general."""
    kind: type[httpx.RequestError]
    match error:
        case aiohttp.ConnectionTimeoutError():
            kind = httpx.ConnectTimeout
        case aiohttp.ClientConnectorError() | aiohttp.ServerFingerprintMismatch():
            kind = httpx.ConnectError
        case aiohttp.ClientConnectionResetError():
            kind = httpx.WriteError
        case OSError():
            kind = httpx.ReadError
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            kind = httpx.LocalProtocolError
        case _:
            # Cut off, or not HTTP; whatever else there may be is safest as "perhaps it ran".
            kind = httpx.RemoteProtocolError
    return kind(_reason(error), request=request)


def _reason(error: Exception) -> str:
    """Return why it failed, in a few words without the address; empty if the kind says it all."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its name is not known"
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ServerFingerprintMismatch():
            return "its certificate is not trusted"
        case aiohttp.ClientSSLError():
            return "TLS failed"
        case aiohttp.ServerDisconnectedError():
            return "it was closed"
        case aiohttp.ClientPayloadError():
            return "the answer was cut off"
        case aiohttp.ClientResponseError():
            return "what came is not HTTP"
        case OSError(errno=int(number)) if number > 0:
            return os.strerror(number).lower()
        case _:
            return ""


@lru_cache(maxsize=1024)
def _url(text: str) -> URL:
    # Quoted already, by httpx.
    return URL(text, encoded=True)


@lru_cache(maxsize=1024)
def _wire_headers(pairs: tuple[tuple[bytes, bytes], ...]) -> CIMultiDict[str]:
    # The same for all calls with one key; aiohttp takes a copy of it.
    return CIMultiDict((name.decode(), value.decode()) for name, value in pairs)


def _probed_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket that the kernel probes while it is silent."""
    family, kind, proto, _, _ = address
    sock = socket.socket(family, kind, proto)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", PROBE_S),
        ("TCP_KEEPINTVL", PROBE_S),
        ("TCP_KEEPCNT", PROBES),
    ):
        # macOS lacks the first, and the kernel's own two hours stay.
        if hasattr(socket, option):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    return sock
