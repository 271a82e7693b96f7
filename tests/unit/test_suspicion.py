"""Which jobs are taken to kill their workers, and how suspects take turns."""

import asyncio

import pytest

from jobs.store.batches.jobs import OpenJob
from workers.job.suspicion import Quarantine, is_poison, is_suspect


def job(lost_workers: int, deaths_since: int) -> OpenJob:
    return OpenJob(
        *(0, "generation", "{}", 1, lost_workers, 0),
        lost_workers=lost_workers,
        deaths_since=deaths_since,
    )


@pytest.mark.parametrize("deaths_since", [1, 2, 3])
def test_a_job_that_workers_die_of_is_a_suspect_and_then_poison(deaths_since: int) -> None:
    verdicts = [
        (is_suspect(job(lost, deaths_since)), is_poison(job(lost, deaths_since)))
        for lost in range(4)
    ]
    assert verdicts == [(False, False), (False, False), (True, False), (True, True)]


@pytest.mark.parametrize("lost_workers", [2, 3, 10])
def test_a_job_is_not_to_blame_for_workers_that_die_as_often_without_it(lost_workers: int) -> None:
    innocent = job(lost_workers, 2 * lost_workers)
    assert not is_suspect(innocent)
    assert not is_poison(innocent)


async def test_suspects_go_one_by_one() -> None:
    quarantine, inside, most = Quarantine(), 0, 0

    async def go(suspect: int) -> None:
        nonlocal inside, most
        await quarantine.enter(suspect)
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        quarantine.leave(suspect)

    async with asyncio.timeout(5.0):
        await asyncio.gather(*(go(suspect) for suspect in range(20)))
    assert most == 1


async def test_a_suspect_whose_call_is_long_does_not_keep_the_others() -> None:
    quarantine = Quarantine(alone_s=0.01)
    async with asyncio.timeout(5.0):
        await quarantine.enter("long")
        await quarantine.enter("next")
    quarantine.leave("long")  # whose turn has been over for a while
    waiting = asyncio.create_task(quarantine.enter("last"))
    await asyncio.sleep(0)
    assert not waiting.done()
    quarantine.leave("next")
    await waiting


async def test_a_turn_that_was_ended_in_time_does_not_shorten_the_next() -> None:
    quarantine = Quarantine(alone_s=1.0)
    await quarantine.enter("again")
    await asyncio.sleep(0.5)
    quarantine.leave("again")
    await quarantine.enter("again")
    waiting = asyncio.create_task(quarantine.enter("next"))
    await asyncio.sleep(0.6)  # beyond the end of the first turn's time
    assert not waiting.done()
    async with asyncio.timeout(10.0):
        await waiting


async def test_whoever_gives_up_waiting_keeps_nobody() -> None:
    quarantine = Quarantine()
    await quarantine.enter("first")
    waiting = asyncio.create_task(quarantine.enter("second"))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    quarantine.leave("second")  # who never was alone
    quarantine.leave("first")
    async with asyncio.timeout(5.0):
        await quarantine.enter("third")
