"""One call, from a request to an answer or the exact error, over transports of every temper."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from jobs.configuration import ProtocolName, Provider
from jobs.errors import (
    AuthenticationFailed,
    ConnectFailed,
    ConnectionLost,
    MalformedReply,
    ProviderError,
    QuotaExhausted,
    RequestRejected,
    SchemaRefused,
    TimedOut,
)
from jobs.exchange import Answer, Message, ModelRequest, Usage
from workers.calls.calls import Caller
from workers.calls.transport import AiohttpTransport, ReplyTooLarge
from workers.gate.gate import Reading

KEY = SecretStr("sk-secret")
REQUEST = ModelRequest((Message("user", "Hi"),), max_tokens=5)
CHAT = {
    "model": "m-1",
    "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
REPLIES: dict[ProtocolName, dict[str, Any]] = {
    ProtocolName.OPENAI: CHAT,
    ProtocolName.MISTRAL: CHAT,
    ProtocolName.ANTHROPIC: {
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    },
    ProtocolName.GEMINI: {
        "candidates": [{"content": {"parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
    },
}
URLS = {
    ProtocolName.OPENAI: "http://llm.test/v1/chat/completions",
    ProtocolName.MISTRAL: "http://llm.test/v1/chat/completions",
    ProtocolName.ANTHROPIC: "http://llm.test/v1/messages",
    ProtocolName.GEMINI: "http://llm.test/v1/models/m%3A1:generateContent",
}


def provider(
    protocol: ProtocolName = ProtocolName.OPENAI, url: str = "http://llm.test/v1"
) -> Provider:
    return Provider(protocol=protocol, base_url=url)


def caller(answer: Callable[[httpx.Request], httpx.Response], deadline_s: float = 5.0) -> Caller:
    return Caller(httpx.MockTransport(answer), deadline_s=deadline_s)


async def error_of(
    answer: Callable[[httpx.Request], httpx.Response], key: SecretStr | None = KEY
) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        await caller(answer).call(provider(), key, "m", REQUEST)
    return raised.value


def raising(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise error

    return answer


@pytest.mark.parametrize("protocol", ProtocolName)
async def test_each_protocol_goes_to_its_address_and_comes_back_as_an_answer(
    protocol: ProtocolName,
) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json=REPLIES[protocol], headers={"X-Request-ID": "req_1"})

    found = await caller(answer).call(provider(protocol), KEY, "m:1", REQUEST)

    assert isinstance(found, Answer)
    assert (found.text, found.usage) == ("Hello", Usage(input_tokens=3, output_tokens=2))
    assert found.headers["x-request-id"] == "req_1"
    assert str(sent[0].url) == URLS[protocol]
    assert sent[0].method == "POST"
    assert sent[0].headers["content-type"] == "application/json"
    assert "sk-secret" in " ".join(sent[0].headers.values())
    assert json.loads(sent[0].content)


NAMES_THAT_WANT_ELSEWHERE = [
    "../../../admin",
    "..%2f..%2fadmin",
    "%2e%2e/%2e%2e",
    "/etc/passwd",
    "//evil.test/x",
    "http://evil.test/x",
    "https://evil.test",
    "@evil.test/x",
    ":x@evil.test",
    "m@evil.test:80/",
    "\\\\evil.test\\x",
    "/\\evil.test",
    "m?key=stolen",
    "m#part",
    "m;x=1",
    "m&x=1",
    ".",
    "..",
    "./",
    "models/../../x",
    "models/models/x",
    "m:generateContent?x=",
    "m:streamGenerateContent#",
    "m%0d%0ahost:%20evil.test",
    "m\r\nhost: evil.test",
    "m\tx",
    "m x",
    "m\x00x",
    "\u3002\u3002/x",
    "\uff0e\uff0e\uff0fx",
    "\u2024\u2024/x",
    "{m}",
    "%",
    "%zz",
    "169.254.169.254/latest/meta-data",
    "[::1]/x",
]


@pytest.mark.parametrize("protocol", ProtocolName)
@pytest.mark.parametrize("name", NAMES_THAT_WANT_ELSEWHERE)
async def test_no_name_of_a_model_leads_a_call_elsewhere(protocol: ProtocolName, name: str) -> None:
    """The name is the one part of an address that comes from a submission."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json=REPLIES[protocol])

    try:
        await caller(answer).call(provider(protocol), KEY, name, REQUEST)
    except RequestRejected:
        assert sent == []
        return
    (request,) = sent
    assert (request.url.scheme, request.url.netloc, request.url.query) == ("http", b"llm.test", b"")
    path = request.url.raw_path.decode()
    if protocol is ProtocolName.GEMINI:
        assert re.fullmatch(r"/v1/models/[^/?#]+:generateContent", path), path
    else:
        assert f"http://llm.test{path}" == URLS[protocol]


