"""What a gate promises, whatever Redis it stands on: the simulated one (unit) or a server (integration).

A module that imports these tests defines the fixture `fleet`.
"""

import asyncio

import pytest
from msgspec.structs import replace

from jobs.errors import (
    AuthenticationFailed,
    ConnectFailed,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    TimedOut,
)
from jobs.pools import PoolState, read_pools
from tests.support.eventually import eventually_async
from tests.support.gates import GOOD, Fleet, ask_for, granted, pools, put_off
from workers.gate.gate import ComeBack, Ending, Grant, Reading
from workers.gate.redis_gate import RedisGate

PATIENCE_S = 20.0
FAST = {"rpm": 6_000}


async def test_starts_are_as_far_apart_as_the_limit_says_over_all_processes(fleet: Fleet) -> None:
    async with fleet.gates(pools(FAST)) as gates:
        grants = await asyncio.gather(
            *(granted(gates[n % 2].ask(ask_for(), PATIENCE_S)) for n in range(100))
        )
    starts = sorted(grant.start_at for grant in grants)
    assert starts[-1] - starts[0] == pytest.approx(99 / 99.8, abs=0.1)
    # No more than the credit comes at once.
    assert min(b - a for a, b in zip(starts, starts[15:], strict=False)) > 0.05


async def test_a_pool_without_limits_lets_calls_leave_at_once(fleet: Fleet) -> None:
    async with fleet.gates(pools({}), count=1) as (gate,):
        now = asyncio.get_running_loop().time()
        grants = [await granted(gate.ask(ask_for(), PATIENCE_S)) for _ in range(8)]
        assert all(grant.start_at < now + 0.5 for grant in grants)


async def test_pools_of_a_provider_are_used_together(fleet: Fleet) -> None:
    async with fleet.gates(pools(FAST, FAST), count=1) as (gate,):
        grants = await asyncio.gather(
            *(granted(gate.ask(ask_for(), PATIENCE_S)) for _ in range(120))
        )
    starts = sorted(grant.start_at for grant in grants)
    assert {grant.pool.pool for grant in grants} == {"pool0", "pool1"}
    assert starts[-1] - starts[0] < 0.9  # one alone would take 1.2 s


async def test_who_waits_is_foretold_anew(fleet: Fleet) -> None:
    limits = {"otpm": 60_000}
    async with fleet.gates(pools(limits, protocol="anthropic"), count=1) as (gate,):
        now = asyncio.get_running_loop().time()
        known = replace(ask_for(), output_tokens=10)
        # 1,000 tokens a second: at first 40 calls of 500, a moment later of 10 tokens each.
        asks = [replace(known, output_tokens=500, renew=lambda: known) for _ in range(40)]
        grants = await asyncio.gather(*(granted(gate.ask(ask, PATIENCE_S)) for ask in asks))
    assert max(grant.start_at for grant in grants) < now + 4.0
    assert grants[-1].ask.output_tokens == 10


async def test_whoever_can_not_start_in_time_is_told_when_to_come_back(fleet: Fleet) -> None:
    async with fleet.gates(pools({"rpm": 2})) as gates:
        reply = await put_off(gates[0].ask(ask_for(), 2.0))
    assert reply.wait_s > 5.0
    assert not reply.is_blocked
    assert reply.reason == "sim/pool0 is at its limit of requests per minute (2)"


async def test_a_cancelled_ask_leaves_nothing_behind(fleet: Fleet) -> None:
    async with fleet.gates(pools(FAST), count=1) as (gate,):
        doomed = [asyncio.create_task(gate.ask(ask_for(), PATIENCE_S)) for _ in range(500)]
        await granted(gate.ask(ask_for(priority="interactive"), PATIENCE_S))
        for task in doomed:
            task.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)
        now = asyncio.get_running_loop().time()
        grants = await asyncio.gather(
            *(granted(gate.ask(ask_for(), PATIENCE_S)) for _ in range(20))
        )
        assert max(grant.start_at for grant in grants) < now + 1.0


async def test_a_person_passes_a_nightly_batch(fleet: Fleet) -> None:
    async with fleet.gates(pools(FAST)) as gates:
        bulk = [
            asyncio.create_task(gates[n % 2].ask(ask_for(priority="bulk"), PATIENCE_S))
            for n in range(1_000)
        ]
        await asyncio.wait(bulk, return_when=asyncio.FIRST_COMPLETED)
        now = asyncio.get_running_loop().time()
        grant = await granted(gates[0].ask(ask_for(priority="interactive"), PATIENCE_S))
        assert grant.start_at < now + 1.0
        for task in bulk:
            task.cancel()
        await asyncio.gather(*bulk, return_exceptions=True)


