"""Long lines become plans beside the event loop, which beats for the leases of all slices."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs.kinds import KINDS
from jobs.kinds.generation import Generation, GenerationLine
from jobs.kinds.kind import Plan
from jobs.states import BatchState, ResultStatus
from tests.support.workshop import Workshop, line, workshop
from workers import job_run
from workers.planning import LONG_CHARACTERS

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
