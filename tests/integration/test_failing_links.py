"""A link that fails in each of its ways, between a client and a server that echoes lines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from scripts.fault_injection.proxy import HOST, WELL, Behaviour, Link, Mode

AT_ONCE_S = 5.0
"""Generously: what is not held up takes a millisecond."""

NOT_YET_S = 0.2


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
    writer.close()


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    server = await asyncio.start_server(echo, HOST, 0)
    async with server:
        link = Link(server.sockets[0].getsockname()[1])
        await link.open()
        yield link
        await link.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def say(self, line: bytes) -> None:
        self.writer.write(line)

    async def hear(self, within_s: float = AT_ONCE_S) -> bytes:
        async with asyncio.timeout(within_s):
            return await self.reader.readline()

    async def hears_nothing_yet(self) -> None:
        with pytest.raises(TimeoutError):
            await self.hear(NOT_YET_S)


@asynccontextmanager
async def connected(link: Link) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(HOST, link.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()


async def test_a_link_that_is_well_passes_everything_on(link: Link) -> None:
    async with connected(link) as client:
        for line in (b"one\n", b"x" * 60_000 + b"\n"):
            client.say(line)
            assert await client.hear() == line
    assert link.met == 0


async def test_a_stall_holds_what_is_sent_until_the_link_is_well(link: Link) -> None:
    async with connected(link) as client:
        await link.behave(Behaviour(Mode.STALL))
        client.say(b"one\n")
        await client.hears_nothing_yet()
        assert link.met == 1
        await link.behave(WELL)
        assert await client.hear() == b"one\n"


async def test_a_mute_link_never_answers_and_ends_with_a_reset(link: Link) -> None:
    await link.behave(Behaviour(Mode.MUTE))
    async with connected(link) as client:
        client.say(b"one\n")
        await client.hears_nothing_yet()
        await link.behave(WELL)
        with pytest.raises(ConnectionResetError):
            await client.hear()


async def test_a_delay_makes_an_answer_late(link: Link) -> None:
    await link.behave(Behaviour(Mode.DELAY, delay_s=2 * NOT_YET_S))
    async with connected(link) as client:
        client.say(b"one\n")
        await client.hears_nothing_yet()
        assert await client.hear() == b"one\n"
    assert link.met == 2  # there and back


async def test_a_reset_meets_whoever_says_something(link: Link) -> None:
    async with connected(link) as client:
        await link.behave(Behaviour(Mode.RESET))
        client.say(b"one\n")
        with pytest.raises(ConnectionResetError):
            await client.hear()


@pytest.mark.parametrize("after_bytes", [0, 1, 3])
async def test_an_answer_is_truncated_after_so_many_bytes(link: Link, after_bytes: int) -> None:
    await link.behave(Behaviour(Mode.TRUNCATE, after_bytes=after_bytes))
    async with connected(link) as client:
        client.say(b"a line\n")
        assert await client.hear() == b"a line\n"[:after_bytes]


async def test_truncation_counts_over_all_answers_of_a_connection(link: Link) -> None:
    await link.behave(Behaviour(Mode.TRUNCATE, after_bytes=5))
    async with connected(link) as client:
        client.say(b"one\n")
        assert await client.hear() == b"one\n"
        client.say(b"two\n")
        assert await client.hear() == b"t"


async def test_an_answer_drips_and_the_rest_comes_when_the_link_is_well(link: Link) -> None:
    await link.behave(Behaviour(Mode.DRIP))
    async with connected(link) as client:
        client.say(b"x" * 400 + b"\n")
        async with asyncio.timeout(AT_ONCE_S):
            assert await client.reader.read(100) == b"x"
        await link.behave(WELL)
        assert await client.hear() == b"x" * 399 + b"\n"


async def test_a_link_that_refuses_drops_its_connections_and_comes_back(link: Link) -> None:
    async with connected(link) as client:
        client.say(b"one\n")
        assert await client.hear() == b"one\n"
        await link.behave(Behaviour(Mode.REFUSE))
        assert link.met == 1
        with pytest.raises(ConnectionResetError):
            await client.hear()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, link.port)
        await link.behave(WELL)
    async with connected(link) as client:
        client.say(b"two\n")
        assert await client.hear() == b"two\n"