async def test_one_caller_serves_many_providers() -> None:
    hosts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        hosts.append(request.url.host)
        return httpx.Response(200, json=CHAT)

    one = caller(answer)
    for host in ("a.test", "b.test", "a.test"):
        await one.call(provider(url=f"http://{host}/v1"), None, "m", REQUEST)

    assert hosts == ["a.test", "b.test", "a.test"]


@pytest.mark.parametrize(
    ("error", "kind", "may_have_run"),
    [
        (httpx.ConnectError("refused"), ConnectFailed, False),
        (httpx.ConnectTimeout("slow"), ConnectFailed, False),
        (httpx.PoolTimeout("full"), ConnectFailed, False),
        (httpx.UnsupportedProtocol("ftp"), ConnectFailed, False),
        (httpx.LocalProtocolError("no url"), ConnectFailed, False),
        (httpx.ReadTimeout("slow"), TimedOut, True),
        (httpx.WriteTimeout("slow"), TimedOut, True),
        (httpx.ReadError("reset"), ConnectionLost, True),
        (httpx.WriteError("reset"), ConnectionLost, True),
        (httpx.CloseError("reset"), ConnectionLost, True),
        (httpx.RemoteProtocolError("cut off"), ConnectionLost, True),
        (httpx.DecodingError("not gzip"), ConnectionLost, True),
        (ReplyTooLarge("too large"), MalformedReply, True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_only_what_was_certainly_never_sent_counts_as_never_sent(
    error: Exception, kind: type[ProviderError], may_have_run: bool
) -> None:
    found = await error_of(raising(error))

    assert type(found) is kind
    assert found.may_have_run is may_have_run


@pytest.mark.parametrize("url", ["http://[v1.x]/v1", f"http://host/{70_000 * 'x'}"])
async def test_an_address_that_is_none_was_never_called(url: str) -> None:
    one = caller(lambda _request: httpx.Response(200, json=CHAT))

    with pytest.raises(ConnectFailed):
        await one.call(provider(url=url), None, "m", REQUEST)


async def test_a_provider_that_is_not_there_is_told_in_a_sentence_without_its_address() -> None:
    async with AiohttpTransport() as transport:
        caller = Caller(transport, deadline_s=5.0)
        with pytest.raises(ConnectFailed) as raised:
            await caller.call(provider(url="http://127.0.0.1:9/v1"), KEY, "m-1", REQUEST)
    expected = "no connection to the provider could be made: connection refused"
    assert raised.value.message == expected


async def test_an_error_reply_is_the_protocols_error() -> None:
    body = {"error": {"message": "No money.", "code": "insufficient_quota"}}

    found = await error_of(lambda _request: httpx.Response(429, json=body))

    assert type(found) is QuotaExhausted
    assert found.status == 429


@pytest.mark.parametrize("before", [0, 480, 495, 499])
async def test_a_key_that_a_server_echoes_is_blotted_out_wherever_the_message_is_cut(
    before: int,
) -> None:
    body = {"error": {"message": "x" * before + "sk-secret is no key"}}

    found = await error_of(lambda _request: httpx.Response(401, json=body))

    assert type(found) is AuthenticationFailed
    assert found.message.removeprefix("HTTP 401: ") == ("x" * before + "[key] is no key")[:500]


async def test_a_key_that_is_no_secret_changes_no_answer() -> None:
    one = caller(lambda _request: httpx.Response(200, json=CHAT))
    answer = await one.call(provider(), SecretStr("k"), "m", REQUEST)
    assert answer.usage == Usage(input_tokens=3, output_tokens=2)


async def test_a_model_whose_name_fits_no_address_is_its_jobs_fault() -> None:
    one = caller(lambda _request: httpx.Response(200, json=CHAT))

    with pytest.raises(RequestRejected):
        await one.call(provider(ProtocolName.GEMINI), None, "m" * 70_000, REQUEST)


async def test_a_schema_too_deep_to_walk_is_rejected() -> None:
    schema: dict[str, Any] = {}
    for _ in range(5_000):
        schema = {"items": schema}
    request = ModelRequest((Message("user", "Hi"),), max_tokens=5, schema=schema)
    one = caller(lambda _request: httpx.Response(200, json=CHAT))

    for protocol in ProtocolName:
        with pytest.raises(RequestRejected):
            await one.call(provider(protocol), None, "m", request)


class Drip:
    """A server that answers one byte after another, for ever: no time-out between bytes ends that."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.closed = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                self.begun.set()
                await asyncio.sleep(0.01)
        except ConnectionError:
            self.closed.set()
        finally:
            writer.close()


@pytest.fixture
async def drip() -> AsyncIterator[Drip]:
    drip = Drip()
    async with await asyncio.start_server(drip.serve, "127.0.0.1", 0) as listener:
        drip.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
        yield drip


async def test_the_deadline_is_total_and_ends_a_drip(drip: Drip) -> None:
    async with AiohttpTransport() as transport:
        one = Caller(transport, deadline_s=0.2)

        with pytest.raises(TimedOut) as raised:
            await one.call(provider(url=drip.url), None, "m", REQUEST)

        assert raised.value.message == "no complete answer within 0.2 s"
        async with asyncio.timeout(5):
            await drip.closed.wait()


async def test_a_cancelled_call_is_cancelled_and_leaves_no_connection(drip: Drip) -> None:
    async with AiohttpTransport() as transport, asyncio.timeout(5):
        task = asyncio.create_task(
            Caller(transport, deadline_s=60).call(provider(url=drip.url), None, "m", REQUEST)
        )
        await drip.begun.wait()
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        await drip.closed.wait()


RATES = {"X-RateLimit-Limit-Requests": "60", "X-RateLimit-Remaining-Requests": "59"}


async def test_the_limits_in_an_answers_headers_can_be_read() -> None:
    calls = caller(lambda _: httpx.Response(200, json=CHAT, headers=RATES))

    answer = await calls.call(provider(), KEY, "m", REQUEST)

    assert calls.readings(provider(), answer.headers) == (Reading("requests", 60, 59, None),)


async def test_the_limits_in_an_errors_headers_can_be_read() -> None:
    error = await error_of(lambda _: httpx.Response(429, json={}, headers=RATES))

    found = caller(raising(error)).readings(provider(), error.headers)

    assert found == (Reading("requests", 60, 59, None),)


async def test_an_address_that_cannot_be_called_has_no_limits() -> None:
    nowhere = provider(url="http://[v1.x]")
    calls = caller(raising(AssertionError()))

    with pytest.raises(ConnectFailed) as raised:
        await calls.call(nowhere, KEY, "m", REQUEST)

    assert calls.readings(nowhere, raised.value.headers) == ()


SCHEMA = {"type": "object", "properties": {"d": {"type": "array", "maxItems": 2_000}}}
WITH_SCHEMA = ModelRequest((Message("user", "Hi"),), max_tokens=5, schema=SCHEMA)
NO_GRAMMAR = {"error": {"code": 400, "message": "failed to parse grammar"}}


class Server:
    """Refuses some of what it is asked, and notes the rest."""

    def __init__(self, refuses: Callable[[dict[str, Any]], bool]) -> None:
        self.refuses = refuses
        self.refused = 0
        self.answered: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        if self.refuses(asked):
            self.refused += 1
            return httpx.Response(400, json=NO_GRAMMAR)
        self.answered.append(asked)
        return httpx.Response(200, json=CHAT)


async def test_a_schema_that_a_server_refuses_is_told_in_words_from_then_on() -> None:
    server = Server(lambda asked: "response_format" in asked)
    calls = caller(server)
    with pytest.raises(SchemaRefused):
        await calls.call(provider(), KEY, "m", WITH_SCHEMA)
    for _ in range(2):
        await calls.call(provider(), KEY, "m", WITH_SCHEMA)

    assert server.refused == 1
    for asked in server.answered:
        assert json.dumps(SCHEMA, separators=(",", ":")) in asked["messages"][0]["content"]
    with pytest.raises(SchemaRefused):
        await calls.call(provider(), KEY, "another model", WITH_SCHEMA)


async def test_what_is_refused_without_a_schema_too_is_final_and_not_held_against_the_schema() -> (
    None
):
    server = Server(lambda _asked: True)
    calls = caller(server)
    with pytest.raises(SchemaRefused):
        await calls.call(provider(), KEY, "m", WITH_SCHEMA)
    for request in (WITH_SCHEMA, REQUEST):
        with pytest.raises(RequestRejected) as raised:
            await calls.call(provider(), KEY, "m", request)
        assert type(raised.value) is RequestRejected
    server.refuses = lambda _asked: False
    await calls.call(provider(), KEY, "m", WITH_SCHEMA)

    assert "response_format" in server.answered[0]
