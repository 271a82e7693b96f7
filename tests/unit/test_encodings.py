"""Packed bodies, unpacked piece by piece and never further than they may become."""

import gzip
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from hashlib import shake_128

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.intake.encodings import FREE_BYTES, PIECE_BYTES, check_encoding, unpacked
from jobs.errors import BodyTooLarge, UnreadableBody, UnsupportedEncoding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}
PACKED = pytest.mark.parametrize("encoding", PACKERS)

TEXT = b"".join(b'{"custom_id":"a%d","prompt":"x"}\n' % number for number in range(50_000))
LIMIT = 1 << 30


async def arriving(body: bytes, chunk: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(body), chunk):
        yield body[start : start + chunk]


async def read(body: bytes, encoding: str, max_bytes: int = LIMIT, chunk: int = 65_536) -> bytes:
    pieces = [piece async for piece in unpacked(arriving(body, chunk), encoding, max_bytes)]
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


@PACKED
@pytest.mark.parametrize("chunk", [100, 1000, 1 << 20])
async def test_a_packed_body_is_unpacked_however_it_arrives(encoding: str, chunk: int) -> None:
    noise = shake_128(b"noise").digest(30_000)
    for body in (TEXT, noise, b"x"):
        assert await read(PACKERS[encoding](body), encoding, chunk=chunk) == body


@PACKED
async def test_files_that_were_appended_to_each_other_are_one_body(encoding: str) -> None:
    pack = PACKERS[encoding]
    body = pack(TEXT) + pack(b"") + pack(b"end\n")
    for chunk in (1000, len(body), len(pack(TEXT))):
        assert await read(body, encoding, chunk=chunk) == TEXT + b"end\n"


@PACKED
async def test_members_with_nothing_in_them_take_no_turn_of_the_threads_each(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = 0

    async def counted_turn(work: Callable[[bytes], bytes], data: bytes) -> bytes:
        nonlocal turns
        turns += 1
        return work(data)

    monkeypatch.setattr("api.intake.encodings.run_in_threadpool", counted_turn)
    pack = PACKERS[encoding]
    assert await read(pack(b"") * 5_000 + pack(b"end\n"), encoding) == b"end\n"
    assert turns < 10


@PACKED
async def test_a_body_that_never_becomes_anything_ends_at_the_limit_too(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.intake.encodings.FREE_BYTES", 1_000)
    body = PACKERS[encoding](b"") * 1_000
    assert await read(body, encoding, max_bytes=len(body)) == b""
    with pytest.raises(BodyTooLarge):
        await read(body, encoding, max_bytes=len(body) // 2)


@PACKED
@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body[:-1],
        lambda body: body[:10],
        lambda body: body + b"more",
        lambda body: body[:20] + b"\xff" * 40 + body[60:],
        lambda _body: b'{"custom_id":"a"}',
        lambda _body: b"\x1f",
    ],
    ids=["cut off", "begun", "more", "damaged", "plain", "one byte"],
)
async def test_a_body_that_is_not_packed_so_is_refused(
    encoding: str, spoil: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(UnreadableBody) as raised:
        await read(spoil(PACKERS[encoding](TEXT)), encoding)
    assert raised.value.code == f"invalid_{encoding}"
    assert encoding in raised.value.message


@PACKED
async def test_an_empty_body_stays_empty(encoding: str) -> None:
    assert await read(b"", encoding) == await read(PACKERS[encoding](b""), encoding) == b""


@pytest.mark.parametrize("encoding", ["", *PACKERS])
async def test_a_body_may_be_as_large_as_the_limit_and_no_larger(encoding: str) -> None:
    body = PACKERS[encoding](TEXT) if encoding else TEXT
    assert await read(body, encoding, max_bytes=len(TEXT), chunk=PIECE_BYTES) == TEXT
    with pytest.raises(BodyTooLarge):
        await read(body, encoding, max_bytes=len(TEXT) - 1, chunk=PIECE_BYTES)


@PACKED
async def test_a_bomb_takes_little_memory_and_is_stopped(encoding: str) -> None:
    """200 KB of gzip that become 200 MB, and 20 KB of zstd."""
    bomb = PACKERS[encoding](bytes(200 << 20))

    async def unpack() -> None:
        async for _piece in unpacked(arriving(bomb), encoding, FREE_BYTES * 2):
            pass

    tracemalloc.start()
    with pytest.raises(BodyTooLarge):
        await unpack()
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 32 << 20


async def test_a_small_body_does_not_become_a_thousand_times_as_large() -> None:
    with pytest.raises(BodyTooLarge, match="packed more than"):
        await read(zstd.compress(bytes(200 << 20)), "zstd")


async def test_a_window_larger_than_any_reader_must_hold_is_refused() -> None:
    wide = {int(zstd.CompressionParameter.window_log): 25}
    noise = shake_128(b"noise").digest(40 << 20)
    with pytest.raises(UnreadableBody):
        await read(zstd.compress(noise, options=wide), "zstd")


@pytest.mark.parametrize("named", ["br", "deflate", "gzip, gzip", "identity, gzip", "x" * 9999])
def test_an_encoding_that_is_not_known_is_refused(named: str) -> None:
    with pytest.raises(UnsupportedEncoding, match="gzip or zstd") as raised:
        check_encoding(named)
    assert len(raised.value.message) < 200


@pytest.mark.parametrize(
    ("named", "encoding"), [("", ""), ("identity", ""), (" GZIP ", "gzip"), ("zstd", "zstd")]
)
def test_an_encoding_is_known_however_it_is_written(named: str, encoding: str) -> None:
    assert check_encoding(named) == encoding


@given(st.binary(max_size=200), st.sampled_from(["gzip", "zstd"]), st.booleans())
async def test_no_bytes_at_all_break_it(body: bytes, encoding: str, is_begun: bool) -> None:
    begin = PACKERS[encoding](b"x" * 50)[:12] if is_begun else b""
    with suppress(UnreadableBody):
        await read(begin + body, encoding)
