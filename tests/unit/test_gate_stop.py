"""A gate ends, also if the Redis client forgets that its caller was cancelled."""

import asyncio
import contextlib

import pytest
from fakeredis import FakeAsyncRedis

from tests.support.gates import Fleet, ask_for, pools
from workers.gate.script import Order, Reply


async def test_a_gate_whose_cancellation_is_forgotten_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_under_way = asyncio.Event()

    class Forgetful:
        """A script of which a round that is cancelled comes to its end all the same."""

        def __init__(self, _redis: object) -> None:
            pass

        async def run(self, order: Order) -> Reply:
            is_under_way.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.2)
            return Reply(now=1_000_000.0, starts=[0.0 for _ in order.wishes])

    monkeypatch.setattr("workers.gate.redis_gate.Script", Forgetful)
    fleet = Fleet(lambda: FakeAsyncRedis(decode_responses=True))
    async with asyncio.timeout(5.0):
        async with fleet.gates(pools({}), count=1) as (gate,):
            asking = asyncio.create_task(gate.ask(ask_for(), 5.0))
            await is_under_way.wait()
        await asyncio.gather(asking, return_exceptions=True)
