"""What a wire format has to offer: a request's bytes, and the meaning of the reply's bytes."""

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pydantic import SecretStr

from jobs.exchange import Answer, ModelRequest
from workers.gate.gate import Reading
from workers.prompt_caching.prefix import Prefix


@dataclass(frozen=True, slots=True)
class WireRequest:
    """One POST. `path` begins with a slash and is relative to the provider's base URL.

    Headers carry the key and the body carries people's text, so neither shows in a `repr`.
    """

    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


class Assembly(typing.Protocol):
    """An answer that comes in events, put together again."""

    @property
    def is_complete(self) -> bool:
        """Whether the provider has said that this is all."""

    def add(self, data: bytes) -> str:
        """Take an event's data; return the text that it adds to the answer, which may be none.

        Raises:
            ProviderError: it is an error, or nothing that can be read.
        """

    def body(self) -> bytes:
        """Return the reply as it would have come in one piece, as far as an answer is read from it."""


class Protocol(typing.Protocol):
    """One wire format: pure functions between our words and a provider's."""

    def request(
        self,
        request: ModelRequest,
        model: str,
        key: SecretStr | None,
        *,
        kept: Prefix | None = None,
    ) -> WireRequest:
        """Return what to send so that `model` works on `request`.

        `kept` is the request's beginning if the provider is to keep it in its prompt cache, at a cost;
        who caches by itself need not be told.

        Raises:
            ProviderError: nothing that could be sent; the key or the text can't be put on the wire.
        """

    def streamed(self, wire: WireRequest) -> WireRequest:
        """Return what to send instead of this, so that the answer comes in events."""

    def assembly(self) -> Assembly:
        """Return what puts the events of one answer together."""

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """Return the answer in a complete reply, whatever bytes it consists of.

        `headers` has lower-case names.

        Raises:
            ProviderError: the exact subclass for what the reply says; nothing else is ever raised.
        """

    def readings(self, headers: Mapping[str, str], now: datetime) -> tuple[Reading, ...]:
        """Return what the headers of a reply, good or bad, say of limits; nothing is ever raised.

        `headers` has lower-case names; `now` is aware.
        """
