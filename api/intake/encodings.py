"""Bodies that arrive packed: unpacked while they arrive, never further than they may become.

A few kilobytes can stand for gigabytes, so what comes out is asked for in bounded pieces and
counted, and what a body may need of memory is bounded as well.
"""

import sys
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from starlette.concurrency import run_in_threadpool

from jobs.errors import BodyTooLarge, UnreadableBody, UnsupportedEncoding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES = 256 * 1024
"""What is unpacked at once: a millisecond's work."""

FREE_BYTES = 64 << 20
"""What any body may become, however small it arrives."""

MAX_RATIO = 1100
"""How many times its size a body may become beyond that. Lines that share a long prompt reach 960
as zstd; gzip can't do more than 1,032."""

ZSTD_WINDOW_LOG = 23
"""8 MiB: the most that a reader has to hold for `Content-Encoding: zstd` (RFC 9659)."""

_GZIP_WINDOW_BITS = 31
_SHOWN_CHARACTERS = 80


class _Unpacker(Protocol):
    """One member or frame of a packed body."""

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What came after its end."""
        ...

    def unpack(self, data: bytes) -> bytes:
        """Return the next piece; `data` follows what was given before. Empty: more is needed."""
        ...


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP_WINDOW_BITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def unpack(self, data: bytes) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, PIECE_BYTES)


class _Zstd:
    def __init__(self) -> None:
        limits = {int(zstd.DecompressionParameter.window_log_max): ZSTD_WINDOW_LOG}
        self._inner = zstd.ZstdDecompressor(options=limits)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def unpack(self, data: bytes) -> bytes:
        return self._inner.decompress(data, PIECE_BYTES)


UNPACKERS: Mapping[str, Callable[[], _Unpacker]] = {"gzip": _Gzip, "x-gzip": _Gzip, "zstd": _Zstd}
"""By the word of Content-Encoding."""


def check_encoding(named: str) -> str:
    """Return the encoding that a header names, empty for none.

    Raises:
        UnsupportedEncoding: it is none that can be unpacked, or several on top of each other.
    """
    encoding = named.strip().lower()
    if encoding in {"", "identity"}:
        return ""
    if encoding not in UNPACKERS:
        raise UnsupportedEncoding(
            f"content-encoding {encoding[:_SHOWN_CHARACTERS]!r} is not supported; "
            "expected gzip or zstd, or the body as it is"
        )
    return encoding


async def unpacked(
    body: AsyncIterator[bytes], encoding: str, max_bytes: int
) -> AsyncIterator[bytes]:
    """Yield a body as it was before `encoding`, as `check_encoding` returns it, in pieces.

    Raises:
        BodyTooLarge: it is larger than `max_bytes`, or much larger than what arrived of it.
        UnreadableBody: it isn't packed so, or its end is missing.
    """
    pieces = _unpack(body, encoding) if encoding else _counted(body)
    size_bytes = 0
    async for arrived_bytes, piece in pieces:
        size_bytes += len(piece)
        # Nothing may become of any number of members, so what arrives is counted as well.
        if size_bytes > max_bytes or arrived_bytes > max_bytes + FREE_BYTES:
            raise BodyTooLarge(f"the body has more than {max_bytes:,} bytes; send it in parts")
        if size_bytes > FREE_BYTES + MAX_RATIO * arrived_bytes:
            raise BodyTooLarge(
                f"the body is packed more than {MAX_RATIO:,} times; send it unpacked"
            )
        if piece:
            yield piece


async def _counted(body: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    arrived_bytes = 0
    async for data in body:
        arrived_bytes += len(data)
        yield arrived_bytes, data


async def _unpack(body: AsyncIterator[bytes], encoding: str) -> AsyncIterator[tuple[int, bytes]]:
    """Yield the pieces of all members, each with the bytes that had arrived until then.

    After all pieces of what arrived comes an empty one, also when there were none.
    """
    members = _Members(UNPACKERS[encoding])
    async for arrived_bytes, data in _counted(body):
        piece = await _next_piece(members, data, encoding)
        while piece:
            yield arrived_bytes, piece
            piece = await _next_piece(members, b"", encoding)
        yield arrived_bytes, piece
    if not members.is_whole:
        raise _unreadable(encoding, "its end is missing")


class _Members:
    """A packed body: members one after the other, as files that were appended: `cat a.gz b.gz`."""

    def __init__(self, begin: Callable[[], _Unpacker]) -> None:
        self._begin = begin
        self._unpacker: _Unpacker | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the last member has its end; there may be none at all."""
        return self._unpacker is None or self._unpacker.eof

    def next_piece(self, data: bytes) -> bytes:
        """Return the next piece; `data` follows what was given before. Empty: more is needed.

        Members without anything in them are passed over here, and not by a turn of the threads
        for each: a megabyte can have fifty thousand.
        """
        while True:
            if self._unpacker is None or self._unpacker.eof:
                if self._unpacker is not None:
                    data = self._unpacker.unused_data + data
                if not data:
                    return b""
                self._unpacker = self._begin()
            piece, data = self._unpacker.unpack(data), b""
            if piece or not self._unpacker.eof:
                return piece


async def _next_piece(members: _Members, data: bytes, encoding: str) -> bytes:
    try:
        return await run_in_threadpool(members.next_piece, data)
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise _unreadable(encoding, f"it isn't packed so ({error})") from error


def _unreadable(encoding: str, why: str) -> UnreadableBody:
    name = encoding.removeprefix("x-")
    return UnreadableBody(
        f"the body can't be unpacked as {name}: {why[:_SHOWN_CHARACTERS]}; send it whole, or "
        "without Content-Encoding if it is not packed",
        f"invalid_{name}",
    )
