"""Thousands of calls that are cut off or get no answer: none leaves anything behind in its process.

Round by round, the same again: what the third round has that the first had not is a leak.
"""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from jobs.errors import TimedOut
from jobs.exchange import Message, ModelRequest
from jobs.states import Outcome
from tests.support.eventually import eventually_async
from tests.support.gates import server_client
from tests.support.workshop import CONFIGURATION, Workshop, line, workshop
from workers.calls.calls import Caller
from workers.calls.transport import AiohttpTransport
from workers.gate.gate import Ask, Ending, Grant, PoolId
from workers.gate.redis_gate import RedisGate

AT_ONCE = 250
ROUNDS = 4
"""After the first two, in which everything is made that is made once."""

KEPT_BYTES = 200
"""Of a call, at most: an object of Python that is kept is hardly smaller, with what leads to it."""

DEADLINE_S = 0.3
WITHIN_S = 10.0

LIMITED = CONFIGURATION.model_validate(
    {
        "providers": {
            "first": {
                "protocol": "openai",
                "base_url": "http://first.test/v1",
                "pools": [{"name": "blue", "limits": {"concurrency": AT_ONCE, "rps": 100_000}}],
            }
        }
    }
)


@dataclass
class Silence(httpx.AsyncBaseTransport):
    """The true transport, to a server of our own that reads and never answers."""

    inner: AiohttpTransport
    port: int = 0
    open: int = 0
    asked: int = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self.port)
        request.url = url
        return await self.inner.handle_async_request(request)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while await reader.read(65536):
                self.asked += 1
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()

    async def all_are_open(self) -> bool:
        return self.open == AT_ONCE

    async def is_closed(self) -> None:
        """Wait until nobody is connected any more."""

        async def none_is_open() -> bool:
            return self.open == 0

        await eventually_async(none_is_open, WITHIN_S, "every connection is closed")


@asynccontextmanager
async def silence() -> AsyncIterator[Silence]:
    async with AiohttpTransport() as transport:
        silent = Silence(transport)
        server = await asyncio.start_server(silent.serve, "127.0.0.1", 0, backlog=AT_ONCE)
        silent.port = server.sockets[0].getsockname()[1]
        try:
            yield silent
        finally:
            server.close()


@asynccontextmanager
async def gate_of(redis_url: str) -> AsyncIterator[RedisGate]:
    async def used_today(
        _pool: PoolId, _models: tuple[str, ...], _since: datetime
    ) -> tuple[int, int]:
        return 0, 0

    gate = RedisGate(
        server_client(redis_url), LIMITED, lambda _pool: True, used_today, "p", longest_call_s=60.0
    )
    try:
        yield gate
    finally:
        await gate.close()


@contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def used() -> tuple[int, int]:
    """Return the bytes that are in use, and the tasks that there are."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0], len(asyncio.all_tasks())


async def leaves_nothing(churn: Callable[[], Awaitable[None]], gate: RedisGate) -> None:
    """Assert that some rounds of `churn` leave no memory, no task and no place at the gate taken."""
    with traced():
        for _ in range(2):
            await churn()
        await asyncio.sleep(0.1)  # the last connections are being closed
        bytes_before, tasks_before = used()
        for _ in range(ROUNDS):
            await churn()

        async def is_as_before() -> bool:
            bytes_after, tasks_after = used()
            per_call = (bytes_after - bytes_before) / (ROUNDS * AT_ONCE)
            return per_call < KEPT_BYTES and tasks_after <= tasks_before

        await eventually_async(is_as_before, WITHIN_S, "memory and tasks are as before")
    async with asyncio.timeout(WITHIN_S):
        grants = await asyncio.gather(*(gate.ask(ASK, WITHIN_S) for _ in range(AT_ONCE)))
    for grant in grants:
        assert isinstance(grant, Grant)
        gate.settle(grant, Ending(sent=False))


ASK = Ask("first", "small", 10, 10, 10, "normal")
REQUEST = ModelRequest(messages=(Message("user", "Say hello."),), max_tokens=10)


async def test_calls_that_get_no_answer_leave_nothing_behind(redis_url: str) -> None:
    provider = LIMITED.providers["first"]
    async with silence() as silent, gate_of(redis_url) as gate:
        caller = Caller(silent, deadline_s=DEADLINE_S)

        async def one() -> None:
            grant = await gate.ask(ASK, WITHIN_S)
            assert isinstance(grant, Grant)
            with pytest.raises(TimedOut) as raised:
                await caller.call(provider, None, "small", REQUEST)
            gate.settle(grant, Ending(sent=True, error=raised.value, spares_pool=True))

        async def churn() -> None:
            async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(one())
            await silent.is_closed()

        await leaves_nothing(churn, gate)
        assert silent.asked > AT_ONCE


async def test_calls_that_are_cut_off_leave_nothing_behind(redis_url: str, tmp_path: Path) -> None:
    async with (
        silence() as silent,
        gate_of(redis_url) as gate,
        workshop(tmp_path, max_in_flight=AT_ONCE) as shop,
    ):
        caller = Caller(silent, deadline_s=60.0)
        silenced = Workshop(
            replace(shop.parts, gate=gate, caller=caller), shop.database, shop.gate, shop.provider
        )
        ref = silenced.submit((line(str(n)) for n in range(AT_ONCE)), slice_size=AT_ONCE)

        async def churn() -> None:
            _opened, run = silenced.open(ref)
            running = asyncio.create_task(run.run())

            await eventually_async(silent.all_are_open, WITHIN_S, "all calls are in flight")
            run.abort()
            await running
            await silent.is_closed()

        await leaves_nothing(churn, gate)
        assert silenced.outcomes() == [Outcome.UNKNOWN] * ((2 + ROUNDS) * AT_ONCE)
        assert silenced.batch(ref).reserved_nanos == 0
