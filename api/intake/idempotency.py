"""What a submission with an `Idempotency-Key` needs of its request: the key, the digest, signs of life."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Header, Request
from pydantic import AfterValidator
from starlette.concurrency import run_in_threadpool

from jobs.characters import IDEMPOTENCY_KEY, is_idempotency_key
from jobs.errors import BodyTooLarge, IllegalTransition, ServiceUnavailable

SIGN_EVERY_S = 3.0
"""Between two signs of life of an upload; its claim outlives three that are missing."""

SILENT_SENDER_S = 30.0
"""A sender that is silent for longer may be gone without a word, as with a lost network: its upload
gives no more signs, so that another may have the key. It goes on if the sender does before that."""


def _checked(text: str | None) -> str | None:
    if text is not None and not is_idempotency_key(text):
        raise ValueError(f"expected {IDEMPOTENCY_KEY}")
    return text


Key = Annotated[
    str | None,
    AfterValidator(_checked),
    Header(
        alias="idempotency-key",
        description="One batch results, however often the same request is sent with the same key.",
    ),
]


class Body:
    """A request's body as it arrives: whoever reads it also digests it, as it is on the wire.

    Only where that `is_digested`: a gigabyte takes a second, and without a key nobody asks for it.
    """

    def __init__(self, request: Request, *, is_digested: bool, about: str = "") -> None:
        """Read a request's body; `about` is what else tells it from requests with the same query."""
        self._request = request
        # The order of different parameters says nothing.
        query = sorted(request.query_params.multi_items(), key=lambda pair: pair[0])
        told = f"{about}{urlencode(query)}\n".encode()
        self._sha = hashlib.sha256(told) if is_digested else None
        self._waits_since: float | None = None

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body, once.

        Raises:
            starlette.requests.ClientDisconnect: the sender went away.
        """
        self._waits_since = time.monotonic()
        async for data in self._request.stream():
            self._waits_since = None
            if self._sha is not None:
                self._sha.update(data)
            yield data
            self._waits_since = time.monotonic()
        self._waits_since = None

    @property
    def sender_is_silent(self) -> bool:
        """Whether the sender has been waited for in vain, for long."""
        since = self._waits_since
        return since is not None and time.monotonic() - since > SILENT_SENDER_S

    async def drain(self, max_bytes: int) -> None:
        """Read the body for its digest alone.

        Raises:
            BodyTooLarge: it has more than `max_bytes`, so it is none that was accepted.
        """
        size_bytes = 0
        async for data in self.stream():
            size_bytes += len(data)
            if size_bytes > max_bytes:
                raise BodyTooLarge(f"the body has more than {max_bytes:,} bytes")

    def digest(self) -> bytes | None:
        """Return the SHA-256 of the query and of the body, which has been read to its end."""
        return None if self._sha is None else self._sha.digest()


@asynccontextmanager
async def signs_of_life(touch: Callable[[], None], body: Body) -> AsyncIterator[None]:
    """Call `touch` in a thread every few seconds, while the sender is heard of."""

    async def go_on() -> None:
        while True:
            await asyncio.sleep(SIGN_EVERY_S)
            if body.sender_is_silent:
                continue
            try:
                await run_in_threadpool(touch)
            except ServiceUnavailable:
                continue  # the database may be back for the next one
            except IllegalTransition:
                return  # which the upload finds out itself

    going_on = asyncio.create_task(go_on())
    try:
        yield
    finally:
        going_on.cancel()
        await asyncio.wait([going_on])
