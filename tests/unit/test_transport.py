"""The transport against a server that misbehaves in every way that tells "sent" from "never sent"."""

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import httpx
import pytest

from workers.calls.reqwest_transport import ReqwestTransport
from workers.calls.transport import AiohttpTransport, ReplyTooLarge

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Server:
    """Counts its connections and requests; `behave` says what it does with each request read."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave
        self.connections = 0
        self.requests: list[bytes] = []
        self.closed = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                )
                self.requests.append(head + await reader.readexactly(length))
                await self._behave(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()


@asynccontextmanager
async def serving(behave: Behaviour) -> AsyncIterator[Server]:
    server = Server(behave)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1/x?a=%2F"
    try:
        yield server
    finally:
        listener.close()


def says(reply: bytes) -> Behaviour:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()

    return behave


def says_and_closes(reply: bytes) -> Behaviour:
    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()
        writer.close()

    return behave


def says_and_stalls(reply: bytes) -> Behaviour:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await reader.read()

    return behave


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


@pytest.fixture(params=[AiohttpTransport, partial(ReqwestTransport, deadline_s=5.0)])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncBaseTransport]:
    async with request.param(max_response_bytes=100_000, connect_timeout_s=0.5) as transport:
        yield transport


def post(url: str) -> httpx.Request:
    return httpx.Request(
        "POST",
        url,
        headers=[("content-type", "application/json"), ("x-key", "k")],
        stream=httpx.ByteStream(b'{"a":1}'),
    )


async def body_of(response: httpx.Response) -> bytes:
    return await response.aread()


async def test_a_request_arrives_as_it_was_and_the_reply_comes_back(
    transport: httpx.AsyncBaseTransport,
) -> None:
    reply = b"HTTP/1.1 429 Slow\r\nRetry-After: 3\r\ncontent-length: 2\r\n\r\nno"
    async with serving(says(reply)) as server:
        response = await transport.handle_async_request(post(server.url))

        assert (response.status_code, await body_of(response)) == (429, b"no")
        assert response.headers["retry-after"] == "3"
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /v1/x?a=%2F HTTP/1.1\r\n")
        assert b"x-key: k" in head.lower()
        assert body == b'{"a":1}'


@pytest.mark.parametrize(
    ("behave", "kind"),
    [
        pytest.param(
            says_and_closes(b""), httpx.RemoteProtocolError, id="closes after the request"
        ),
        pytest.param(reset, httpx.ReadError, id="RST after the request"),
        pytest.param(
            says_and_closes(OK[:-1]), httpx.RemoteProtocolError, id="body shorter than announced"
        ),
        pytest.param(
            says_and_closes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel"),
            httpx.RemoteProtocolError,
            id="chunk cut off",
        ),
        pytest.param(
            says_and_closes(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
            httpx.RemoteProtocolError,
            id="not HTTP",
        ),
        pytest.param(
            says_and_closes(b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n"),
            httpx.RemoteProtocolError,
            id="senseless length",
        ),
        pytest.param(
            says_and_closes(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n"),
            httpx.RemoteProtocolError,
            id="head without end",
        ),
        pytest.param(
            says(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope"),
            httpx.RemoteProtocolError,
            id="not gzip",
        ),
    ],
)
async def test_what_fails_after_the_request_was_sent_is_never_a_connect_error(
    transport: httpx.AsyncBaseTransport, behave: Behaviour, kind: type[httpx.RequestError]
) -> None:
    async with serving(behave) as server:
        with pytest.raises(httpx.RequestError) as raised:
            await transport.handle_async_request(post(server.url))

        assert type(raised.value) is kind
        assert "Error" not in str(raised.value)
        assert "127.0.0.1" not in str(raised.value)
        assert len(server.requests) == 1


async def test_a_refused_connection_is_a_connect_error(transport: httpx.AsyncBaseTransport) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"

        with pytest.raises(httpx.ConnectError) as raised:
            await transport.handle_async_request(post(url))

        assert str(raised.value) == "connection refused"


async def test_a_name_that_does_not_resolve_is_a_connect_error(
    transport: httpx.AsyncBaseTransport,
) -> None:
    with pytest.raises(httpx.ConnectError):
        await transport.handle_async_request(post("http://no-such-host.invalid/"))


@pytest.mark.parametrize("greeting", [b"", b"220 no TLS here\r\n"], ids=["closes", "no TLS"])
async def test_tls_that_fails_is_a_connect_error(
    transport: httpx.AsyncBaseTransport, greeting: bytes
) -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]

        with pytest.raises(httpx.ConnectError):
            await transport.handle_async_request(post(f"https://127.0.0.1:{port}/"))


async def test_a_connection_that_takes_too_long_is_a_connect_timeout(
    transport: httpx.AsyncBaseTransport,
) -> None:
    with socket.socket() as full:
        # With a backlog of nothing, the kernel leaves the connections beyond it unanswered.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        try:
            for sock in waiting:
                sock.setblocking(False)
                sock.connect_ex(address)
            with pytest.raises(httpx.ConnectTimeout):
                await transport.handle_async_request(post(f"http://127.0.0.1:{address[1]}/"))
        finally:
            for sock in waiting:
                sock.close()


async def test_a_url_that_is_none_was_never_sent(transport: httpx.AsyncBaseTransport) -> None:
    with pytest.raises(httpx.LocalProtocolError):
        await transport.handle_async_request(post("ftp://127.0.0.1/"))


async def test_a_connection_is_used_again(transport: httpx.AsyncBaseTransport) -> None:
    async with serving(says(OK)) as server:
        for _ in range(3):
            await transport.handle_async_request(post(server.url))

        assert (server.connections, len(server.requests)) == (1, 3)


async def test_a_connection_that_the_server_closed_while_idle_is_not_used_again(
    transport: httpx.AsyncBaseTransport,
) -> None:
    async with serving(says_and_closes(OK)) as server:
        await transport.handle_async_request(post(server.url))
        async with asyncio.timeout(5):
            await server.closed.wait()
        # On one machine and one loop, a few turns bring the closing from there to here.
        for _ in range(10):
            await asyncio.sleep(0)

        response = await transport.handle_async_request(post(server.url))

        assert response.status_code == 200
        assert server.connections == 2


async def test_a_post_that_meets_the_closing_of_a_kept_connection_is_sent_once(
    transport: httpx.AsyncBaseTransport,
) -> None:
    """Whether the server took it is unknown then, so it is no connect error and no hidden retry."""
    served = 0

    async def once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served
        served += 1
        if served == 1:
            writer.write(OK)
            await writer.drain()
        else:
            writer.close()

    async with serving(once) as server:
        await transport.handle_async_request(post(server.url))

        with pytest.raises(httpx.RemoteProtocolError):
            await transport.handle_async_request(post(server.url))

        assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_redirect_is_not_followed(transport: httpx.AsyncBaseTransport) -> None:
    async with serving(says(OK)) as elsewhere:
        location = elsewhere.url.encode()
        reply = b"HTTP/1.1 307 No\r\nlocation: " + location + b"\r\ncontent-length: 0\r\n\r\n"
        async with serving(says(reply)) as server:
            response = await transport.handle_async_request(post(server.url))

        assert response.status_code == 307
        assert elsewhere.connections == 0


async def test_cookies_are_not_kept(transport: httpx.AsyncBaseTransport) -> None:
    reply = b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-length: 2\r\n\r\nok"
    async with serving(says(reply)) as server:
        await transport.handle_async_request(post(server.url))
        await transport.handle_async_request(post(server.url))

        assert b"cookie" not in server.requests[1].lower()


async def test_a_proxy_of_the_environment_is_not_used(
    transport: httpx.AsyncBaseTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(says(OK)) as proxy, serving(says(OK)) as server:
        monkeypatch.setenv("http_proxy", proxy.url)

        await transport.handle_async_request(post(server.url))

        assert (proxy.connections, server.connections) == (0, 1)


def reply_of(body: bytes, encoding: str = "") -> bytes:
    head = f"HTTP/1.1 200 OK\r\n{encoding}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def test_a_compressed_body_comes_back_decoded_and_says_so(
    transport: httpx.AsyncBaseTransport,
) -> None:
    body = gzip.compress(b"x" * 90_000)
    async with serving(says(reply_of(body, "content-encoding: gzip\r\n"))) as server:
        response = await transport.handle_async_request(post(server.url))

        assert await body_of(response) == b"x" * 90_000
        assert "content-encoding" not in response.headers
        assert "content-length" not in response.headers


@pytest.mark.parametrize(
    ("reply", "fits"),
    [
        pytest.param(reply_of(b"x" * 100_000), True, id="as large as may be"),
        pytest.param(reply_of(b"x" * 100_001), False, id="a byte too many"),
        pytest.param(
            reply_of(gzip.compress(b"\0" * 50_000_000), "content-encoding: gzip\r\n"),
            False,
            id="a gzip bomb of 50 MB in 50 KB",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            + b"ffff\r\n"
            + b"x" * 65535
            + b"\r\nffff\r\n"
            + b"x" * 65535
            + b"\r\n",
            False,
            id="chunks without end",
        ),
    ],
)
async def test_a_reply_is_read_up_to_its_bound(
    transport: httpx.AsyncBaseTransport, reply: bytes, fits: bool
) -> None:
    async with serving(says(reply)) as server:
        if fits:
            response = await transport.handle_async_request(post(server.url))
            assert len(await body_of(response)) == 100_000
        else:
            with pytest.raises(ReplyTooLarge):
                await transport.handle_async_request(post(server.url))


async def test_a_bomb_lets_other_calls_have_their_turns() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    bomb = reply_of(gzip.compress(b"\0" * 30_000_000), "content-encoding: gzip\r\n")
    transport = AiohttpTransport()
    async with serving(says(bomb)) as server:
        task: asyncio.Task[None] | None = None
        read = transport._read

        async def watched(response: aiohttp.ClientResponse) -> bytes:
            nonlocal task
            task = asyncio.create_task(others())
            return await read(response)

        transport._read = watched  # type: ignore[method-assign]  # the moment from which on to count
        response = await transport.handle_async_request(post(server.url))
        seen = turns
        assert task is not None
        task.cancel()
        assert len(await body_of(response)) == 30_000_000
    await transport.aclose()
    assert seen >= 20


async def test_a_reply_without_end_is_cut_off_with_its_connection(
    transport: httpx.AsyncBaseTransport,
) -> None:
    async def pour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"ffff\r\n" + b"x" * 65535 + b"\r\n")
            await writer.drain()

    async with serving(pour) as server:
        with pytest.raises(ReplyTooLarge):
            await transport.handle_async_request(post(server.url))

        async with asyncio.timeout(5):
            await server.closed.wait()


async def test_a_call_that_is_given_up_closes_its_connection() -> None:
    async with serving(says_and_stalls(OK[:-1])) as server, AiohttpTransport() as transport:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await transport.handle_async_request(post(server.url))

        async with asyncio.timeout(5):
            await server.closed.wait()


@pytest.mark.parametrize(
    "said", [b"", OK[:20], OK[:-1]], ids=["no head", "half a head", "half a body"]
)
async def test_a_call_beyond_its_deadline_closes_its_connection(said: bytes) -> None:
    async with (
        serving(says_and_stalls(said)) as server,
        ReqwestTransport(deadline_s=0.2) as limited,
    ):
        with pytest.raises(httpx.ReadTimeout):
            await limited.handle_async_request(post(server.url))

        async with asyncio.timeout(5):
            await server.closed.wait()


async def test_the_kernel_probes_a_silent_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []
    plain = socket.socket

    def recorded(*arguments: int, **named: int) -> socket.socket:
        made.append(plain(*arguments, **named))
        return made[-1]

    async with serving(says(OK)) as server, AiohttpTransport() as transport:
        monkeypatch.setattr("workers.calls.transport.socket.socket", recorded)
        await transport.handle_async_request(post(server.url))

        assert made[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert made[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