async def test_a_call_that_is_made_again_passes_those_that_were_not_made_yet(fleet: Fleet) -> None:
    async with fleet.gates(pools(FAST), count=1) as (gate,):
        ordinary = [asyncio.create_task(gate.ask(ask_for(), PATIENCE_S)) for _ in range(1_000)]
        await asyncio.wait(ordinary, return_when=asyncio.FIRST_COMPLETED)
        now = asyncio.get_running_loop().time()
        resumed = replace(ask_for(), is_resumed=True)
        grants = await asyncio.gather(*(granted(gate.ask(resumed, PATIENCE_S)) for _ in range(20)))
        starts = [grant.start_at for grant in grants]
        # What was being asked for when they came, 256 at most, may leave before them.
        assert starts == sorted(starts)
        assert starts[-1] < now + 4.0
        for task in ordinary:
            task.cancel()
        await asyncio.gather(*ordinary, return_exceptions=True)


async def test_calls_in_flight_are_counted_over_all_processes(fleet: Fleet) -> None:
    async with fleet.gates(pools({"concurrency": 3})) as gates:
        grants = [await granted(gates[n % 2].ask(ask_for(), PATIENCE_S)) for n in range(3)]
        reply = await put_off(gates[0].ask(ask_for(), 0.01))
        assert "3 calls in flight" in reply.reason
        gates[0].settle(grants[0], GOOD)
        again = await granted(gates[1].ask(ask_for(), PATIENCE_S))
        for grant, gate in ((grants[1], gates[1]), (grants[2], gates[0]), (again, gates[1])):
            gate.settle(grant, GOOD)


@pytest.mark.parametrize(
    "error",
    [
        RateLimited("slow down", wait_s=30.0),
        Overloaded("busy", wait_s=30.0),
        QuotaExhausted("spent", wait_s=30.0),
        AuthenticationFailed("revoked", wait_s=30.0),
    ],
    ids=lambda error: error.code,
)
async def test_what_one_call_is_told_holds_for_every_process(
    fleet: Fleet, error: ProviderError
) -> None:
    async with fleet.gates(pools(FAST)) as gates:
        grant = await granted(gates[0].ask(ask_for(), PATIENCE_S))
        gates[0].settle(grant, Ending(sent=True, error=error))
        for gate in gates:
            reply = await _until_put_off(gate)
            assert 20.0 < reply.wait_s <= 30.1
            assert reply.is_blocked
            assert error.message in reply.reason


async def _until_put_off(gate: RedisGate) -> ComeBack:
    """Ask until the news is there."""

    async def ask() -> ComeBack | None:
        reply = await gate.ask(ask_for(), 2.0)
        if isinstance(reply, Grant):
            gate.settle(reply, Ending(sent=False))
            return None
        return reply

    return await eventually_async(ask) or ComeBack(0.0, "")


async def test_one_probe_finds_out_whether_a_pool_works_again(fleet: Fleet) -> None:
    async with fleet.gates(pools({})) as gates:
        grant = await granted(gates[0].ask(ask_for(), PATIENCE_S))
        gates[0].settle(grant, Ending(sent=True, error=Overloaded("busy", wait_s=0.2)))
        await _until_put_off_briefly(gates[1])
        asks = [asyncio.create_task(gates[n % 2].ask(ask_for(), 5.0)) for n in range(8)]
        done, waiting = await asyncio.wait(asks, return_when=asyncio.FIRST_COMPLETED)
        replies = [await task for task in done]
        assert len(replies) == 1, replies
        (probe,) = replies
        assert isinstance(probe, Grant)
        assert probe.is_probe
        assert len(waiting) == 7
        number = asks.index(next(iter(done)))
        gates[number % 2].settle(probe, GOOD)
        for task in waiting:
            assert not (await granted(task)).is_probe


async def test_a_probe_that_we_cut_off_does_not_say_that_the_pool_works(fleet: Fleet) -> None:
    async with fleet.gates(pools({}), count=1) as (gate,):
        grant = await granted(gate.ask(ask_for(), PATIENCE_S))
        gate.settle(grant, Ending(sent=True, error=Overloaded("busy", wait_s=0.2)))
        await _until_put_off_briefly(gate)
        for _cut_off in range(2):
            probe = await granted(gate.ask(ask_for(), 5.0))
            assert probe.is_probe
            gate.settle(probe, Ending(sent=True, cut_off=True))


async def _until_put_off_briefly(gate: RedisGate) -> None:
    async def is_put_off() -> bool:
        reply = await gate.ask(ask_for(), 0.02)
        if isinstance(reply, Grant):
            gate.settle(reply, Ending(sent=False))
        return isinstance(reply, ComeBack) and reply.is_blocked

    await eventually_async(is_put_off)


async def test_failures_of_single_calls_stop_nobody_and_ten_in_a_row_do(fleet: Fleet) -> None:
    async with fleet.gates(pools({}), count=1) as (gate,):
        for _ in range(9):
            grant = await granted(gate.ask(ask_for(), PATIENCE_S))
            gate.settle(grant, Ending(sent=True, error=ServerFailed("oops")))
        grant = await granted(gate.ask(ask_for(), PATIENCE_S))
        gate.settle(grant, Ending(sent=True, error=ServerFailed("oops")))
        assert "oops" in (await _until_put_off(gate)).reason


