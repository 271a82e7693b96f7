"""HTTP as the batch lanes need it: few calls, some of them large, streamed both ways.

Live calls have their own transport, which reads each reply as one piece; hundreds of megabytes never
are one here. What is guarded is the same: no redirects, no cookies, nothing from the environment, a
deadline for each call, and a bound on everything that is read.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import httpx

from workers.calls.failures import failure_of
from workers.calls.transport import CONNECT_TIMEOUT_S, MAX_RESPONSE_BYTES, ReplyTooLarge

SILENCE_S = 60.0
"""How long nothing may come, or nothing be taken, before a call is given up."""

DIGESTED_BYTES_PER_S = 1_000_000
"""A server may be silent for so much longer once it has a large body."""

SLOWEST_BYTES_PER_S = 50_000
"""At this pace a large body may still be on its way; what is slower will not arrive."""

RESULTS_DEADLINE_S = 2 * 3600.0
"""For all of one file of results, however many bytes still drip out of it."""

MAX_RESULTS_BYTES = 8 << 30
"""Of one file of results: a native batch's largest input, some times over."""

PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. Headers carry the key and the body carries people's text, so neither is shown.

    Attributes:
        url: whole.
        headers: lower-case names.
        content: the body, in one piece or as it is read from a file.
        size_bytes: of a body that comes in pieces.
        files: httpx's form of a multipart upload, and `data` of its fields.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    content: bytes | AsyncIterator[bytes] | None = field(default=None, repr=False)
    size_bytes: int = 0
    files: Mapping[str, Any] | None = field(default=None, repr=False)
    data: Mapping[str, str] | None = None

    def request(self) -> httpx.Request:
        """Return it as httpx sends it."""
        headers = [("user-agent", "tidemill"), ("accept-encoding", "identity"), *self.headers]
        if isinstance(self.content, AsyncIterator):
            headers.append(("content-length", str(self.size_bytes)))
        silence_s = SILENCE_S + self.size_bytes / DIGESTED_BYTES_PER_S
        return httpx.Request(
            self.method,
            self.url,
            headers=headers,
            content=self.content,
            files=self.files,
            data=self.data,
            extensions={"timeout": httpx.Timeout(silence_s, connect=CONNECT_TIMEOUT_S).as_dict()},
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that was read; `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class LaneHttp:
    """One per process, made, used and closed on its event loop."""

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport or httpx.AsyncHTTPTransport(
            verify=_trusted(), trust_env=False, retries=0
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def ask(self, ask: Ask) -> Reply:
        """Send the request and return the whole reply, which is a small one.

        Raises:
            ProviderError: none came; `may_have_run` tells whether the request was sent.
        """
        deadline_s = 2 * SILENCE_S + ask.size_bytes / SLOWEST_BYTES_PER_S
        async with self._response(ask, deadline_s) as response:
            return await _whole(response)

    async def lines(self, ask: Ask) -> AsyncGenerator[bytes | Reply, None]:
        """Yield the reply's lines as they come, without their newlines; blank ones are left out.

        A reply other than 200 is yielded instead of any line. A line that is longer than any answer
        comes cut, and so unreadable, and its rest is passed over.

        Raises:
            ProviderError: it broke off.
        """
        async with self._response(ask, RESULTS_DEADLINE_S) as response:
            if response.status_code != 200:
                yield await _whole(response)
                return
            async for line in _lines(response.aiter_bytes(PIECE_BYTES)):
                yield line

    @asynccontextmanager
    async def _response(self, ask: Ask, deadline_s: float) -> AsyncIterator[httpx.Response]:
        try:
            async with asyncio.timeout(deadline_s):
                response = await self._transport.handle_async_request(ask.request())
                try:
                    yield response
                finally:
                    await response.aclose()
        except (httpx.RequestError, httpx.InvalidURL, TimeoutError) as error:
            if isinstance(error, httpx.InvalidURL):
                error = httpx.LocalProtocolError(str(error))
            raise failure_of(error, deadline_s) from error


async def _whole(response: httpx.Response) -> Reply:
    pieces: list[bytes] = []
    size_bytes = 0
    async for piece in response.aiter_bytes(PIECE_BYTES):
        size_bytes += len(piece)
        if size_bytes > MAX_RESPONSE_BYTES:
            raise ReplyTooLarge(f"the reply exceeds {MAX_RESPONSE_BYTES} bytes")
        pieces.append(piece)
    headers = {
        name.lower().decode("latin-1"): value.decode("latin-1")
        for name, value in response.headers.raw
    }
    return Reply(response.status_code, headers, b"".join(pieces))


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    size_bytes = 0
    line = bytearray()
    async for piece in pieces:
        size_bytes += len(piece)
        if size_bytes > MAX_RESULTS_BYTES:
            raise ReplyTooLarge(f"the results exceed {MAX_RESULTS_BYTES} bytes")
        *ends, rest = piece.split(b"\n")
        for end in ends:
            line += end
            if line.strip():
                yield bytes(line)
            line.clear()
        if len(line) <= MAX_RESPONSE_BYTES:
            line += rest
    if line.strip():
        yield bytes(line)


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    """Return the system's certificates, as live calls trust them."""
    return ssl.create_default_context()
