"""What takes longer than the common deadline is cancelled, and nothing else is."""

import asyncio

import pytest

from workers.calls.deadline import Deadline


async def wait(deadline: Deadline, seconds: float) -> str:
    try:
        with deadline.watch():
            await asyncio.sleep(seconds)
    except TimeoutError:
        return "too long"
    return "in time"


async def test_each_has_its_own_time_from_when_it_began() -> None:
    deadline = Deadline(0.1)
    first = asyncio.create_task(wait(deadline, 0.15))
    quick = asyncio.create_task(wait(deadline, 0.01))
    await asyncio.sleep(0.06)
    second = asyncio.create_task(wait(deadline, 0.08))
    said = await asyncio.gather(first, quick, second)
    assert list(said) == ["too long", "in time", "in time"]


async def test_later_ones_are_watched_as_well() -> None:
    deadline = Deadline(0.05)
    assert await wait(deadline, 1.0) == "too long"
    assert await wait(deadline, 1.0) == "too long"


async def test_a_cancellation_from_outside_is_not_a_time_out() -> None:
    deadline = Deadline(10.0)
    waiting = asyncio.create_task(wait(deadline, 5.0))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_task_that_went_on_can_be_cancelled_again() -> None:
    deadline = Deadline(0.02)

    async def twice() -> int:
        assert await wait(deadline, 1.0) == "too long"
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert await asyncio.create_task(twice()) == 0
