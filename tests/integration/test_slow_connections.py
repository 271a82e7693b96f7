"""Connections without a key are bounded in time and number; uploads and answers with one are not."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson
import pytest
from fastapi import FastAPI
from uvicorn import Config

from api.server.connections import Connections
from api.server.listener import Listener, Server
from jobs.configuration import Configuration
from jobs.store import Database
from jobs.store.projects import create_key, ensure_project
from tests.support.eventually import eventually_async

MOST = 6

REQUEST_S = 1.5
"""Short, and a long time for an honest head."""

IN_TIME_S = REQUEST_S + 3.0
"""The server looks once a second, and the machine has other things to do."""

LINE = orjson.dumps({"custom_id": "a", "model": "sim/small", "prompt": "x", "max_tokens": 5})


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The database is no matter here."""
    return f"sqlite:///{tmp_path / 'tidemill.db'}"


@pytest.fixture
def configuration() -> Configuration:
    """With a provider, so that work is accepted."""
    provider = {"protocol": "openai", "base_url": "http://127.0.0.1:9/v1"}
    return Configuration.model_validate({"providers": {"sim": provider}})


@pytest.fixture
def key(database: Database) -> str:
    """A key of the project `default`."""
    with database.write() as session:
        return create_key(session, ensure_project(session, "default"))


@dataclass
class Wire:
    """A connection, and what came over it until its end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    got: bytes = b""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """Read until the end, also one without manners."""
        try:
            while data := await self.reader.read(65_536):
                self.got += data
        except OSError:
            pass
        self.ended.set()

    async def is_ended(self) -> bool:
        """Whether the other side has ended it in time."""
        try:
            async with asyncio.timeout(IN_TIME_S):
                await self.ended.wait()
        except TimeoutError:
            return False
        return True


@dataclass
class Served:
    """The API behind a true socket."""

    port: int
    connections: Connections
    kept: AsyncExitStack

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def admitted(self, count: int) -> Callable[[], Awaitable[bool]]:
        """Return the condition that so many connections have a request with a valid key."""

        async def is_so() -> bool:
            return len(self.connections.admitted) == count

        return is_so

    async def connect(self, said: bytes = b"") -> Wire:
        """Open a connection, say something, and return once the server knows of it."""
        before = len(self.connections)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.kept.callback(writer.close)
        writer.write(said)
        wire = Wire(reader, writer)
        reading = asyncio.create_task(wire.read())
        self.kept.callback(reading.cancel)

        async def is_known() -> bool:
            return len(self.connections) in {before + 1, self.connections.most}

        await eventually_async(is_known, IN_TIME_S, "the server has the connection")
        return wire


@asynccontextmanager
async def serving(app: FastAPI, connections: Connections) -> AsyncIterator[Served]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        config = Config(app, http=Listener, log_config=None, timeout_graceful_shutdown=1)
        server = Server(config, connections, lambda: None)
        running = asyncio.create_task(server.serve([listening]))
        try:
            async with AsyncExitStack() as kept:
                yield Served(listening.getsockname()[1], connections, kept)
        finally:
            server.should_exit = True
            await running


@pytest.fixture
async def served(app: FastAPI) -> AsyncIterator[Served]:
    """The API with few places, and little time."""
    async with serving(app, Connections(MOST, REQUEST_S)) as served:
        yield served


def head(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (*lines, "host: tidemill", "")).encode()


async def trickle(wire: Wire, data: bytes) -> None:
    """Send a byte now and then, as long as somebody listens."""
    for byte in data * 1000:
        if wire.ended.is_set():
            return
        wire.writer.write(bytes([byte]))
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("endless", [b"x", b"\r\n"])
async def test_a_head_that_comes_byte_by_byte_is_ended(served: Served, endless: bytes) -> None:
    silent = await served.connect()
    wire = await served.connect(b"GET /healthz HTTP/1.1\r\nx-slow: " if endless == b"x" else b"")
    sending = asyncio.create_task(trickle(wire, endless))
    assert await wire.is_ended()
    assert await silent.is_ended()
    await sending
    assert silent.got == b""
    if endless == b"x":
        assert wire.got.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"request_timeout"' in wire.got


async def test_the_head_after_an_answer_is_bounded_as_well(served: Served, key: str) -> None:
    for answered in (
        head("GET /healthz HTTP/1.1"),
        head("GET /api/usage HTTP/1.1", f"x-api-key: {key}"),
    ):
        wire = await served.connect(answered)

        async def is_answered(wire: Wire = wire) -> bool:
            return wire.got.startswith(b"HTTP/1.1 200 ")

        await eventually_async(is_answered, IN_TIME_S, "the first request is answered")
        sending = asyncio.create_task(trickle(wire, b"\r\n"))
        assert await wire.is_ended()
        await sending


async def test_a_body_that_goes_on_after_the_key_was_refused_is_ended(served: Served) -> None:
    wire = await served.connect(
        head("POST /api/batches HTTP/1.1", "x-api-key: tm_nobody", "content-length: 1000000")
    )
    sending = asyncio.create_task(trickle(wire, b" "))
    assert await wire.is_ended()
    await sending
    assert wire.got.startswith(b"HTTP/1.1 401 ")


async def test_answers_that_a_stranger_does_not_read_are_ended(served: Served) -> None:
    """Each is some 50 KB: more than the two systems take into their hands."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, ("127.0.0.1", served.port))
        await loop.sock_sendall(connection, head("GET /openapi.json HTTP/1.1") * 200)

        async def is_gone() -> bool:
            return len(served.connections) == 0

        await asyncio.sleep(REQUEST_S / 2)
        assert len(served.connections) == 1
        await eventually_async(is_gone, 2 * IN_TIME_S, "the connection is dropped")