async def test_a_pause_is_in_the_log_of_every_process_that_meets_it(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    async with fleet.gates(pools({})) as gates:
        for _ in range(10):
            grant = await granted(gates[0].ask(ask_for(), PATIENCE_S))
            gates[0].settle(grant, Ending(sent=True, error=TimedOut("no answer in 8 s")))
        for gate in gates:
            await _until_put_off(gate)
    told = "pool sim/pool0 is held up by timed_out: no answer in 8 s"
    assert [text for text in caplog.messages if "held up" in text] == [told] * len(gates)


async def test_a_single_failed_connection_holds_a_pool_for_a_second(fleet: Fleet) -> None:
    async with fleet.gates(pools({}), count=1) as (gate,):
        grant = await granted(gate.ask(ask_for(), PATIENCE_S))
        gate.settle(grant, Ending(sent=True, error=ConnectFailed("no route")))
        loop = asyncio.get_running_loop()
        await _until_put_off_briefly(gate)
        since = loop.time()
        grant = await granted(gate.ask(ask_for(), PATIENCE_S))
        assert loop.time() - since < 2.0
        assert not grant.is_probe


async def test_a_limit_in_the_headers_is_kept(fleet: Fleet) -> None:
    async with fleet.gates(pools({})) as gates:
        grant = await granted(gates[0].ask(ask_for(), PATIENCE_S))
        reading = Reading("requests", 2, 1, 30.0)
        gates[0].settle(grant, Ending(sent=True, usage=GOOD.usage, readings=(reading,)))

        async def is_known() -> bool:
            reply = await gates[1].ask(ask_for(), 0.5)
            if isinstance(reply, Grant):
                gates[1].settle(reply, Ending(sent=False))
            return isinstance(reply, ComeBack) and "requests per minute" in reply.reason

        await eventually_async(is_known)


async def test_daily_counts_that_are_missing_are_read_from_the_ledger_first(fleet: Fleet) -> None:
    fleet.used = (8, 0)
    async with fleet.gates(pools({"rpd": 10}), count=1) as (gate,):
        for _ in range(2):
            await granted(gate.ask(ask_for(), PATIENCE_S))
        reply = await put_off(gate.ask(ask_for(), 0.5))
    assert reply.is_blocked
    assert reply.reason == "the daily limit of sim/pool0 (10 requests) is used up until 00:00 UTC"
    assert len(fleet.reads) == 1


async def test_the_pools_tell_what_blocks_them(fleet: Fleet) -> None:
    configuration = pools({"rpm": 6_000})
    redis = fleet.connect()
    async with fleet.gates(configuration, count=1) as (gate,):
        for _ in range(3):
            grant = await granted(gate.ask(ask_for(), PATIENCE_S))
            gate.settle(grant, GOOD)
        held = await granted(gate.ask(ask_for(), PATIENCE_S))
        gate.settle(
            await granted(gate.ask(ask_for(), PATIENCE_S)),
            Ending(sent=True, error=Overloaded("busy", wait_s=30.0)),
        )

        async def is_open() -> PoolState | None:
            pool, _ = await read_pools(redis, configuration)
            return pool if pool.breaker == "open" and pool.in_flight == 1 else None

        pool = await eventually_async(is_open)
        assert pool is not None
        assert pool.reason == "overloaded: busy"
        assert pool.blocked_until is not None
        assert [(d.name, d.configured) for d in pool.dimensions] == [("rpm", 6_000)]
        gate.settle(held, GOOD)
    await redis.aclose()


async def test_a_pool_tells_that_its_calls_in_flight_are_what_is_scarce(fleet: Fleet) -> None:
    configuration = pools({"rpm": 6_000, "concurrency": 2})
    redis = fleet.connect()
    async with fleet.gates(configuration, count=1) as (gate,):
        asks = [gate.ask(ask_for(), PATIENCE_S) for _ in range(2)]
        held = await asyncio.gather(*map(granted, asks))
        pool, *_ = await read_pools(redis, configuration)
        assert (pool.in_flight, pool.in_flight_limit, pool.binding) == (2, 2, "concurrency")
        for grant in held:
            gate.settle(grant, GOOD)
    await redis.aclose()


async def test_every_key_has_a_lifetime(fleet: Fleet) -> None:
    redis = fleet.connect()
    async with fleet.gates(pools(FAST), count=1) as (gate,):
        await granted(gate.ask(ask_for(), PATIENCE_S))
        keys = [key async for key in redis.scan_iter("*")]
        assert len(keys) == 2
        for key in keys:
            assert await redis.ttl(key) > 0
    await redis.aclose()
