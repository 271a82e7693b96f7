"""Answers that are offered to later batches, and results that are copied from there: on both databases."""

from datetime import timedelta

import pytest
from sqlmodel import select

from jobs.errors import LeaseLost
from jobs.exchange import Usage
from jobs.queues import make_celery
from jobs.settings import Settings
from jobs.states import BatchState, ResultStatus
from jobs.store import Database, now
from jobs.store.batches import batches
from jobs.store.leases import leases
from jobs.store.results import answers, kept
from jobs.store.results.kept import Keeping
from jobs.store.results.origins import Origin
from jobs.tables import Answer, Result
from tests.support.rows import batch_of, claimed, seed_batch
from tests.support.stories import Story
from workers.clock.sweep import Sweep


def offered(database: Database) -> list[tuple[int, int]]:
    with database.read() as session:
        rows = session.exec(select(Answer.batch_id, Answer.seq).order_by("batch_id", "seq"))
        return [(batch_id, seq) for batch_id, seq in rows]


def test_answers_are_offered_some_at_a_time_and_all_at_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "OFFERED_TOGETHER", 4)
    story = Story(database, jobs=6, slice_size=2)
    for seq in (0, 1):
        story.answer(seq, Usage(1))
    story.next_slice()
    assert offered(database) == []
    story.answer(2, Usage(1))
    story.give_up(3)
    story.next_slice()
    assert offered(database) == [(1, 0), (1, 1), (1, 2)]
    for seq in (4, 5):
        story.answer(seq, Usage(1))
    story.end()
    assert offered(database) == [(1, seq) for seq in (0, 1, 2, 4, 5)]
    assert batch_of(database, story.ref).offered_results == 6


def test_a_cancelled_batch_offers_what_it_was_answered(database: Database) -> None:
    story = Story(database, jobs=4, slice_size=2)
    story.answer(0, Usage(1))
    with database.write() as session:
        batches.move(session, 1, story.ref, BatchState.CANCELLING)
    with database.write() as session:
        leases.give_back(session, story.lease)
    broker = make_celery(Settings(broker_url="redis://127.0.0.1:9"))
    Sweep(database, broker).run()
    assert batch_of(database, story.ref).state == BatchState.CANCELLED
    assert offered(database) == [(1, 0)]


def finished(database: Database, jobs: int = 2) -> Story:
    story = Story(database, jobs=jobs)
    for seq in range(jobs):
        story.answer(seq, Usage(100))
    story.end()
    return story


def test_copies_are_counted_and_take_their_places(database: Database) -> None:
    finished(database)
    again = Story(database, jobs=2)
    keepings = [Keeping(1, ResultStatus.SUCCEEDED, Origin(1, 0), Origin(1, 0))]
    for _ in range(2):  # a commit whose answer was lost
        with database.write() as session:
            kept.keep(session, again.lease, keepings)
    again.answer(0, Usage(5))
    with database.read() as session:
        rows = session.exec(select(Result).where(Result.batch_id == 2).order_by("position")).all()
    assert [(row.seq, row.source, row.origin_batch_id, row.output) for row in rows] == [
        (1, "cache", 1, '"fine"'),
        (0, "live", None, '"fine"'),
    ]
    batch = batch_of(database, again.ref)
    assert (batch.succeeded, batch.reused_jobs, batch.saved_nanos) == (2, 1, 100)


def test_a_worker_that_lost_its_slice_copies_nothing(database: Database) -> None:
    finished(database)
    again = Story(database, jobs=2)
    with database.write() as session:
        leases.give_back(session, again.lease)
    with pytest.raises(LeaseLost), database.write() as session:
        kept.keep(
            session, again.lease, [Keeping(0, ResultStatus.SUCCEEDED, Origin(1, 0), Origin(1, 0))]
        )
    assert batch_of(database, again.ref).reused_jobs == 0


def test_a_slice_takes_what_its_project_was_answered(database: Database) -> None:
    finished(database, jobs=3)
    ref = seed_batch(database, jobs=3)
    lease, cut = claimed(database, ref)
    with database.write() as session:
        kept.keep(session, lease, kept.reusable(session, lease, cut, "1h", takes_mended=True))
    batch = batch_of(database, ref)
    assert (batch.reused_jobs, batch.saved_nanos) == (3, 3 * 100)


def test_only_the_newest_answer_is_found(database: Database) -> None:
    finished(database)
    finished(database)
    with database.read() as session:
        since = now(session) - timedelta(hours=1)
        found = answers.find(session, 1, {b"f" * 16, b"g" * 16}, since=since, takes_mended=True)
    assert found == {b"f" * 16: Origin(2, 1)}
