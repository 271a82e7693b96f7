"""One call to a provider: from a `ModelRequest` to an `Answer`, or to the exact `ProviderError`.

Whether to call again, and when, is decided in `retry`; when a call may leave, by the gate.
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache

import httpx
import msgspec
from pydantic import SecretStr

from jobs.clock import utcnow
from jobs.configuration import Provider
from jobs.errors import (
    ConnectFailed,
    ConnectionLost,
    RequestRejected,
    SchemaRefused,
)
from jobs.exchange import Answer, Endpoint, ModelRequest
from jobs.routing import untold
from workers.calls.deadline import Deadline
from workers.calls.failures import failure_of
from workers.calls.refused_schemas import RefusedSchemas
from workers.calls.transport import EVENTS
from workers.gate.gate import Reading
from workers.prompt_caching.prefix import Prefix
from workers.protocols import Protocol, WireRequest, protocol_of
from workers.protocols.events import EventReader
from workers.protocols.protocol import Assembly
from workers.protocols.schemas import in_words

SECRET_BYTES = 8
"""What is shorter protects nothing, and no provider gives out such a key."""

Listener = Callable[[bytes, str], Awaitable[None]]
"""Is told the data of each event of an answer, empty if it came in one piece, and the text that it adds."""


class Caller:
    """Makes the calls of a process over one transport, each under one total deadline.

    Any number of calls may run at once. The transport belongs to whoever made it.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, *, deadline_s: float) -> None:
        self._transport = transport
        self._deadline = Deadline(deadline_s)
        self._protocols: dict[tuple[str, str, str], Protocol] = {}
        self._refused = RefusedSchemas()

    async def call(
        self,
        provider: Provider,
        key: SecretStr | None,
        model: str,
        request: ModelRequest,
        *,
        kept: Prefix | None = None,
        listener: Listener | None = None,
    ) -> Answer:
        """Return the model's answer.

        `kept` is the request's beginning if the provider's prompt cache is to keep it. With a `listener`
        the answer is asked for in events, of each of which that is told. A schema that the server refuses
        is told in words the next time.

        Raises:
            ProviderError: the exact subclass; `may_have_run` tells what may have been billed.
        """
        asked = (provider.base_url, model, request)
        if self._refused.has(*asked):
            try:
                return await self._called(provider, key, model, in_words(request), kept, listener)
            except RequestRejected as error:
                self._refused.forget(*asked)
                raise _without_schema(error) from error
        try:
            return await self._called(provider, key, model, request, kept, listener)
        except SchemaRefused as error:
            if request.schema is None or said(provider, request).passed is not None:
                raise _without_schema(error) from error
            self._refused.note(*asked)
            raise

    async def _called(
        self,
        provider: Provider,
        key: SecretStr | None,
        model: str,
        request: ModelRequest,
        kept: Prefix | None,
        listener: Listener | None,
    ) -> Answer:
        request = said(provider, request)
        protocol = self._protocol(provider, request)
        try:
            wire = protocol.request(request, model, key, kept=kept)
            if listener is not None:
                wire = protocol.streamed(wire)
            url = _url(provider.base_url + wire.path)
        except RecursionError:
            raise RequestRejected("the request's schema is nested too deeply") from None
        except httpx.InvalidURL as error:
            raise RequestRejected("the model's name fits no address") from error
        if listener is None:
            status, headers, body = await self._post(url, wire, _body)
            return protocol.answer(status, headers, without_key(body, key))
        heard = Heard(protocol.assembly(), listener, key)
        status, headers, body = await self._post(url, wire, heard.body)
        answer = protocol.answer(status, headers, without_key(body, key))
        await heard.rest(answer)
        return answer

    def readings(self, provider: Provider, headers: Mapping[str, str]) -> tuple[Reading, ...]:
        """Return what the headers of an answer, or of an error, of this provider say of limits."""
        # An address that can't be called has no protocol, and its errors have no headers.
        return self._protocol(provider, None).readings(headers, utcnow()) if headers else ()

    def _protocol(self, provider: Provider, request: ModelRequest | None) -> Protocol:
        passed = None if request is None else request.passed
        endpoint = Endpoint.CHAT if passed is None else passed.endpoint
        # Not keyed by the provider itself, all of whose pools would be hashed for every call.
        name = (provider.protocol, provider.base_url, endpoint)
        protocol = self._protocols.get(name)
        if protocol is None:
            try:
                _url(provider.base_url)
                protocol = self._protocols[name] = protocol_of(provider, endpoint)
            except (httpx.InvalidURL, ValueError) as error:
                raise ConnectFailed("the provider's base_url is no address") from error
        return protocol

    async def _post(
        self, url: httpx.URL, wire: WireRequest, read: Callable[[httpx.Response], Awaitable[bytes]]
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the reply's status, its headers with lower-case names, and its body, as `read` reads it."""
        # A stream instead of content: httpx then derives no headers, which the transport does.
        request = httpx.Request(
            "POST",
            url,
            headers=_headers(wire.headers),
            stream=httpx.ByteStream(wire.body),
        )
        try:
            # None between two bytes: a model may think for minutes.
            with self._deadline.watch():
                response = await self._transport.handle_async_request(request)
                body = await read(response)
        except (httpx.RequestError, TimeoutError) as error:
            raise failure_of(error, self._deadline.seconds) from error
        headers = {
            name.lower().decode("latin-1"): value.decode("latin-1")
            for name, value in response.headers.raw
        }
        return response.status_code, headers, body


class Heard:
    """An answer while it comes, of which a listener is told."""

    def __init__(self, assembly: Assembly, listener: Listener, key: SecretStr | None) -> None:
        self._assembly = assembly
        self._listener = listener
        self._key = key
        self._is_streamed = False

    async def body(self, response: httpx.Response) -> bytes:
        """Return the whole of a reply, once all of its events have come; also of one that has none.

        Raises:
            ProviderError: it is broken off, or can't be read. What came may be billed.
        """
        stream = response.stream
        if response.headers.get("content-type", "").partition(";")[0].strip() != EVENTS:
            return await _body(response)
        assert isinstance(stream, httpx.AsyncByteStream)
        self._is_streamed = True
        events = EventReader()
        try:
            async for piece in stream:
                for data in events.feed(without_key(piece, self._key)):
                    await self._listener(data, self._assembly.add(data))
        finally:
            await stream.aclose()
        if not self._assembly.is_complete:
            raise ConnectionLost("the provider's answer ended before it was complete")
        return self._assembly.body()

    async def rest(self, answer: Answer) -> None:
        """Tell the listener of an answer that came in one piece, though events were asked for."""
        if not self._is_streamed:
            await self._listener(b"", answer.text)


def _without_schema(error: RequestRejected) -> RequestRejected:
    """Return what is final in a refusal that no schema was sent for."""
    return RequestRejected(
        error.message,
        status=error.status,
        provider_code=error.provider_code,
        request_id=error.request_id,
        headers=error.headers,
    )


def said(provider: Provider, request: ModelRequest) -> ModelRequest:
    """Return the request as this provider is asked: as it was written, or in words of its own format.

    Nothing is asked of which a part would be missing: the configuration has changed since it was taken.

    Raises:
        RequestRejected: the request says what this provider's format can't.
    """
    passed = request.passed
    if passed is None or provider.takes(passed.endpoint):
        return request
    if passed.in_chat is not None and provider.takes(Endpoint.CHAT):
        in_chat = msgspec.structs.replace(passed, body=passed.in_chat, endpoint=Endpoint.CHAT)
        return msgspec.structs.replace(request, passed=in_chat)
    if (path := untold(provider, passed)) is not None:
        raise RequestRejected(f"{path} can't be said to a provider of another format")
    return msgspec.structs.replace(request, passed=None)


def without_key(body: bytes, key: SecretStr | None) -> bytes:
    """Return the body with the key blotted out: some servers repeat it in their errors.

    Done before anything is read or cut, so that no part of it gets into a message. A shorter one than
    `SECRET_BYTES` is none: local servers are given an `x`, which stands in every answer.
    """
    secret = b"" if key is None else key.get_secret_value().encode()
    return body.replace(secret, b"[key]") if len(secret) >= SECRET_BYTES else body


async def _body(response: httpx.Response) -> bytes:
    """Return the body, which the transport has decoded already; so httpx's decoders are left out."""
    stream = response.stream
    if isinstance(stream, httpx.ByteStream):
        return b"".join(stream)
    assert isinstance(stream, httpx.AsyncByteStream)
    try:
        return b"".join([chunk async for chunk in stream])
    finally:
        await stream.aclose()


@lru_cache(maxsize=1024)
def _url(address: str) -> httpx.URL:
    return httpx.URL(address)


@lru_cache(maxsize=1024)
def _headers(pairs: tuple[tuple[str, str], ...]) -> httpx.Headers:
    return httpx.Headers([("user-agent", "tidemill"), *pairs])