async def test_an_upload_with_a_key_takes_as_long_as_it_likes(served: Served, key: str) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        for piece in (LINE[:5], LINE[5:10], LINE[10:]):
            yield piece
            await asyncio.sleep(REQUEST_S)

    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as client:
        reply = await client.post("/api/batches", content=slowly(), headers={"x-api-key": key})
    assert reply.status_code == 202, reply.text


async def test_the_rest_of_a_body_is_waited_for_when_its_answer_is_quick(
    served: Served, key: str
) -> None:
    """A client reads no answer before it has sent all of its body."""
    wire = await served.connect(
        head(
            "POST /api/batches HTTP/1.1",
            f"x-api-key: {key}",
            "content-type: text/html",
            "content-length: 10",
        )
    )
    for _ in range(10):
        await asyncio.sleep(REQUEST_S / 5)
        wire.writer.write(b" ")
    wire.writer.write(head("GET /healthz HTTP/1.1"))

    async def is_answered() -> bool:
        return b"HTTP/1.1 200 " in wire.got

    await eventually_async(is_answered, IN_TIME_S, "the connection is good for another request")
    assert wire.got.startswith(b"HTTP/1.1 415 ")


async def test_strangers_that_fill_the_house_keep_nobody_out(
    served: Served, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    flooded = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield LINE
        await flooded.wait()

    async with httpx.AsyncClient(base_url=served.url, trust_env=False, timeout=20.0) as client:
        upload = asyncio.create_task(
            client.post("/api/batches", content=body(), headers={"x-api-key": key})
        )
        await eventually_async(served.admitted(1), IN_TIME_S, "the upload's key is looked at")
        wires = [await served.connect(b"GET /healthz HTTP/1.1\r\nx: ") for _ in range(5 * MOST)]
        async with httpx.AsyncClient(base_url=served.url, trust_env=False) as other:
            assert (await other.get("/healthz")).status_code == 200
        assert len(served.connections) <= MOST
        flooded.set()
        assert (await upload).status_code == 202
    assert all([await wire.is_ended() for wire in wires])
    assert "to make room" in caplog.text


async def test_who_finds_only_uploads_is_told_to_come_back(served: Served, key: str) -> None:
    start = head("POST /api/batches HTTP/1.1", f"x-api-key: {key}", "content-length: 1000")
    uploads = []
    for number in range(1, MOST + 1):
        wire = await served.connect(start)
        uploads.append(wire)
        await eventually_async(served.admitted(number), IN_TIME_S, "its key is looked at")
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as client:
        reply = await client.get("/healthz")
    assert (reply.status_code, reply.json()["code"]) == (503, "too_many_connections")
    assert reply.headers["retry-after"] == "1"
    assert not any(wire.ended.is_set() for wire in uploads)
