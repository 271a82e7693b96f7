"""The proof of completeness names every damage to the rows that it covers, and finds none where none is.

One set of books for all: a finished batch in which everything has happened that can, another one of the
same project, and one that runs. Each damage is done in a transaction that is rolled back.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import text
from sqlmodel import Session

from jobs.exchange import Usage
from jobs.slicer import Slicer
from jobs.states import Outcome
from jobs.store import Database
from jobs.store.attempts.reports import Correction, Journal, Settlement
from jobs.store.batches import batches, uploads
from jobs.store.batches.jobs import insert_chunk, insert_slices
from jobs.store.leases import leases
from jobs.store.money import budgets
from jobs.store.money.settlement import flush, reconcile
from jobs.store.proof.balance import balance
from tests.support import postgres
from tests.support.damages import DAMAGES, RETRIES, REUSES, RUNNING_DAMAGES, kept, of
from tests.support.rows import journal_of, lease_of, migrated
from tests.support.stories import EXHAUSTED, GOOD, Story


class Books(NamedTuple):
    """The names of three batches: the first that is stored has the id 1, and so on."""

    database: Database
    finished: str
    other: str
    running: str


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def books(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Books]:
    if request.param == "sqlite":
        path: Path = tmp_path_factory.mktemp("books") / "tidemill.db"
        with migrated(f"sqlite:///{path}") as database:
            yield written(database)
        return
    server = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue("postgres_template")
    with postgres.fresh_database(server, template=template) as url, migrated(url) as database:
        yield written(database)


def written(database: Database) -> Books:
    story = Story(database, jobs=12, slice_size=4)
    everything_happens(story)
    with database.write() as session:
        budgets.set_caps(session, 1, {"daily_nanos": 10**12})
    story.next_slice()
    for seq in range(8, 12):
        story.answer(seq, Usage(10, 2, output_tokens=seq, reasoning_tokens=1))
    story.end()
    other = Story(database, jobs=2)
    other.lose(0, None)
    for seq in range(2):
        other.answer(seq, Usage(100, output_tokens=1))
    other.end()
    running = Story(database, jobs=4, slice_size=2)
    for seq in range(2):
        running.answer(seq, Usage(7))
    running.next_slice()
    running.answer(2, Usage(8))
    running.attempt(3)
    return Books(database, story.ref, other.ref, running.ref)


def everything_happens(story: Story) -> None:
    """Eight jobs: answers, bad, lost, late and partial ones, some without a usage or a price, failures."""
    story.answer(0, Usage(10, output_tokens=5))
    story.lose(1, None)
    story.answer(1, Usage(10, output_tokens=6))
    story.answer_without_usage(2, Usage(3))
    story.refuse(3)
    story.answer_badly(3, Usage(10, output_tokens=1))
    story.answer_part(3, 0, Usage(10, output_tokens=2))
    story.answer(3, Usage(10, output_tokens=7))
    story.next_slice()
    story.lose(4, None)
    story.lose(4, None)
    story.give_up(4)
    story.settle(story.attempt(5), Outcome.REJECTED, error_code="rejected", result=EXHAUSTED)
    late = story.attempt(6)
    with story.database.write() as session:
        leases.give_back(session, story.lease)
    story.lease = lease_of(story.database, story.ref, 1)
    story.answer(6, Usage(10))
    story.settle(late, Outcome.SUCCEEDED, usage=Usage(7), cost_nanos=7, result=GOOD)
    answer_unpriced(story, 7)
    with story.database.write() as session:
        found = Correction(1, 1, Usage(44, output_tokens=4), 52)
        reconcile(session, story.lease.batch_id, 1, [found, Correction(4, 1, None, None)])


def answer_unpriced(story: Story, seq: int) -> None:
    given = journal_of(story.lease, seq, reserved_nanos=0)
    fields = (given.lease, given.seq, given.n, given.provider, given.pool, "unpriced")
    journal = Journal(*fields, price=None, reserved_nanos=0)
    with story.database.write() as session:
        assert flush(session, [journal], [])
        settled = Settlement(journal, Outcome.SUCCEEDED, usage=Usage(5), result=GOOD)
        flush(session, [], [settled])


def codes_after(books: Books, *damage: str, ref: str | None = None) -> set[str]:
    """Return what the proof says of the finished batch (or another) after some statements."""
    with Session(books.database.engine) as session:
        for statement in damage:
            session.connection().execute(text(statement))
        found = balance(session, batches.find(session, 1, ref or books.finished))
        session.rollback()
    return {violation.code for violation in found.violations}


def test_what_was_paid_for_and_decides_nothing_is_told_apart(books: Books) -> None:
    with books.database.snapshot() as session:
        found = balance(session, batches.find(session, 1, books.finished))
    assert (found.bad.attempts, found.bad.cost_nanos) == (1, 12)
    assert (found.wasted.attempts, found.wasted.cost_nanos) == (2, 59)  # late, and learned of


def test_books_without_damage_balance(books: Books) -> None:
    for ref in (books.finished, books.other, books.running):
        with books.database.snapshot() as session:
            assert balance(session, batches.find(session, 1, ref)).violations == []


@pytest.mark.parametrize("allowed", [REUSES, RETRIES])
def test_what_was_kept_from_an_earlier_batch_needs_no_call(books: Books, allowed: str) -> None:
    assert codes_after(books, allowed, kept()) == set()


@pytest.mark.parametrize(("code", "damage"), DAMAGES)
def test_a_damage_is_named(books: Books, code: str, damage: tuple[str, ...]) -> None:
    assert code in codes_after(books, *damage)


@pytest.mark.parametrize(("code", "damage"), RUNNING_DAMAGES)
def test_a_damage_to_a_batch_at_work_is_named(books: Books, code: str, damage: str) -> None:
    assert code in codes_after(books, damage, ref=books.running)


def test_two_jobs_of_one_name_are_told_where_the_constraint_is_gone(books: Books) -> None:
    if books.database.is_sqlite:
        pytest.skip("SQLite's constraint can't be dropped: without it there is no table")
    unbound = "ALTER TABLE job DROP CONSTRAINT uq_job_custom_id"
    renamed = of("job", "custom_id = 'job-1'")
    assert codes_after(books, unbound, renamed) == {"namesake_jobs"}


def test_slices_of_several_queues_lie_across_each_other(books: Books) -> None:
    """Each holds the jobs of its own queue in its range, and a job belongs to one."""
    queues = ["a", "b", "b", "a", "c", "a", "b", "a", "b", "b"]
    slicer = Slicer(2)
    with Session(books.database.engine) as session:
        batch_id, ref = uploads.begin(session, uploads.BatchDraft(project_id=1, defaults="{}"))
        rows = [
            (batch_id, seq, f"job-{seq}", "generation", queue, "{}", 10, b"f" * 16, None)
            for seq, queue in enumerate(queues)
        ]
        insert_chunk(session, rows)
        cut = [piece for seq, queue in enumerate(queues) if (piece := slicer.add(seq, queue))]
        insert_slices(session, batch_id, [*cut, *slicer.rest()])
        uploads.accept(session, batch_id, total_jobs=len(queues), total_slices=slicer.count)
        session.expire_all()
        assert balance(session, batches.find(session, 1, ref)).violations == []
        moved = f"UPDATE job SET queue = 'a' WHERE batch_id = {batch_id} AND seq = 2"  # noqa: S608  (a number)
        session.connection().execute(text(moved))
        found = balance(session, batches.find(session, 1, ref)).violations
        session.rollback()
    assert {violation.code for violation in found} == {"misfitting_slices"}
