"""How many jobs are let in front of the calls: enough for the calls to follow each other closely."""

import asyncio

from workers.slices.in_flight import InFlight

LIMIT = 10


async def make_calls(in_flight: InFlight, calls: int, call_s: float) -> int:
    """Make calls as jobs do, with a berth each; return how many were in flight at most."""
    most = 0

    async def call() -> None:
        nonlocal most
        await in_flight.berths.acquire("slice")
        try:
            async with in_flight:
                most = max(most, in_flight.in_use)
                await asyncio.sleep(call_s)
        finally:
            in_flight.berths.release()

    await asyncio.gather(*(call() for _ in range(calls)))
    return most


async def test_there_are_never_more_calls_than_the_limit() -> None:
    in_flight = InFlight(LIMIT)
    assert await make_calls(in_flight, 200, 0.001) == LIMIT
    assert in_flight.in_use == 0
    assert in_flight.berths.in_use == 0


async def test_short_calls_let_more_jobs_in_but_at_most_twice_as_many() -> None:
    in_flight = InFlight(LIMIT)
    await make_calls(in_flight, 200, 0.001)
    assert LIMIT < in_flight.berths.count <= 2 * LIMIT


async def test_slow_calls_let_none_in_that_would_only_wait() -> None:
    in_flight = InFlight(LIMIT)
    await make_calls(in_flight, 2, 0.4)
    assert in_flight.berths.count == LIMIT


async def test_a_call_that_fails_or_is_cancelled_leaves_its_place() -> None:
    in_flight = InFlight(1)

    async def call() -> None:
        async with in_flight:
            await asyncio.Event().wait()

    cut_off = asyncio.create_task(call())
    waiting = asyncio.create_task(call())
    await asyncio.sleep(0)
    assert in_flight.in_use == 1
    waiting.cancel()
    cut_off.cancel()
    await asyncio.gather(cut_off, waiting, return_exceptions=True)
    assert in_flight.in_use == 0
    async with asyncio.timeout(1.0), in_flight:
        assert in_flight.in_use == 1
