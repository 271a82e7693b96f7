"""The way of jobs that begin alike: one calls, the others follow, and none of them overruns a budget."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from jobs.states import BatchState, SliceState
from tests.support.workshop import MESSAGE, Workshop, line, workshop
from workers.gate.gate import ComeBack

SYSTEM = "You write about numbers. Be brief, be right, and never repeat yourself. " * 100
MARK = {"type": "ephemeral"}
JOBS = 5


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Workshop]:
    async with workshop(tmp_path) as shop:
        yield shop


def lines(count: int = JOBS, **fields: Any) -> list[dict[str, Any]]:
    return [{**line(str(number), "second/kept"), **fields} for number in range(count)]


def answers_of_a_cache(shop: Workshop, tokens: int) -> None:
    """Let the first call write, and the others read, so many tokens."""
    for written in (True, *(False for _ in range(JOBS - 1))):
        name = "cache_creation_input_tokens" if written else "cache_read_input_tokens"
        usage = {"input_tokens": 3, "output_tokens": 2, name: tokens}
        shop.provider.replies.append(httpx.Response(200, json={**MESSAGE, "usage": usage}))


def bodies(shop: Workshop) -> list[Any]:
    return [orjson.loads(request.content) for request in shop.provider.seen]


async def test_one_calls_and_the_others_follow_its_answer(shop: Workshop) -> None:
    in_flight: list[int] = []

    async def slowly() -> None:
        in_flight.append(shop.parts.in_flight.in_use)
        await asyncio.sleep(0.1)

    shop.provider.before = slowly
    answers_of_a_cache(shop, 2000)
    ref = shop.submit(lines(), given={"system": SYSTEM})
    await shop.run(ref)
    assert in_flight[0] == 1
    assert max(in_flight) > 1
    assert all(
        body["system"] == [{"type": "text", "text": SYSTEM, "cache_control": MARK}]
        for body in bodies(shop)
    )
    batch = shop.batch(ref)
    assert (batch.state, batch.succeeded) == (BatchState.COMPLETED, JOBS)
    assert (batch.cache_write_tokens, batch.cached_input_tokens) == (2000, 2000 * (JOBS - 1))
    assert batch.cache_saved_nanos == 2000 * (900 * (JOBS - 1) - 250)


async def test_a_templates_head_is_marked_apart_from_what_is_filled_in(shop: Workshop) -> None:
    answers_of_a_cache(shop, 2000)
    jobs = [
        {"custom_id": str(number), "model": "second/kept", "variables": {"n": number}}
        for number in range(JOBS)
    ]
    await shop.run(shop.submit(jobs, given={"template": SYSTEM + "About {{ n }}."}))
    head = {"type": "text", "text": SYSTEM + "About ", "cache_control": MARK}
    contents = [body["messages"][0]["content"] for body in bodies(shop)]
    assert [content[0] for content in contents] == [head] * JOBS
    assert sorted(content[1]["text"] for content in contents) == [f"{n}." for n in range(JOBS)]


async def test_no_call_that_writes_costs_more_than_was_set_aside(shop: Workshop) -> None:
    most_tokens = len(SYSTEM) + len("Say hello.")  # a token a byte: no vocabulary makes more
    usage = {"input_tokens": 0, "output_tokens": 10, "cache_creation_input_tokens": most_tokens}
    shop.provider.replies.extend(
        httpx.Response(200, json={**MESSAGE, "usage": usage}) for _ in range(JOBS)
    )
    budget_nanos = 3 * most_tokens * 1250
    ref = shop.submit(lines(), given={"system": SYSTEM}, max_cost_nanos=budget_nanos)
    async with asyncio.timeout(20.0):
        while shop.batch(ref).state != BatchState.PAUSED:
            opened = await shop.run(ref)
            assert not opened.lease_lost
    attempts = shop.attempts()
    assert (
        len(attempts) == 2
    )  # a third might have cost the last of the budget, and some tokens' frames
    assert all((made.cost_nanos or 0) <= made.reserved_nanos for made in attempts)
    assert shop.batch(ref).spent_nanos <= budget_nanos


async def test_a_batch_whose_first_call_fails_is_completed_all_the_same(shop: Workshop) -> None:
    shop.provider.replies.append(httpx.Response(400))
    shop.provider.replies.append(httpx.Response(500))
    answers_of_a_cache(shop, 2000)
    ref = shop.submit(lines(), given={"system": SYSTEM})
    await shop.run(ref)
    batch = shop.batch(ref)
    assert (batch.succeeded, batch.failed) == (JOBS - 1, 1)


async def test_jobs_without_a_long_beginning_dont_wait(shop: Workshop) -> None:
    in_flight: list[int] = []

    async def slowly() -> None:
        await asyncio.sleep(0.05)
        in_flight.append(shop.parts.in_flight.in_use)

    shop.provider.before = slowly
    await shop.run(shop.submit(lines(), given={"system": "Be brief."}))
    assert in_flight[0] == JOBS
    assert all(body["system"] == "Be brief." for body in bodies(shop))


async def test_jobs_that_wait_for_anothers_call_end_with_their_slice(shop: Workshop) -> None:
    called, answered = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        called.set()
        await answered.wait()

    shop.provider.before = hold
    answers_of_a_cache(shop, 2000)
    opened, run = shop.open(shop.submit(lines(), given={"system": SYSTEM}))
    running = asyncio.create_task(run.run())
    await called.wait()
    opened.close()
    answered.set()
    async with asyncio.timeout(5.0):
        await running
    assert shop.outcomes() == ["succeeded"]
    assert shop.slice().state == SliceState.WAITING


async def test_a_pool_that_has_no_start_for_the_first_call_holds_up_nobody(shop: Workshop) -> None:
    shop.gate.answers.append(ComeBack(0.05, "its pace"))
    answers_of_a_cache(shop, 2000)
    ref = shop.submit(lines(), given={"system": SYSTEM})
    await shop.run(ref)
    assert shop.batch(ref).succeeded == JOBS
