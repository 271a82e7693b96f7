"""Marks of progress, on both databases: how often, how many, what of pauses, and what is told by them."""

from itertools import pairwise

import httpx

from api.outlooks import told_of
from jobs.states import BatchState
from jobs.store import Database, now
from jobs.store.batches import progress
from jobs.store.batches.progress import KEPT, PERIOD_S
from tests.support.rows import batch_of, seed_batch, set_batch
from workers.clock.progress import ProgressWatch

JOBS = 100_000
PACE = 10
"""Jobs per second."""


class Clock:
    """A steady clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def work(database: Database, ref: str, watch: ProgressWatch, clock: Clock, seconds: int) -> None:
    """Let the batch run, and look at it every two seconds, as a sweep does."""
    for _ in range(seconds // 2):
        done = batch_of(database, ref).succeeded + 2 * PACE
        set_batch(database, ref, succeeded=done, spent_nanos=7 * done)
        clock.now_s += 2.0
        watch.look()


def running_batch(database: Database) -> str:
    ref = seed_batch(database, jobs=10)
    set_batch(database, ref, state=BatchState.RUNNING, total_jobs=JOBS)
    return ref


def numbers(database: Database, ref: str) -> list[int]:
    with database.read() as session:
        return [row.number for row in progress.marks(session, batch_of(database, ref).id or 0)]


def test_a_running_batch_is_marked_every_few_seconds(database: Database) -> None:
    ref, clock = running_batch(database), Clock()
    seed_batch(database, jobs=10)  # one that waits has no marks
    set_batch(database, running_batch(database), is_live=True)  # nor have live calls
    watch = ProgressWatch(database, clock)
    work(database, ref, watch, clock, 42)
    assert numbers(database, ref) == list(range(11))
    with database.read() as session:
        last = progress.marks(session, batch_of(database, ref).id or 0)[-1]
        assert len(progress.running(session)) == 1
    assert last.working_s == 10 * PERIOD_S
    assert (last.done_jobs, last.spent_nanos) == (420, 7 * 420)


def test_the_longer_it_takes_the_further_marks_are_apart(database: Database) -> None:
    ref, clock = running_batch(database), Clock()
    batch = batch_of(database, ref)
    with database.write() as session:
        standing = progress.Standing.of(batch)
        last: int | None = None
        for period in range(5 * KEPT):
            if (number := progress.due(PERIOD_S * period, last)) is not None:
                progress.add_mark(session, standing, number, PERIOD_S * period, None)
                last = number
    found = numbers(database, ref)
    assert len(found) <= KEPT + 1
    assert {b - a for a, b in pairwise(found)} == {8}
    work(database, ref, ProgressWatch(database, clock), clock, 40)
    assert numbers(database, ref) == [*found, 5 * KEPT]


def test_a_pause_is_no_work(database: Database) -> None:
    ref, clock = running_batch(database), Clock()
    watch = ProgressWatch(database, clock)
    work(database, ref, watch, clock, 22)
    set_batch(database, ref, state=BatchState.PAUSED, pause_cause="owner")
    for _ in range(5):
        clock.now_s += 1000.0
        watch.look()
    set_batch(database, ref, state=BatchState.RUNNING, pause_cause=None)
    watch.look()
    work(database, ref, watch, clock, 20)
    with database.read() as session:
        rows = progress.marks(session, batch_of(database, ref).id or 0)
    assert rows[-1].working_s < 45
    assert rows[-1].low_s is not None


def test_of_two_who_look_the_first_ones_marks_stay(database: Database) -> None:
    ref, clock = running_batch(database), Clock()
    first, second = ProgressWatch(database, clock), ProgressWatch(database, clock)
    for _ in range(10):
        work(database, ref, first, clock, 4)
        second.look()
    assert numbers(database, ref) == sorted(set(numbers(database, ref)))
    assert len(numbers(database, ref)) <= 11


def test_what_is_told_is_judged_at_the_end(database: Database) -> None:
    ref, clock = running_batch(database), Clock()
    set_batch(database, ref, total_jobs=600)
    work(database, ref, ProgressWatch(database, clock), clock, 40)
    with database.read() as session:
        batch = batch_of(database, ref)
        told = told_of(session, batch).outlook
        assert told is not None
        assert told.left_s.holds(20)
        assert told.final_nanos.holds(7 * 600)
    with database.write() as session:
        finished_at = now(session)
    ended = {"state": BatchState.COMPLETED, "finished_at": finished_at, "succeeded": 600}
    set_batch(database, ref, **ended, spent_nanos=7 * 600)
    with database.read() as session:
        judgement = told_of(session, batch_of(database, ref)).judgement
    assert judgement is not None
    assert judgement.looks >= 5
    assert judgement.cost_held == 1.0


async def test_how_a_batch_went_on_can_be_read(
    database: Database, client: httpx.AsyncClient
) -> None:
    ref, clock = running_batch(database), Clock()
    work(database, ref, ProgressWatch(database, clock), clock, 40)
    reply = await client.get(f"/api/batches/{ref}/progress")
    marks = reply.json()["data"]
    assert [mark["working_s"] for mark in marks] == [PERIOD_S * n for n in range(len(marks))]
    assert marks[0]["eta"] is None
    assert marks[-1]["eta"]["low"] < JOBS / PACE < marks[-1]["eta"]["high"]
    assert marks[-1]["final_cost_usd"]["low"] < marks[-1]["final_cost_usd"]["high"]
    assert reply.json()["latencies_ms"] == []
    assert (await client.get("/api/batches/bat_x/progress")).status_code == 404
