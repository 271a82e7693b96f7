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
from jobs.ingest import Slicer
from jobs.states import Outcome
from jobs.store import Database, batches, budgets, slices
from jobs.store.balance import balance
from jobs.store.jobs import insert_chunk, insert_slices
from jobs.store.reports import Correction, Journal, Settlement
from jobs.store.settlement import flush, reconcile
from tests.support import postgres
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
    with postgres.fresh_database(server) as url, migrated(url) as database:
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
        slices.give_back(session, story.lease)
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


def of(table: str, change: str, where: str = "seq = 0") -> str:
    return f"UPDATE {table} SET {change} WHERE batch_id = 1 AND {where}"  # noqa: S608  (a test's own words)


def batch(change: str) -> str:
    return f"UPDATE batch SET {change} WHERE id = 1"  # noqa: S608  (a test's own words)


def ledger(change: str, where: str = "outcome = 'succeeded' AND model = 'sim-small'") -> str:
    return f"UPDATE ledger_day SET {change} WHERE {where}"  # noqa: S608  (a test's own words)


TOKENS = Usage.__struct_fields__
SUMS = ("attempts", "unpriced_attempts", *TOKENS, "cost_nanos")

DAMAGES: list[tuple[str, tuple[str, ...]]] = [
    # The batch's totals.
    ("missing_jobs", (batch("total_jobs = total_jobs + 1"),)),
    ("stray_jobs", (batch("total_jobs = total_jobs - 1"),)),
    ("miscounted_slices", (batch("total_slices = total_slices + 1"),)),
    ("misnumbered_slices", (batch("total_slices = total_slices - 1"),)),
    ("miscounted_done_slices", (batch("done_slices = done_slices - 1"),)),
    ("miscounted_succeeded", (batch("succeeded = succeeded + 1"),)),
    ("miscounted_failed", (batch("failed = failed - 1"),)),
    ("miscounted_failed", (batch("failed = failed - 1, succeeded = succeeded + 1"),)),
    ("miscounted_cancelled", (batch("cancelled = cancelled + 1, failed = failed - 1"),)),
    ("miscounted_expired", (batch("expired = -1, failed = failed + 1"),)),
    ("miscounted_in_flight", (batch("in_flight = 1"),)),
    ("miscounted_unpriced", (batch("unpriced_jobs = 0"),)),
    ("miscounted_bad", (batch("bad_answers = 0"),)),
    ("drift_bad", (batch("bad_nanos = bad_nanos - 1"),)),
    ("miscounted_bad", (of("attempt", "error_code = NULL", "seq = 3 AND n = 2"),)),
    ("unbacked_results", (of("attempt", "error_code = 'refused'"),)),
    ("miscounted_unknown", (batch("unknown_attempts = unknown_attempts - 1"),)),
    *((f"drift_{name}", (batch(f"{name} = {name} + 1"),)) for name in TOKENS),
    ("drift_batch", (batch("spent_nanos = spent_nanos + 1"),)),
    ("drift_ledger", (batch("spent_nanos = spent_nanos - 1"),)),
    ("drift_reserved", (batch("reserved_nanos = 1"),)),
    ("reserved", (batch("reserved_nanos = 1"),)),
    ("wrong_state", (batch("state = 'failed'"),)),
    ("wrong_state", (batch("state = 'running', finished_at = NULL"),)),
    ("wrong_state", (
        batch("cancelled = 1, succeeded = succeeded - 1"),
        of("result", "status = 'cancelled'"),
    )),
    # Jobs.
    ("missing_jobs", ("DELETE FROM job WHERE batch_id = 1 AND seq = 3",)),
    ("stray_jobs", (of("job", "seq = 99"),)),
    ("missing_jobs", (of("job", "seq = 99"),)),
    ("stray_jobs", (of("job", "seq = -1"),)),
    ("misfitting_slices", (of("job", "queue = 'another'"),)),
    # Slices.
    ("miscounted_slices", ("DELETE FROM slice WHERE batch_id = 1 AND no = 1",)),
    ("miscounted_slice_jobs", ("DELETE FROM slice WHERE batch_id = 1 AND no = 1",)),
    ("miscounted_slice_jobs", (of("slice", "jobs = 3", "no = 1"),)),
    ("misfitting_slices", (of("slice", "jobs = jobs + (CASE no WHEN 1 THEN 1 ELSE -1 END)", "no > 0"),)),
    ("misfitting_slices", (of("slice", "last_seq = 6", "no = 1"),)),
    ("misfitting_slices", (of("slice", "first_seq = 5", "no = 1"),)),
    ("misfitting_slices", (of("slice", "queue = 'another'", "no = 1"),)),
    ("overlapping_slices", (of("slice", "first_seq = 3", "no = 1"),)),
    ("overlapping_slices", (of("slice", "last_seq = 8", "no = 1"),)),
    ("misnumbered_slices", (of("slice", "no = 7", "no = 1"),)),
    ("open_slices", (of("slice", "state = 'waiting'", "no = 2"),)),
    ("miscounted_done_slices", (of("slice", "state = 'fed'", "no = 2"),)),
    # Results.
    ("lost_jobs", ("DELETE FROM result WHERE batch_id = 1 AND seq = 0",)),
    ("miscounted_succeeded", ("DELETE FROM result WHERE batch_id = 1 AND seq = 0",)),
    ("misplaced_results", ("DELETE FROM result WHERE batch_id = 1 AND seq = 0",)),
    ("lost_jobs", (
        "DELETE FROM result WHERE batch_id = 1 AND seq = 11",
        batch("succeeded = succeeded - 1"),
    )),
    ("stray_results", (of("result", "seq = 12"),)),
    ("stray_results", (of("result", "seq = -1"),)),
    ("misplaced_results", (of("result", "position = 99"),)),
    ("misplaced_results", (of("result", "position = 0"),)),
    ("miscounted_failed", (of("result", "status = 'failed', error_code = 'x'"),)),
    ("misshapen_results", (of("result", "status = 'failed'"),)),
    ("misshapen_results", (of("result", "output = NULL"),)),
    ("misshapen_results", (of("result", "finish_reason = NULL"),)),
    ("misshapen_results", (of("result", "error_code = 'x'"),)),
    ("misshapen_results", (of("result", "error_code = NULL", "seq = 4"),)),
    ("misshapen_results", (of("result", "source = 'cache'"),)),
    ("dangling_results", (of("result", "attempt = 9"),)),
    ("dangling_results", (of("result", "attempt = 0"),)),
    ("unbacked_results", (of("result", "attempt = NULL"),)),
    ("unbacked_results", (of("result", "attempt = 1", "seq = 3"),)),
    ("attempts_after_result", (of("result", "attempt = 1", "seq = 1"),)),
    ("unbacked_results", (of("result", "status = 'succeeded', attempt = 1", "seq = 5"),)),
    # Attempts.
    ("dangling_results", ("DELETE FROM attempt WHERE batch_id = 1 AND seq = 0",)),
    ("drift_batch", ("DELETE FROM attempt WHERE batch_id = 1 AND seq = 0",)),
    ("drift_ledger_day", ("DELETE FROM attempt WHERE batch_id = 1 AND seq = 3 AND n = 1",)),
    ("skipped_attempts", ("DELETE FROM attempt WHERE batch_id = 1 AND seq = 3 AND n = 1",)),
    ("skipped_attempts", (of("attempt", "n = 5", "seq = 3 AND n = 2"),)),
    ("misnumbered_attempts", (of("attempt", "n = 0"),)),
    ("stray_attempts", (of("attempt", "seq = 12"),)),
    ("stray_attempts", (of("attempt", "seq = -1"),)),
    ("drift_batch", (of("attempt", "batch_id = 2, n = 5"),)),
    ("open_attempts", (of("attempt", "outcome = NULL"),)),
    ("miscounted_in_flight", (of("attempt", "outcome = NULL"),)),
    ("misshapen_attempts", (of("attempt", "outcome = NULL"),)),
    ("unbacked_results", (of("attempt", "outcome = 'limited'"),)),
    ("misshapen_attempts", (of("attempt", "outcome = 'failed'"),)),
    ("misshapen_attempts", (of("attempt", "outcome = 'rejected'", "seq = 1 AND n = 1"),)),
    ("drift_ledger_day", (of("attempt", "outcome = 'unsent'", "seq = 3 AND n = 1"),)),
    ("miscosted_attempts", (of("attempt", "outcome = 'unknown'", "seq = 5"),)),
    ("miscounted_unknown", (of("attempt", "outcome = 'unknown'", "seq = 5"),)),
    *(("drift_ledger_day", (of("attempt", f"{name} = 'x'"),)) for name in ("provider", "pool", "model")),
    ("miscosted_attempts", (of("attempt", "cost_nanos = cost_nanos + 1"),)),
    ("miscosted_attempts", (of("attempt", "cost_nanos = NULL"),)),
    ("miscosted_attempts", (
        of("attempt", "cost_nanos = cost_nanos + 1"),
        of("attempt", "cost_nanos = cost_nanos - 1", "seq = 9"),
    )),
    ("miscosted_attempts", (of("attempt", "cost_nanos = 1", "seq = 2"),)),
    ("miscosted_attempts", (of("attempt", "cost_nanos = 1", "seq = 5"),)),
    ("miscosted_attempts", (of("attempt", "cost_nanos = 1", "seq = 7"),)),
    ("miscosted_attempts", (of("attempt", "cost_nanos = NULL", "seq = 1 AND n = 1"),)),
    ("drift_batch", (of("attempt", "cost_nanos = 53", "seq = 1 AND n = 1"),)),
    ("miscosted_attempts", (of("attempt", "price = '[[0,9000000,1,1,1]]'"),)),
    ("miscosted_attempts", (of("attempt", "price = 'x'"),)),
    ("miscosted_attempts", (of("attempt", "price = NULL, reserved_nanos = 0"),)),
    ("misshapen_attempts", (of("attempt", "price = NULL"),)),
    ("misshapen_attempts", (of("attempt", "reconciled_at = sent_at", "seq = 3 AND n = 1"),)),
    ("miscosted_attempts", (
        of("attempt", "input_tokens = input_tokens + 1"),
        of("attempt", "input_tokens = input_tokens - 1", "seq = 9"),
    )),
    ("miscosted_attempts", (of("attempt", "input_tokens = 9000000000000000000"),)),
    *((f"drift_{name}", (of("attempt", f"{name} = {name} + 1"),)) for name in TOKENS),
    *(("drift_ledger_day", (of("attempt", f"{name} = {name} + 1"),)) for name in TOKENS),
    *(("misshapen_attempts", (of("attempt", f"{name} = NULL"),)) for name in TOKENS),
    *(
        ("negative_attempts", (of("attempt", f"{name} = -1"),))
        for name in (*TOKENS, "cost_nanos", "reserved_nanos", "latency_ms")
    ),
    ("miscosted_attempts", (of("attempt", "reserved_nanos = 1", "seq = 4 AND n = 2"),)),
    # The project's ledger.
    *(("drift_ledger_day", (ledger(f"{name} = {name} + 1"),)) for name in SUMS),
    *(("negative_ledger", (ledger(f"{name} = -1"),)) for name in SUMS),
    ("drift_ledger", (ledger("cost_nanos = cost_nanos - 1"),)),
    ("drift_ledger_day", (
        ledger("cost_nanos = cost_nanos - 1"),
        ledger("cost_nanos = cost_nanos + 1", "outcome = 'unknown'"),
    )),
    ("drift_ledger_day", (ledger("model = 'x'"),)),
    ("drift_ledger_day", (ledger("pool = 'x'"),)),
    ("drift_ledger_day", (ledger("provider = 'x'"),)),
    ("drift_ledger_day", (ledger("outcome = 'unsent'"),)),
    ("drift_ledger_day", (ledger("project_id = 7"),)),
    ("drift_ledger_day", ("DELETE FROM ledger_day WHERE outcome = 'limited'",)),
    ("booked_before_sent", (ledger("day = '2020-01-01'"),)),
    ("drift_ledger_day", (
        "UPDATE attempt SET output_tokens = output_tokens + 1 WHERE batch_id = 2 AND seq = 0 AND n = 2",
    )),
    ("drift_ledger", ("UPDATE batch SET spent_nanos = spent_nanos + 1 WHERE id = 2",)),
    # The account of the project's caps.
    ("drift_spend_day", ("UPDATE spend_day SET spent_nanos = spent_nanos + 1",)),
    ("drift_spend_day", ("UPDATE spend_day SET spent_nanos = spent_nanos - 1",)),
    ("drift_spend_day", ("UPDATE spend_day SET spent_nanos = -1",)),
    ("drift_spend_day", ("DELETE FROM spend_day",)),
    ("drift_spend_day", ("INSERT INTO spend_day VALUES (1, '2020-01-01', 5, 0)",)),
    ("drift_spend_reserved", ("UPDATE spend_day SET reserved_nanos = reserved_nanos + 1",)),
    ("drift_spend_reserved", ("UPDATE spend_day SET reserved_nanos = 0",)),
    ("stray_spend_days", ("DELETE FROM project_budget",)),
]  # fmt: skip


