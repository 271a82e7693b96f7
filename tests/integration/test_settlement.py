"""The two writes around a call, on both databases: money, results, totals and fences agree."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import col, select

from jobs.errors import CallBrokeDown
from jobs.exchange import Usage
from jobs.states import BatchState, Outcome, PauseCause, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import Admission, Journal, ResultDraft, Settlement, Unattempted
from jobs.store.batches import batches
from jobs.store.leases import leases
from jobs.store.money.ledger import UsageQuery, usage
from jobs.store.money.settlement import flush
from jobs.tables import Attempt, Result
from tests.support.rows import batch_of, journal_of, lease_of, leased, seed_batch
from workers.job.conclusions import unstorable

SPENT = Usage(input_tokens=7, output_tokens=3)
GOOD = ResultDraft(ResultStatus.SUCCEEDED, output='"fine"', finish_reason="complete")


def answered(journal: Journal, cost_nanos: int | None = 40) -> Settlement:
    return Settlement(
        journal=journal,
        outcome=Outcome.SUCCEEDED,
        usage=SPENT,
        cost_nanos=cost_nanos,
        latency_ms=5,
        result=GOOD,
    )


def admit(database: Database, *journals: Journal) -> list[Admission]:
    with database.write() as session:
        return flush(session, journals, [])


def settle(database: Database, *settlements: Settlement, again: bool = False) -> None:
    with database.write() as session:
        flush(session, [], settlements, again=again)


def results_of(database: Database) -> list[tuple[int, int, str]]:
    with database.read() as session:
        rows = session.exec(select(Result.seq, Result.position, Result.status))
        return sorted((seq, position, status) for seq, position, status in rows)


def test_money_is_reserved_by_the_journal_and_spent_by_the_settlement(database: Database) -> None:
    ref = seed_batch(database)
    journal = journal_of(lease_of(database, ref), 0)
    assert admit(database, journal) == [Admission.ADMITTED]
    during = batch_of(database, ref)
    assert (during.reserved_nanos, during.spent_nanos, during.in_flight) == (100, 0, 1)
    settle(database, answered(journal))
    after = batch_of(database, ref)
    assert (after.reserved_nanos, after.spent_nanos, after.in_flight) == (0, 40, 0)
    assert (after.succeeded, after.input_tokens, after.output_tokens) == (1, 7, 3)
    assert results_of(database) == [(0, 1, "succeeded")]


def test_flushing_the_same_work_again_changes_nothing(database: Database) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    first, second = journal_of(lease, 0), journal_of(lease, 1)
    decided = Unattempted(lease, 2, ResultDraft(ResultStatus.FAILED, error_code="unrunnable"))
    admit(database, first)
    for again in (False, True):
        with database.write() as session:
            admissions = flush(session, [second], [answered(first)], [decided], again=again)
        assert admissions == [Admission.ADMITTED]
    after = batch_of(database, ref)
    assert (after.succeeded, after.failed, after.spent_nanos) == (1, 1, 40)
    assert (after.in_flight, after.reserved_nanos) == (1, 100)
    assert [seq for seq, _, _ in results_of(database)] == [0, 2]


def test_a_budget_is_never_exceeded_and_pauses_the_batch_when_it_is_used_up(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = seed_batch(database, max_cost_nanos=250)
    lease = lease_of(database, ref)
    journals = [journal_of(lease, seq) for seq in range(4)]
    assert admit(database, *journals) == [
        Admission.ADMITTED,
        Admission.ADMITTED,
        Admission.NO_ROOM_YET,
        Admission.NO_ROOM_YET,
    ]
    settle(database, answered(journals[0], 90), answered(journals[1], 90))
    assert admit(database, journals[2]) == [Admission.NO_ROOM_YET]
    monkeypatch.setattr("jobs.store.money.admission.LAST_ROUND", timedelta())
    assert admit(database, journals[2]) == [Admission.RESTING]
    batch = batch_of(database, ref)
    assert batch.state == BatchState.PAUSED
    assert batch.waiting_for is not None
    assert "its budget of $0.00000025 is used up" in batch.waiting_for
    assert (batch.pause_cause, batch.needed_nanos) == (PauseCause.BATCH_BUDGET, 100)
    assert batch.spent_nanos == 180


def test_nothing_of_a_paused_batch_is_admitted(database: Database) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    with database.write() as session:
        batches.move(session, 1, ref, BatchState.PAUSED)
    assert admit(database, journal_of(lease, 0)) == [Admission.RESTING]


def test_a_late_worker_changes_no_result_but_its_cost_is_booked(database: Database) -> None:
    ref = seed_batch(database)
    late = journal_of(lease_of(database, ref, owner="late"), 0)
    admit(database, late)
    with database.write() as session:
        leases.give_back(session, late.lease)
    lost = batch_of(database, ref)
    assert (lost.unknown_attempts, lost.spent_nanos, lost.in_flight) == (1, 100, 0)

    second = journal_of(lease_of(database, ref, owner="next"), 0, n=2)
    admit(database, second)
    settle(database, answered(second, 30))
    settle(database, answered(late, 40))
    settle(database, answered(late, 40))
    after = batch_of(database, ref)
    assert (after.succeeded, after.unknown_attempts, after.spent_nanos) == (1, 0, 70)
    with database.read() as session:
        result = session.get(Result, (1, 0))
        outcomes = session.exec(select(Attempt.n, Attempt.outcome).order_by(col(Attempt.n))).all()
    assert result is not None
    assert result.attempt == 2
    assert list(outcomes) == [(1, "succeeded"), (2, "succeeded")]


def test_a_late_worker_may_not_journal_another_attempt(database: Database) -> None:
    ref = seed_batch(database)
    late = lease_of(database, ref, owner="late")
    with database.write() as session:
        leases.give_back(session, late)
    assert admit(database, journal_of(late, 0)) == [Admission.LEASE_LOST]


def test_the_ledger_agrees_with_the_batch(database: Database) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    journals = [journal_of(lease, seq) for seq in range(3)]
    admit(database, *journals)
    failed = Settlement(journals[1], Outcome.FAILED, error_code="server_failed")
    settle(database, answered(journals[0]), failed, answered(journals[2], None))
    with database.read() as session:
        rows = usage(session, UsageQuery(1, ["outcome"]))
    by_outcome = {row["outcome"]: row for row in rows}
    assert by_outcome["succeeded"]["attempts"] == 2
    assert by_outcome["succeeded"]["unpriced_attempts"] == 1
    assert by_outcome["failed"]["attempts"] == 1
    batch = batch_of(database, ref)
    assert sum(row["cost_nanos"] for row in rows) == batch.spent_nanos == 40
    assert batch.unpriced_jobs == 1


@pytest.mark.parametrize("text", ["", "\U0001f30a", "a\\u0000b", "x" * 300_000])
def test_any_output_is_stored_as_it_is(database: Database, text: str) -> None:
    ref = seed_batch(database)
    journal = journal_of(lease_of(database, ref), 0)
    admit(database, journal)
    draft = ResultDraft(ResultStatus.SUCCEEDED, output=f'"{text}"')
    settle(database, Settlement(journal, Outcome.SUCCEEDED, usage=SPENT, result=draft))
    with database.read() as session:
        result = session.get(Result, (1, 0))
    assert result is not None
    assert result.output == f'"{text}"'


def test_a_retried_journal_is_not_admitted_on_the_attempt_of_another_worker(
    database: Database,
) -> None:
    ref = seed_batch(database)
    late = journal_of(lease_of(database, ref, owner="late"), 0)
    with database.write() as session:
        leases.give_back(session, late.lease)
    admit(database, journal_of(lease_of(database, ref, owner="next"), 0))
    with database.write() as session:
        assert flush(session, [late], [], again=True) == [Admission.LEASE_LOST]


def test_a_late_answer_that_was_held_through_an_outage_is_booked_all_the_same(
    database: Database,
) -> None:
    ref = seed_batch(database)
    late = journal_of(lease_of(database, ref, owner="late"), 0)
    admit(database, late)
    with database.write() as session:
        leases.give_back(session, late.lease)
    for _ in range(2):
        settle(database, answered(late, 40), again=True)
    batch = batch_of(database, ref)
    assert (batch.unknown_attempts, batch.spent_nanos, batch.succeeded) == (0, 40, 0)


def test_a_row_that_is_too_large_for_the_database_is_no_outage(database: Database) -> None:
    lease = lease_of(database, seed_batch(database))
    unique = "".join(chr(0x4E00 + number) for number in range(10_000))  # it can't be compressed
    journal = replace(journal_of(lease, 0), model=unique)
    with database.write() as session:
        flush(session, [journal], [])

    def settle() -> None:
        with database.write() as session:
            flush(session, [], [Settlement(journal, Outcome.SUCCEEDED)])

    if database.is_sqlite:
        settle()
    else:
        with pytest.raises(OperationalError, match="index row"):
            settle()


def test_an_end_that_the_database_never_takes_leaves_room_for_one_at_the_worst_case(
    database: Database,
) -> None:
    ref = seed_batch(database)
    journal = journal_of(lease_of(database, ref), 0)
    admit(database, journal)
    with pytest.raises((OverflowError, DBAPIError)) as raised:
        settle(database, answered(journal, 2**70))
    assert not isinstance(raised.value, OperationalError)
    settle(database, unstorable(journal))
    after = batch_of(database, ref)
    assert (after.reserved_nanos, after.spent_nanos, after.in_flight) == (0, 100, 0)
    assert (after.failed, after.unknown_attempts) == (1, 1)
    assert results_of(database) == [(0, 1, "failed")]


def test_an_attempt_whose_end_was_lost_by_a_fault_of_our_own_counts(database: Database) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    admit(database, journal_of(lease, 0))
    with database.write() as session:
        leases.give_back(session, lease, error_code=CallBrokeDown.code)
    _lease, [job, *_] = leased(database, ref)
    assert (job.last_attempt, job.counted_attempts, job.lost_workers) == (1, 1, 0)
    assert batch_of(database, ref).spent_nanos == 100
