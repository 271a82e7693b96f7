"""Whose fault a failed call is, told by what else happens in its pool."""

import asyncio

import pytest

from workers.gate.gate import PoolId
from workers.job import blame
from workers.job.blame import FEW, Blame

POOL = PoolId("first", "blue")
DOUBT_S = (0.05, 0.2)


@pytest.fixture(autouse=True)
def _short_doubts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blame, "DOUBT_S", DOUBT_S)


def fail(judge: Blame, count: int) -> "list[asyncio.Task[bool | None]]":
    return [asyncio.create_task(judge.is_jobs(job, POOL)) for job in range(count)]


async def test_jobs_that_failed_before_a_call_left_that_is_answered_are_at_fault_at_once() -> None:
    judge, loop = Blame(), asyncio.get_running_loop()
    failing = fail(judge, 2 * FEW)
    await asyncio.sleep(0.01)
    began_at = loop.time()
    judge.answered(POOL, 0.005)
    assert await asyncio.gather(*failing) == [True] * 2 * FEW
    assert loop.time() - began_at < DOUBT_S[0] / 2


async def test_a_provider_that_refuses_at_once_and_ends_what_it_had_begun_is_in_trouble() -> None:
    judge = Blame()
    failing = fail(judge, FEW + 1)
    await asyncio.sleep(0.01)
    judge.answered(POOL, 0.1)
    assert await asyncio.gather(*failing) == [False] * (FEW + 1)


async def test_an_answer_of_another_pool_says_nothing() -> None:
    judge = Blame()
    failing = fail(judge, FEW + 1)
    await asyncio.sleep(0.01)
    judge.answered(PoolId("first", "red"), 0.0)
    assert await asyncio.gather(*failing) == [False] * (FEW + 1)


async def test_a_few_jobs_that_fail_alone_are_not_excused() -> None:
    assert await asyncio.gather(*fail(Blame(), FEW)) == [None] * FEW


async def test_one_job_that_fails_again_and_again_is_one() -> None:
    judge = Blame()
    for _ in range(FEW + 2):
        assert await judge.is_jobs("same", POOL) is None


async def test_jobs_that_fail_one_after_the_other_are_many_all_the_same() -> None:
    judge = Blame()
    verdicts = [await judge.is_jobs(job, POOL) for job in range(FEW + 1)]
    assert verdicts == [None] * FEW + [False]


async def test_an_answer_after_an_outage_forgets_it() -> None:
    judge = Blame()
    await asyncio.gather(*fail(judge, 2 * FEW))
    judge.answered(POOL, 0.0)
    assert await judge.is_jobs("later", POOL) is None


async def test_a_pool_that_answers_slowly_is_given_longer() -> None:
    judge = Blame()
    for _ in range(100):
        judge.answered(POOL, DOUBT_S[1])
    failing = fail(judge, FEW + 1)
    await asyncio.sleep(2 * DOUBT_S[0])
    judge.answered(POOL, DOUBT_S[0])
    assert await asyncio.gather(*failing) == [True] * (FEW + 1)