@pytest.mark.parametrize(("code", "damage"), DAMAGES)
def test_a_damage_is_named(books: Books, code: str, damage: tuple[str, ...]) -> None:
    assert code in codes_after(books, *damage)


RUNNING_DAMAGES = [
    ("lost_jobs", "DELETE FROM result WHERE batch_id = 3 AND seq = 1"),
    ("miscounted_succeeded", "DELETE FROM result WHERE batch_id = 3 AND seq = 1"),
    ("lost_jobs", "UPDATE slice SET state = 'done', owner = NULL WHERE batch_id = 3 AND no = 1"),
    ("wrong_state", "UPDATE slice SET state = 'done', owner = NULL WHERE batch_id = 3 AND no = 1"),
    ("drift_reserved", "UPDATE attempt SET reserved_nanos = 1 WHERE batch_id = 3 AND seq = 3"),
    ("drift_spend_reserved", "UPDATE attempt SET reserved_nanos = 1 WHERE batch_id = 3 AND seq = 3"),
    ("misshapen_attempts", "UPDATE attempt SET latency_ms = 1 WHERE batch_id = 3 AND seq = 3"),
    ("misshapen_attempts", "UPDATE attempt SET error_code = 'x' WHERE batch_id = 3 AND seq = 3"),
    ("misshapen_attempts", "UPDATE attempt SET cost_nanos = 1 WHERE batch_id = 3 AND seq = 3"),
    ("miscounted_in_flight", "DELETE FROM attempt WHERE batch_id = 3 AND seq = 3"),
]  # fmt: skip


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
        batch_id, ref = batches.begin(session, batches.BatchDraft(project_id=1, defaults="{}"))
        rows = [
            (batch_id, seq, f"job-{seq}", "generation", queue, "{}", 10, b"f" * 16, None)
            for seq, queue in enumerate(queues)
        ]
        insert_chunk(session, rows)
        cut = [piece for seq, queue in enumerate(queues) if (piece := slicer.add(seq, queue))]
        insert_slices(session, batch_id, [*cut, *slicer.rest()])
        batches.accept(session, batch_id, total_jobs=len(queues), total_slices=slicer.count)
        session.expire_all()
        assert balance(session, batches.find(session, 1, ref)).violations == []
        moved = f"UPDATE job SET queue = 'a' WHERE batch_id = {batch_id} AND seq = 2"  # noqa: S608  (a number)
        session.connection().execute(text(moved))
        found = balance(session, batches.find(session, 1, ref)).violations
        session.rollback()
    assert {violation.code for violation in found} == {"misfitting_slices"}
