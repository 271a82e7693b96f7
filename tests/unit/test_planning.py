"""Long lines become plans beside the event loop, which beats for the leases of all slices."""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from jobs.kinds import KINDS
from jobs.kinds.generation import Generation, GenerationLine
from jobs.kinds.kind import Plan
from jobs.states import BatchState, ResultStatus
from tests.support.workshop import Workshop, line, workshop
from workers.job import job_run
from workers.job import planning as planning_module
from workers.job.planning import LONG_CHARACTERS, Planning

PLANNING_S = 0.3


class Slow(Generation):
    """A kind that takes long to plan."""

    def plan(self, line: GenerationLine) -> Plan:
        time.sleep(PLANNING_S)
        return super().plan(line)


@pytest.fixture
async def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Workshop]:
    monkeypatch.setattr(job_run, "KINDS", {**KINDS, "generation": Slow()})
    async with workshop(tmp_path) as shop:
        yield shop


async def longest_silence_s(until: asyncio.Task[object]) -> float:
    """Return for how long at most nothing else came to run on the loop until a task was done."""
    longest, seen = 0.0, time.monotonic()
    while not until.done():
        await asyncio.sleep(0.01)
        longest, seen = max(longest, time.monotonic() - seen), time.monotonic()
    return longest


async def test_long_lines_hold_up_nobody_while_they_become_calls(shop: Workshop) -> None:
    jobs = [{**line(str(number)), "prompt": "x" * LONG_CHARACTERS} for number in range(4)]
    ref = shop.submit(jobs)
    run = asyncio.create_task(shop.run(ref))
    assert await longest_silence_s(run) < PLANNING_S
    assert [result.status for result in shop.results()] == [ResultStatus.SUCCEEDED] * 4
    assert shop.batch(ref).state == BatchState.COMPLETED


async def test_a_slice_that_closes_plans_no_more(shop: Workshop) -> None:
    jobs = [{**line(str(number)), "prompt": "x" * LONG_CHARACTERS} for number in range(20)]
    ref = shop.submit(jobs)
    opened, run = shop.open(ref)
    task = asyncio.create_task(run.run())
    await asyncio.sleep(PLANNING_S / 2)
    opened.close()
    began = time.monotonic()
    await task
    assert time.monotonic() - began < 5 * PLANNING_S
    assert shop.provider.seen == []


@pytest.fixture
async def planning() -> AsyncIterator[Planning]:
    planning = Planning()
    yield planning
    planning.close()


async def order_of(planning: Planning, lengths: list[int]) -> list[int]:
    """Return in which order lines of these lengths become plans, which all come at once."""
    begun: list[int] = []

    def plan(characters: int) -> None:
        begun.append(characters)
        time.sleep(0.01)

    await asyncio.gather(
        *(planning.run(partial(plan, characters), characters) for characters in lengths)
    )
    return begun


async def test_a_letter_does_not_stand_behind_books(planning: Planning) -> None:
    book, letter = 1_000_000, 5_000
    assert await order_of(planning, [book, book, book, letter]) == [book, letter, book, book]


async def test_a_book_that_has_waited_its_time_is_passed_by_nobody(
    planning: Planning, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, letter, longest_s = 16_000_000, 5_000, 0.3
    monkeypatch.setattr(planning_module, "LONGEST_PASSED_S", longest_s)
    waiting = asyncio.create_task(order_of(planning, [letter] * 60 + [book]))
    await asyncio.sleep(longest_s)
    late = asyncio.create_task(order_of(planning, [letter]))
    await waiting
    assert not late.done()
    assert await late == [letter]


async def test_who_is_called_off_while_waiting_holds_up_nobody(planning: Planning) -> None:
    tasks = [asyncio.create_task(order_of(planning, [1_000_000])) for _ in range(4)]
    await asyncio.sleep(0.005)
    tasks[0].cancel()
    tasks[2].cancel()
    done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [isinstance(each, asyncio.CancelledError) for each in done] == [True, False, True, False]
    assert await order_of(planning, [5_000]) == [5_000]
