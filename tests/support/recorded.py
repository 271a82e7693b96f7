"""A provider's batch API as recorded replies: what is asked is kept, what is answered is given."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from jobs.configuration import BatchLane, ProtocolName, Provider
from workers.lanes.wire import LaneHttp, NativeBatches, lane_of

BASE = "http://provider.test/v1"

Given = dict[str, Any] | bytes | httpx.Response | Exception


@dataclass
class Recorded:
    """Replies by `METHOD /path` (without the query); of a list each is given once, the last for ever."""

    replies: Mapping[str, Given | list[Given]]
    asked: list[httpx.Request] = field(default_factory=list)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request as it was recorded."""
        await request.aread()
        self.asked.append(request)
        name = f"{request.method} {request.url.path}"
        if name not in self.replies:
            return httpx.Response(404, json={"error": {"message": f"no {name}"}})
        reply = self.replies[name]
        if isinstance(reply, list):
            reply = reply.pop(0) if len(reply) > 1 else reply[0]
        match reply:
            case Exception():
                raise reply
            case httpx.Response():
                return reply
            case bytes():
                return httpx.Response(200, content=reply)
            case _:
                return httpx.Response(200, json=reply)

    def lane(self, protocol: ProtocolName, **lane: Any) -> NativeBatches:
        """Return what speaks to it."""
        provider = Provider(protocol=protocol, base_url=BASE, batch_lane=BatchLane(**lane))
        batches = lane_of(provider, LaneHttp(httpx.MockTransport(self)))
        assert batches is not None
        return batches

    def names(self) -> list[str]:
        """Return what was asked for, in order."""
        return [f"{request.method} {request.url.path}" for request in self.asked]


def lines(*documents: dict[str, Any] | bytes) -> bytes:
    """Return a file of results."""
    return b"\n".join(
        document if isinstance(document, bytes) else msgspec.json.encode(document)
        for document in documents
    )


@asynccontextmanager
async def lane_at(
    url: str, protocol: ProtocolName = ProtocolName.OPENAI
) -> AsyncIterator[NativeBatches]:
    """Yield what speaks to a real server."""
    provider = Provider(protocol=protocol, base_url=url, batch_lane=BatchLane())
    http = LaneHttp()
    batches = lane_of(provider, http)
    assert batches is not None
    try:
        yield batches
    finally:
        await http.aclose()
