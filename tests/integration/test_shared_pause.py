"""A pause that one process learns of holds for all, on a real Redis and on the simulated one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from unittest.mock import AsyncMock

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis

from tests.support.eventually import eventually_async
from tests.support.redis_servers import OwnRedis
from workers.gate import shared_pause
from workers.gate.gate import Ask, ComeBack, Gate, Grant, PoolId
from workers.gate.shared_pause import FRESH_S, LONGEST_PAUSE_S, RETRY_S, SharedPause

POOL = PoolId("openai", "main")
OTHER_POOL = PoolId("mistral", "main")
POOLS = {"openai": ("main",), "mistral": ("main",)}


def ask_for(pool: PoolId = POOL) -> Ask:
    return Ask(pool.provider, "sim-small", 10, 20, 20, priority="normal")


@dataclass(frozen=True)
class Outage:
    """A Redis that a test may take away and bring back, empty."""

    end: Callable[[], None]
    begin: Callable[[], None]
    connect: Callable[[], Redis]


@pytest.fixture(params=["simulated", "real"])
def service(request: pytest.FixtureRequest) -> Iterator[Outage]:
    """A Redis of this test, once within the process and once as a server."""
    if request.param == "real":
        server: OwnRedis = request.getfixturevalue("own_redis")
        yield Outage(
            begin=server.kill,
            end=server.start,
            connect=lambda: Redis.from_url(server.url, decode_responses=True, socket_timeout=1.0),
        )
        return
    within = FakeServer()
    yield Outage(
        begin=lambda: setattr(within, "connected", False),
        end=lambda: setattr(within, "connected", True),
        connect=lambda: FakeAsyncRedis(server=within, decode_responses=True),
    )


@pytest.fixture
async def gates(service: Outage) -> AsyncIterator[tuple[SharedPause, SharedPause]]:
    """The gates of two worker processes."""
    async with AsyncExitStack() as stack:
        pair = SharedPause(service.connect(), POOLS), SharedPause(service.connect(), POOLS)
        for gate in pair:
            stack.push_async_callback(gate.close)
        yield pair


async def wait_of(gate: Gate, pool: PoolId = POOL) -> float:
    """Return how long a call to the pool has to wait, 0 if it may leave."""
    match await gate.ask(ask_for(pool), 0.0):
        case ComeBack(wait_s):
            return wait_s
        case Grant():
            return 0.0


async def is_paused(gate: Gate, least_s: float = 0.0) -> bool:
    return await wait_of(gate) > least_s


async def is_open(gate: Gate) -> bool:
    return await wait_of(gate) == 0


async def test_a_pool_that_nobody_paused_is_open(
    gates: tuple[SharedPause, SharedPause],
) -> None:
    asked = ask_for()
    reply = await gates[0].ask(asked, 0.0)
    assert isinstance(reply, Grant)
    assert reply.pool == POOL
    assert reply.start_at <= asyncio.get_running_loop().time()


async def test_a_pause_holds_for_every_process_and_for_its_pool_alone(
    gates: tuple[SharedPause, SharedPause],
) -> None:
    here, there = gates
    await there.ask(ask_for(), 0.0)  # it has read the open pool and believes that for a moment
    await here.pause(POOL, 30.0, "rate_limited: slow down")
    for gate in gates:
        await eventually_async(partial(is_paused, gate), 10 * FRESH_S)
        reply = await gate.ask(ask_for(), 0.0)
        assert isinstance(reply, ComeBack)
        assert 25.0 < reply.wait_s <= 30.1
        assert reply.reason == "rate_limited: slow down"
        assert await wait_of(gate, OTHER_POOL) == 0


async def test_whoever_starts_later_finds_the_pause(
    gates: tuple[SharedPause, SharedPause], service: Outage
) -> None:
    await gates[0].pause(POOL, 30.0, "an outage")
    newcomer = SharedPause(service.connect(), POOLS)
    try:
        assert await wait_of(newcomer) > 25.0
    finally:
        await newcomer.close()


async def test_a_pause_ends_by_itself(gates: tuple[SharedPause, SharedPause]) -> None:
    here, there = gates
    await here.pause(POOL, 0.2, "a moment")
    assert await is_paused(here)
    for gate in (here, there):
        await eventually_async(partial(is_open, gate), 2.0)


@pytest.mark.parametrize(("first_s", "second_s"), [(60.0, 5.0), (5.0, 60.0)])
async def test_of_two_pauses_the_longer_one_holds(
    gates: tuple[SharedPause, SharedPause], first_s: float, second_s: float
) -> None:
    await gates[0].pause(POOL, first_s, "one")
    await gates[1].pause(POOL, second_s, "another")
    for gate in gates:
        await eventually_async(partial(is_paused, gate, 50.0), 10 * FRESH_S)


async def test_no_pause_is_longer_than_a_day(gates: tuple[SharedPause, SharedPause]) -> None:
    await gates[0].pause(POOL, 1e9, "a wild header")
    assert await wait_of(gates[0]) <= LONGEST_PAUSE_S
    assert await wait_of(gates[1]) <= LONGEST_PAUSE_S + 0.01


@pytest.mark.parametrize("wait_s", [0.0, -5.0])
async def test_a_pause_of_nothing_is_harmless(
    gates: tuple[SharedPause, SharedPause], wait_s: float
) -> None:
    await gates[0].pause(POOL, wait_s, "no wait")
    await eventually_async(partial(is_open, gates[1]), 1.0)


async def test_a_thousand_jobs_that_ask_at_once_share_one_look(
    gates: tuple[SharedPause, SharedPause], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = gates[0]
    look = AsyncMock(wraps=gate._read)
    monkeypatch.setattr(gate, "_read", look)
    replies = await asyncio.gather(*(gate.ask(ask_for(), 0.0) for _ in range(1000)))
    assert all(isinstance(reply, Grant) for reply in replies)
    assert look.await_count == 1


async def test_one_that_is_cancelled_takes_the_look_from_nobody(
    gates: tuple[SharedPause, SharedPause],
) -> None:
    asking = [asyncio.create_task(gates[0].ask(ask_for(), 0.0)) for _ in range(3)]
    await asyncio.sleep(0)
    asking[0].cancel()
    ended = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(ended[0], asyncio.CancelledError)
    assert all(isinstance(reply, Grant) for reply in ended[1:])


async def test_nothing_leaves_while_redis_is_gone_and_all_does_when_it_is_back(
    gates: tuple[SharedPause, SharedPause], service: Outage
) -> None:
    service.begin()
    replies = await asyncio.gather(*(gates[0].ask(ask_for(), 0.0) for _ in range(10)))
    assert replies == [ComeBack(RETRY_S, "the gate's Redis doesn't answer", is_blocked=True)] * 10
    service.end()
    replies = await asyncio.gather(*(gates[0].ask(ask_for(), 0.0) for _ in range(10)))
    assert all(isinstance(reply, Grant) for reply in replies)


async def test_a_pause_that_redis_did_not_hear_of_holds_in_its_own_process(
    gates: tuple[SharedPause, SharedPause], service: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_pause, "RETRY_S", 0.05)
    monkeypatch.setattr(shared_pause, "FRESH_S", 0.0)  # every time it looks again
    service.begin()
    await gates[0].pause(POOL, 30.0, "an outage")
    service.end()
    assert await wait_of(gates[0]) > 25.0
    assert await wait_of(gates[1]) == 0


async def test_a_redis_that_comes_back_empty_knows_no_pause(
    gates: tuple[SharedPause, SharedPause], service: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_pause, "RETRY_S", 0.05)
    await gates[0].pause(POOL, 30.0, "an outage")
    assert await is_paused(gates[1])
    service.begin()
    service.end()
    if isinstance(gates[1]._redis, FakeAsyncRedis):
        await gates[1]._redis.flushall()
    await eventually_async(partial(is_open, gates[1]), 5.0)
