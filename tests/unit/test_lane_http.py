"""HTTP of the batch lanes over real sockets: streamed both ways, bounded, and exact about how it failed."""

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from jobs.errors import ConnectFailed, ConnectionLost, MalformedReply, TimedOut
from tests.support.batch_words import HI, TAG
from tests.support.recorded import lane_at
from workers.lanes.wire import LaneHttp, Order, http
from workers.lanes.wire.anthropic import body_of
from workers.lanes.wire.http import Ask, Reply

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """Serve connections so; yield the address."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def answering(*pieces: bytes, length: int | None = None) -> Serve:
    """Return what reads a request's head and answers with these pieces of a body."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        size = sum(len(piece) for piece in pieces) if length is None else length
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return serve


@pytest.fixture
async def lanes() -> AsyncIterator[LaneHttp]:
    """HTTP that is closed at the end."""
    http = LaneHttp()
    yield http
    await http.aclose()


async def lines_of(url: str) -> list[bytes | Reply]:
    """Return all lines that are there."""
    lanes = LaneHttp()
    try:
        return [line async for line in lanes.lines(Ask("GET", url, ()))]
    finally:
        await lanes.aclose()


async def test_lines_come_whole_however_they_are_cut() -> None:
    text = 'a\n{"x":"\u2028é"}\n\n   \r\nlast'.encode()
    async with serving(answering(*[text[i : i + 1] for i in range(len(text))])) as url:
        assert await lines_of(url) == [b"a", '{"x":"\u2028é"}'.encode(), b"last"]


async def test_results_that_break_off_are_not_the_end() -> None:
    async with serving(answering(b"a\nb\n", length=100)) as url:
        with pytest.raises(ConnectionLost):
            await lines_of(url)


async def test_a_line_without_an_end_is_cut_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "MAX_RESPONSE_BYTES", 1000)
    async with serving(answering(b"first\n", *[b"x" * 65_536] * 50, b"\nlast\n")) as url:
        first, cut, last = await lines_of(url)
    assert (first, last) == (b"first", b"last")
    assert isinstance(cut, bytes)
    assert len(cut) < 1000 + 2 * http.PIECE_BYTES


async def test_results_without_an_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_RESULTS_BYTES", 1000)
    async with serving(answering(*[b"line\n" * 100] * 10)) as url:
        with pytest.raises(MalformedReply):
            await lines_of(url)


async def test_a_reply_is_bounded(monkeypatch: pytest.MonkeyPatch, lanes: LaneHttp) -> None:
    monkeypatch.setattr(http, "MAX_RESPONSE_BYTES", 1000)
    async with serving(answering(*[b"x" * 500] * 10)) as url:
        with pytest.raises(MalformedReply):
            await lanes.ask(Ask("GET", url, ()))


async def test_what_nobody_listens_at_was_never_sent(lanes: LaneHttp) -> None:
    async with serving(answering()) as url:
        pass
    with pytest.raises(ConnectFailed):
        await lanes.ask(Ask("POST", url, (), b"{}"))
    with pytest.raises(ConnectFailed):
        await lanes.ask(Ask("POST", "http://[::1", (), b"{}"))


async def test_a_request_that_is_dropped_may_have_been_taken(lanes: LaneHttp) -> None:
    async def drop(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")

    async with serving(drop) as url:
        with pytest.raises(ConnectionLost):
            await lanes.ask(Ask("POST", url, (), b"{}"))


async def test_who_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch, lanes: LaneHttp) -> None:
    monkeypatch.setattr(http, "SILENCE_S", 0.05)

    async def hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(hang) as url:
        with pytest.raises(TimedOut):
            await lanes.ask(Ask("POST", url, (), b"{}"))


async def test_lines_may_be_left_before_their_end(lanes: LaneHttp) -> None:
    async with serving(answering(*[b"line\n"] * 10_000)) as url:
        ask = Ask("GET", url, ())
        async with aclosing(lanes.lines(ask)) as lines:
            assert await anext(lines) == b"line"


@pytest.mark.parametrize("size", [1, 3, 1000, 5000])
async def test_a_create_is_framed_as_it_is_announced(tmp_path: Path, size: int) -> None:
    spool = tmp_path / "lines"
    spool.write_bytes(b"".join(b'{"n":%d}\n' % no for no in range(size)))
    body = b"".join([piece async for piece in body_of(spool)])
    assert body == b'{"requests":[' + b",".join(b'{"n":%d}' % no for no in range(size)) + b"]}"


async def test_an_upload_is_never_in_memory(tmp_path: Path) -> None:
    spool = tmp_path / "large"
    with spool.open("wb") as lines:
        lines.truncate(200_000_000)
    taken = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while taken < length:
            taken += len(await reader.read(1 << 20))
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{"id":"f1"}')
        await writer.drain()

    async with serving(take) as url, lane_at(url) as batches:
        order = Order(TAG, "m", batches.endpoint(HI), spool, 1, spool.stat().st_size)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert await batches.upload(None, order) == "f1"
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken > 200_000_000
    assert grown_kb < 50_000
