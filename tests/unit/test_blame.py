"""Whose fault a failed call is, told by what else happens in its pool."""

import asyncio

import pytest

from jobs.errors import ConnectionLost, ServerFailed, TimedOut
from workers import blame
from workers.blame import FEW, Blame
from workers.gate.gate import PoolId

POOL = PoolId("first", "blue")
DOUBT_S = (0.05, 0.2)


@pytest.fixture(autouse=True)
def _short_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blame, "DOUBT_S", DOUBT_S)


def fail(judge: Blame, count: int) -> "list[asyncio.Task[bool | None]]":
    return [
        asyncio.create_task(judge.is_jobs(job, POOL, ServerFailed(), 0.01)) for job in range(count)
    ]


async def test_jobs_that_fail_while_another_is_answered_are_at_fault_at_once() -> None:
    judge = Blame()
    failing = fail(judge, 2 * FEW)
    await asyncio.sleep(0)
    began_at = asyncio.get_running_loop().time()
    judge.answered(POOL, 0.01)
    assert await asyncio.gather(*failing) == [True] * 2 * FEW
    assert asyncio.get_running_loop().time() - began_at < DOUBT_S[0]


async def test_an_answer_of_another_pool_says_nothing() -> None:
    judge = Blame()
    failing = fail(judge, FEW + 1)
    await asyncio.sleep(0)
    judge.answered(PoolId("first", "red"), 0.01)
    assert await asyncio.gather(*failing) == [False] * (FEW + 1)


async def test_an_answer_from_before_the_failure_says_nothing() -> None:
    judge = Blame()
    judge.answered(POOL, 0.01)
    assert await asyncio.gather(*fail(judge, FEW + 1)) == [False] * (FEW + 1)


async def test_a_few_jobs_that_fail_alone_are_not_excused() -> None:
    assert await asyncio.gather(*fail(Blame(), FEW)) == [None] * FEW


async def test_one_job_that_fails_again_and_again_is_one() -> None:
    judge = Blame()
    for _ in range(FEW + 2):
        assert await judge.is_jobs("same", POOL, ConnectionLost(), 0.01) is None


async def test_a_pool_that_answers_slowly_is_given_longer() -> None:
    judge = Blame()
    for _ in range(100):
        judge.answered(POOL, DOUBT_S[1])
    failing = fail(judge, FEW + 1)
    await asyncio.sleep(2 * DOUBT_S[0])
    judge.answered(POOL, DOUBT_S[1])
    assert await asyncio.gather(*failing) == [True] * (FEW + 1)


async def test_a_call_that_is_not_answered_while_others_are_is_at_fault_at_once() -> None:
    judge = Blame()
    judge.answered(POOL, 0.01)
    assert await judge.is_jobs("slow", POOL, TimedOut(), 60.0) is True


async def test_calls_of_which_none_is_answered_any_more_are_excused() -> None:
    judge = Blame()
    judge.answered(POOL, 0.01)
    await asyncio.sleep(0.1)
    hung = [judge.is_jobs(job, POOL, TimedOut(), 0.1) for job in range(FEW + 1)]
    assert await asyncio.gather(*hung) == [False] * (FEW + 1)
