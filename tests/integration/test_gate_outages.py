"""The gate while its Redis is gone, frozen, or comes back empty."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import redis

from jobs.pools import pool_key
from tests.support.eventually import eventually_async
from tests.support.gates import GOOD, Fleet, ask_for, granted, pools, put_off, server_client
from tests.support.redis_servers import OwnRedis
from workers.gate.gate import Grant
from workers.gate.redis_gate import RedisGate
from workers.gate.scopes import Scope
from workers.gate.script import Order, Script, Spoken, Wish

PATIENCE_S = 20.0


@pytest.fixture
def fleet(own_redis: OwnRedis) -> Fleet:
    return Fleet(lambda: server_client(own_redis.url))


def opened(gate: RedisGate) -> Callable[[], Awaitable[bool]]:
    async def is_open() -> bool:
        reply = await gate.ask(ask_for(), 2.0)
        if isinstance(reply, Grant):
            gate.settle(reply, GOOD)
        return isinstance(reply, Grant)

    return is_open


async def test_nothing_leaves_without_redis_and_it_resumes_by_itself(
    fleet: Fleet, own_redis: OwnRedis
) -> None:
    async with fleet.gates(pools({}), count=1) as (gate,):
        held = await granted(gate.ask(ask_for(), PATIENCE_S))
        own_redis.kill()
        loop = asyncio.get_running_loop()
        since = loop.time()
        replies = await asyncio.gather(*(gate.ask(ask_for(), PATIENCE_S) for _ in range(100)))
        assert loop.time() - since < 2.0
        assert not any(isinstance(reply, Grant) or not reply.is_blocked for reply in replies)
        gate.settle(held, GOOD)  # told later
        own_redis.start()
        await eventually_async(opened(gate), 10.0)


async def test_a_redis_that_answers_nothing_is_as_good_as_gone(
    fleet: Fleet, own_redis: OwnRedis
) -> None:
    async with fleet.gates(pools({}), count=1) as (gate,):
        assert await opened(gate)()
        own_redis.freeze()
        reply = await put_off(gate.ask(ask_for(), PATIENCE_S))
        assert reply.is_blocked
        own_redis.thaw()
        await eventually_async(opened(gate), 10.0)


async def test_after_a_flush_a_pace_begins_with_an_empty_bucket(
    fleet: Fleet, own_redis: OwnRedis
) -> None:
    async with fleet.gates(pools({"rpm": 6_000})) as gates:
        for _ in range(3):
            grants = await asyncio.gather(
                *(granted(gates[n % 2].ask(ask_for(), PATIENCE_S)) for n in range(30))
            )
            last = max(grant.start_at for grant in grants)
            own_redis.flush()
            after = await granted(gates[0].ask(ask_for(), PATIENCE_S))
            assert after.start_at > last


async def test_after_a_flush_daily_counts_come_from_the_ledger_again(
    fleet: Fleet, own_redis: OwnRedis
) -> None:
    async with fleet.gates(pools({"rpd": 10}), count=1) as (gate,):
        await granted(gate.ask(ask_for(), PATIENCE_S))
        fleet.used = (10, 0)
        own_redis.flush()
        assert "used up" in (await put_off(gate.ask(ask_for(), 4.0))).reason


async def test_after_a_flush_calls_in_flight_are_counted_before_others_join(
    fleet: Fleet, own_redis: OwnRedis
) -> None:
    async with fleet.gates(pools({"concurrency": 2})) as gates:
        grants = [await granted(gates[0].ask(ask_for(), PATIENCE_S)) for _ in range(2)]
        own_redis.flush()
        reply = await put_off(gates[1].ask(ask_for(), 4.0))
        assert "in flight" in reply.reason
        for grant in grants:
            gates[0].settle(grant, GOOD)


async def test_a_script_that_redis_forgets_again_and_again_is_told_again(
    fleet: Fleet, own_redis: OwnRedis
) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        async with fleet.gates(pools({}), count=1) as (gate,):
            for _ in range(50):
                client.script_flush()
                gate.settle(await granted(gate.ask(ask_for(), PATIENCE_S)), GOOD)


@pytest.mark.parametrize(
    ("refuse", "allow"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "9"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["its memory is full", "it became a replica"],
)
async def test_a_redis_that_takes_no_writes_is_as_good_as_gone(
    fleet: Fleet, own_redis: OwnRedis, refuse: tuple[str, ...], allow: tuple[str, ...]
) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        async with fleet.gates(pools({}), count=1) as (gate,):
            assert await opened(gate)()
            client.execute_command(*refuse)
            assert (await put_off(gate.ask(ask_for(), PATIENCE_S))).is_blocked
            client.execute_command(*allow)
            await eventually_async(opened(gate), 10.0)


async def test_a_redis_that_runs_somebody_elses_script_is_waited_for(
    fleet: Fleet, own_redis: OwnRedis
) -> None:
    with redis.Redis.from_url(own_redis.url, socket_timeout=0.5) as client:
        async with fleet.gates(pools({}), count=1) as (gate,):
            assert await opened(gate)()
            client.config_set("busy-reply-threshold", 100)
            with pytest.raises(redis.RedisError):
                client.eval("while true do end", 0)
            assert (await put_off(gate.ask(ask_for(), PATIENCE_S))).is_blocked
            client.script_kill()
            await eventually_async(opened(gate), 10.0)


async def test_a_round_that_is_cut_off_leaves_its_reply_to_nobody(own_redis: OwnRedis) -> None:
    client = server_client(own_redis.url)
    script, scope = Script(client), Scope("tidemill:gate:{p/m}", "", ("*",), {})
    wish = Wish(0, 3, 30, 10, 20, 30)
    for count in range(2, 500):
        cut_off = asyncio.create_task(script.run(Order("one", [Spoken(scope, 0)], [wish] * count)))
        await asyncio.sleep(count % 7 * 0.0002)  # before, while and after it is sent
        cut_off.cancel()
        reply = await script.run(Order("one", [Spoken(scope, 0)], [wish]))
        assert len(reply.starts) == 1  # with another's reply there were as many as that had wishes
        await asyncio.gather(cut_off, return_exceptions=True)
    await client.aclose()


async def test_a_key_that_somebody_else_has_written_begins_anew(
    fleet: Fleet, own_redis: OwnRedis, caplog: pytest.LogCaptureFixture
) -> None:
    async with fleet.gates(pools({"rps": 100}), count=1) as (gate,):
        assert await opened(gate)()
        with redis.Redis.from_url(own_redis.url) as stranger:
            stranger.set(pool_key("sim", "pool0"), "x")
        await eventually_async(opened(gate), 10.0)
    said = [record.message for record in caplog.records if "not its own" in record.message]
    assert len(said) == 1
    assert pool_key("sim", "pool0") in said[0]
