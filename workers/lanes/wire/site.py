"""A provider's address: what is asked there, and what its replies say."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Set
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from pydantic import SecretStr

from jobs.configuration import BatchLane, Provider
from jobs.errors import Permanent, ProviderError, RequestRejected
from jobs.exchange import ModelRequest
from workers.calls.calls import said, without_key
from workers.lanes.wire.http import Ask, LaneHttp, Reply
from workers.lanes.wire.native import LaneShape
from workers.lanes.wire.readings import object_of
from workers.protocols import Protocol

Credentials = Callable[[SecretStr | None], tuple[tuple[str, str], ...]]

NOT_FOUND, CONFLICT = 404, 409

PAGE, MOST_PAGES = 100, 200
"""Native batches in a page of a provider's list, as all four give them, and pages that are looked through."""

SKEW = timedelta(hours=1)
"""How far a provider's clock may be from ours."""

TAG = "tidemill"
"""The name in `metadata` under which our own name for a native batch is written, where there is metadata."""


class Site:
    """One provider's, as a batch API asks it. An error there is what its live protocol says it is."""

    def __init__(
        self, provider: Provider, http: LaneHttp, protocol: Protocol, credentials: Credentials
    ) -> None:
        self.provider = provider
        self.http = http
        self.protocol = protocol
        self._credentials = credentials

    def shape(self, documented: LaneShape) -> LaneShape:
        """Return what one native batch can hold: no more than is documented, times as configured."""
        lane = self.provider.lane or BatchLane()
        return replace(
            documented,
            max_lines=min(lane.max_jobs or documented.max_lines, documented.max_lines),
            max_bytes=min(lane.max_bytes or documented.max_bytes, documented.max_bytes),
            expires_after_s=lane.expires_after_s or documented.expires_after_s,
            cancel_s=documented.cancel_s if lane.cancel_s is None else lane.cancel_s,
        )

    async def get(self, key: SecretStr | None, path: str) -> dict[str, Any]:
        """Return the object that is there."""
        return await self.document(self.ask("GET", key, path), key)

    async def post(
        self, key: SecretStr | None, path: str, document: Mapping[str, object] | None
    ) -> dict[str, Any]:
        """Send an object, or nothing; return the one that is answered."""
        content = b"" if document is None else msgspec.json.encode(document)
        ask = self.ask("POST", key, path, content=content)
        return await self.document(ask, key)

    async def cancel(self, key: SecretStr | None, path: str) -> None:
        """Ask for an end; refused because there is nothing (left) to cancel, it is no error."""
        try:
            await self.post(key, path, None)
        except ProviderError as error:
            if not isinstance(error, Permanent) and error.status != CONFLICT:
                raise

    async def delete(
        self, key: SecretStr | None, path: str, gone: Set[int] = frozenset({NOT_FOUND})
    ) -> None:
        """Delete what is there; what is gone already, as these statuses say, is no error."""
        try:
            await self.reply(self.ask("DELETE", key, path), key)
        except ProviderError as error:
            if error.status not in gone:
                raise

    def ask(self, method: str, key: SecretStr | None, path: str, **body: Any) -> Ask:
        """Return a request to a path below the base URL, or to an address of the same server."""
        url = path if path.startswith("http") else self.provider.base_url + path
        headers = list(self._credentials(key))
        if isinstance(body.get("content"), bytes | AsyncIterator):
            headers.append(("content-type", "application/json"))
        headers += body.pop("headers", ())
        return Ask(method, url, tuple(headers), **body)

    async def document(self, ask: Ask, key: SecretStr | None) -> dict[str, Any]:
        """Return the object that a request is answered with.

        Raises:
            ProviderError: what the reply says instead.
        """
        return object_of((await self.reply(ask, key)).body)

    async def reply(self, ask: Ask, key: SecretStr | None) -> Reply:
        """Return a good reply.

        Raises:
            ProviderError: what the reply says instead.
        """
        reply = await self.http.ask(ask)
        if reply.status // 100 != 2:
            raise self.error(reply.status, reply.headers, without_key(reply.body, key))
        return reply

    async def lines(self, key: SecretStr | None, path: str) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a file.

        Raises:
            ProviderError: what the reply says instead, or that it broke off.
        """
        async with aclosing(self.http.lines(self.ask("GET", key, path))) as lines:
            async for line in lines:
                if isinstance(line, Reply):
                    raise self.error(line.status, line.headers, without_key(line.body, key))
                yield line

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
        """Return what a reply says, be it to a call of ours or in a line of results."""
        try:
            self.protocol.answer(status if status != 200 else 500, headers, body)
        except ProviderError as error:
            return error
        raise AssertionError("only a 200 has an answer")

    def body(self, protocol: Protocol, model: str, request: ModelRequest) -> bytes:
        """Return a request's body on one line, as a live call would send it.

        Raises:
            ProviderError: nothing that could be sent.
        """
        try:
            body = protocol.request(said(self.provider, request), model, None).body
        except RecursionError:
            raise RequestRejected("the request's schema is nested too deeply") from None
        # A body that is passed on has the white space that it was written with.
        return msgspec.json.format(body, indent=-1) if b"\n" in body or b"\r" in body else body
