"""Answers that leave packed, as Accept-Encoding wishes: piece by piece, so that none is held whole."""

import re
import sys
import zlib
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LEAST_BYTES = 1024
"""An answer that is smaller fits into one packet, packed or not."""

THREAD_BYTES = 16 * 1024
"""From here on a thread packs: a tenth of a millisecond's work, about what handing it over takes."""

GZIP_LEVEL = 1
"""140 MB of results a second; level 6 takes four times as long and is a sixth smaller."""

ZSTD_LEVEL = 1
"""400 MB of results a second; level 3 takes twice as long and is a tenth smaller."""

_GZIP_WINDOW_BITS = 31

_PACKABLE = re.compile(
    # A problem is small, and a surface may be about to say it in a shape of its own.
    r"application/(?!problem\+)(?:[a-z.-]+\+)?json|application/(?:x-ndjson|jsonl|x-jsonl)"
    r"|image/svg\+xml"
    r"|text/(?!event-stream)[a-z.-]+"  # an event must not wait for the next
)
_WISH = re.compile(r"\s*([A-Za-z0-9*-]+)\s*(?:;\s*[qQ]\s*=\s*([01](?:\.[0-9]{0,3})?)\s*)?")


class Packer(Protocol):
    """Packs one answer."""

    def pack(self, piece: bytes, *, is_last: bool) -> bytes:
        """Return what is ready of the pieces so far, which may be nothing; all after the last."""
        ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW_BITS)

    def pack(self, piece: bytes, *, is_last: bool) -> bytes:
        packed = self._inner.compress(piece)
        return packed + self._inner.flush() if is_last else packed


class _Zstd:
    def __init__(self) -> None:
        self._inner = zstd.ZstdCompressor(level=ZSTD_LEVEL)

    def pack(self, piece: bytes, *, is_last: bool) -> bytes:
        if is_last:
            return self._inner.compress(piece, self._inner.FLUSH_FRAME)
        return self._inner.compress(piece)


PACKERS: dict[str, type[_Gzip] | type[_Zstd]] = {"zstd": _Zstd, "gzip": _Gzip}
"""By the word of Accept-Encoding; what stands first is taken of two that are wished for alike."""


def wished(accept_encoding: str) -> str | None:
    """Return the packing that a caller likes best, None for none."""
    weights: dict[str, float] = {}
    for wish in accept_encoding.split(","):
        if found := _WISH.fullmatch(wish):
            weights[found[1].lower()] = float(found[2] or 1)
    liked = {name: weights.get(name, weights.get("*", 0.0)) for name in PACKERS}
    best = max(PACKERS, key=lambda name: liked[name])
    return best if liked[best] > 0 and liked[best] >= weights.get("identity", 0.0) else None


class Packing:
    """An ASGI middleware that packs texts of a size that is worth it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, and pack its answer if the caller wishes that."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        encoding = wished(Headers(scope=scope).get("accept-encoding", ""))
        await self._app(scope, receive, _Answer(encoding, send).send)


class _Answer:
    """An answer on its way out."""

    def __init__(self, encoding: str | None, send: Send) -> None:
        self._encoding = encoding
        self._send = send
        self._start: Message | None = None
        self._packer: Packer | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_packable(message):
            MutableHeaders(raw=message["headers"]).add_vary_header("Accept-Encoding")
            if self._encoding is not None:
                self._start = message  # until it is known whether there is enough to pack
                return
        if message["type"] != "http.response.body":
            await self._send(message)
            return
        if self._start is not None:
            start, self._start = self._start, None
            if message.get("more_body") or len(message.get("body", b"")) >= LEAST_BYTES:
                self._begin(start)
            await self._send(start)
        await self._send(message if self._packer is None else await self._packed(message))

    def _begin(self, start: Message) -> None:
        assert self._encoding is not None
        self._packer = PACKERS[self._encoding]()
        headers = MutableHeaders(raw=start["headers"])
        headers["content-encoding"] = self._encoding
        del headers["content-length"]

    async def _packed(self, message: Message) -> Message:
        assert self._packer is not None
        is_last = not message.get("more_body", False)
        piece = message.get("body", b"")
        if len(piece) < THREAD_BYTES:
            return {**message, "body": self._packer.pack(piece, is_last=is_last)}
        packed = await run_in_threadpool(self._packer.pack, piece, is_last=is_last)
        return {**message, "body": packed}


def _is_packable(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return "content-encoding" not in headers and _PACKABLE.fullmatch(kind) is not None
