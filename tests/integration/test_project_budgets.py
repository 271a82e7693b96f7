"""Daily and monthly caps of a project, on both databases: what counts, what pauses, what goes on."""

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import pytest
from celery import Celery
from sqlalchemy import update
from sqlmodel import select

from jobs.states import BatchState, Outcome, PauseCause, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import Admission, Journal, ResultDraft, Settlement
from jobs.store.batches import batches
from jobs.store.leases import leases
from jobs.store.leases.leases import Lease
from jobs.store.money import budgets
from jobs.store.money.budgets import CapName
from jobs.store.money.settlement import flush
from jobs.tables import LedgerDay, SpendDay
from tests.support.rows import batch_of, journal_of, lease_of, seed_batch
from workers.clock.sweep import Sweep

GOOD = ResultDraft(ResultStatus.SUCCEEDED, output='"fine"')
PROJECT = 1


class Clock:
    """The database's clock, as far as money looks at it."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 30, 22, 0, tzinfo=UTC)

    def __call__(self, _session: object) -> datetime:
        return self.moment


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in ("money.settlement", "attempts.attempts", "money.budgets"):
        monkeypatch.setattr(f"jobs.store.{module}.now", clock)
    return clock


@pytest.fixture(autouse=True)
def _no_last_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.store.money.admission.LAST_ROUND", timedelta())


def cap(database: Database, **changes: int | None) -> None:
    names: dict[str, CapName] = {"daily": "daily_nanos", "monthly": "monthly_nanos"}
    with database.write() as session:
        budgets.set_caps(session, PROJECT, {names[name]: nanos for name, nanos in changes.items()})


def admit(database: Database, *journals: Journal) -> list[Admission]:
    with database.write() as session:
        return flush(session, journals, [])


def settle(database: Database, journal: Journal, cost_nanos: int) -> None:
    made = Settlement(journal, Outcome.SUCCEEDED, cost_nanos=cost_nanos, result=GOOD)
    with database.write() as session:
        flush(session, [], [made])


def spend(database: Database, lease: Lease, seq: int, nanos: int) -> None:
    journal = journal_of(lease, seq)
    assert admit(database, journal) == [Admission.ADMITTED]
    settle(database, journal, nanos)


def days(database: Database) -> dict[date, tuple[int, int]]:
    with database.read() as session:
        rows = session.exec(select(SpendDay)).all()
    return {row.day: (row.spent_nanos, row.reserved_nanos) for row in rows}


def test_a_projects_cap_holds_over_all_its_batches(database: Database, clock: Clock) -> None:
    first, second = (lease_of(database, seed_batch(database)) for _ in range(2))
    cap(database, daily=250)
    wishes = [journal_of(first, 0), journal_of(second, 0), journal_of(first, 1)]
    assert admit(database, *wishes) == [Admission.ADMITTED] * 2 + [Admission.NO_ROOM_YET]
    assert days(database) == {clock.moment.date(): (0, 200)}
    settle(database, wishes[0], 90)
    assert admit(database, journal_of(second, 1)) == [Admission.NO_ROOM_YET]
    settle(database, wishes[1], 20)
    assert admit(database, journal_of(first, 1)) == [Admission.ADMITTED]


def test_a_batch_that_a_cap_has_paused_says_which_and_goes_on_with_the_new_day(
    database: Database, clock: Clock
) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    cap(database, daily=150, monthly=350)
    spend(database, lease, 0, 90)
    assert admit(database, journal_of(lease, 1)) == [Admission.RESTING]
    batch = batch_of(database, ref)
    assert (batch.state, batch.pause_cause) == (BatchState.PAUSED, PauseCause.DAILY_BUDGET)
    assert batch.waiting_for is not None
    assert "budget of $0.00000015 a day is used up until 00:00 UTC" in batch.waiting_for
    sweep = Sweep(database, Celery())
    sweep.resume_batches()
    assert batch_of(database, ref).state == BatchState.PAUSED
    clock.moment += timedelta(hours=2)
    sweep.resume_batches()
    batch = batch_of(database, ref)
    assert (batch.state, batch.pause_cause, batch.waiting_for) == (BatchState.RUNNING, None, None)
    assert admit(database, journal_of(lease, 1)) == [Admission.ADMITTED]
    assert days(database) == {date(2026, 3, 30): (90, 0), date(2026, 3, 31): (0, 100)}


def test_a_month_is_the_sum_of_its_days_and_outlives_them(database: Database, clock: Clock) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    cap(database, daily=1000, monthly=150)
    spend(database, lease, 0, 90)
    clock.moment += timedelta(days=1)
    assert admit(database, journal_of(lease, 1)) == [Admission.RESTING]
    batch = batch_of(database, ref)
    assert batch.pause_cause == PauseCause.MONTHLY_BUDGET
    assert "a month is used up until 2026-04-01 00:00 UTC" in (batch.waiting_for or "")
    clock.moment += timedelta(days=1)
    Sweep(database, Celery()).resume_batches()
    assert admit(database, journal_of(lease, 1)) == [Admission.ADMITTED]


def test_what_was_spent_before_the_cap_was_set_counts(database: Database, clock: Clock) -> None:
    lease = lease_of(database, seed_batch(database))
    spend(database, lease, 0, 40)
    clock.moment += timedelta(days=1)
    spend(database, lease, 1, 30)
    in_flight = journal_of(lease, 2)
    admit(database, in_flight)
    cap(database, daily=200, monthly=1000)
    assert days(database) == {date(2026, 3, 30): (40, 0), date(2026, 3, 31): (30, 100)}
    assert admit(database, journal_of(lease, 3)) == [Admission.NO_ROOM_YET]
    settle(database, in_flight, 25)
    assert days(database)[date(2026, 3, 31)] == (55, 0)
    with database.read() as session:
        stands = budgets.standing(session, PROJECT)
    assert (stands.day.spent_nanos, stands.month.spent_nanos) == (55, 95)
    cap(database, daily=None, monthly=None)
    assert days(database) == {}
    with database.read() as session:
        assert budgets.standing(session, PROJECT).month.spent_nanos == 95


def test_what_was_reserved_on_one_day_is_settled_there_on_the_next(
    database: Database, clock: Clock
) -> None:
    lease = lease_of(database, seed_batch(database))
    cap(database, daily=250)
    late = [journal_of(lease, 0), journal_of(lease, 1)]
    admit(database, *late)
    clock.moment += timedelta(hours=3)
    early = journal_of(lease, 2)
    assert admit(database, early) == [Admission.ADMITTED]
    settle(database, late[0], 60)
    settle(database, early, 10)
    settle(database, late[1], 5)
    assert days(database) == {date(2026, 3, 30): (65, 0), date(2026, 3, 31): (10, 0)}


def test_a_lost_call_stays_charged_to_its_day_and_a_late_answer_corrects_it_there(
    database: Database, clock: Clock
) -> None:
    lease = lease_of(database, seed_batch(database))
    cap(database, daily=250)
    lost = journal_of(lease, 0)
    admit(database, lost)
    clock.moment += timedelta(hours=3)
    with database.write() as session:
        leases.give_back(session, lease)
    assert days(database) == {date(2026, 3, 30): (100, 0)}
    for _ in range(2):
        settle(database, lost, 40)
    assert days(database) == {date(2026, 3, 30): (40, 0)}
    with database.read() as session:
        sums = {
            (row.day, row.outcome): (row.attempts, row.cost_nanos)
            for row in session.exec(select(LedgerDay))
        }
    assert sums == {
        (date(2026, 3, 30), Outcome.UNKNOWN): (0, 0),
        (date(2026, 3, 30), Outcome.SUCCEEDED): (1, 40),
    }


def paused_by_day(database: Database) -> tuple[str, Lease]:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    cap(database, daily=150)
    spend(database, lease, 0, 100)
    assert admit(database, journal_of(lease, 1)) == [Admission.RESTING]
    return ref, lease


@pytest.mark.usefixtures("clock")
def test_a_raised_cap_lets_its_batches_go_on_in_the_same_transaction(database: Database) -> None:
    ref, _ = paused_by_day(database)
    cap(database, daily=199)
    assert batch_of(database, ref).state == BatchState.PAUSED
    assert "$0.000000199 a day" in (batch_of(database, ref).waiting_for or "")
    cap(database, daily=200)
    assert batch_of(database, ref).state == BatchState.RUNNING


def raise_cap(database: Database, _ref: str) -> None:
    cap(database, daily=None)


def sweep_up(database: Database, _ref: str) -> None:
    Sweep(database, Celery()).resume_batches()


def raise_max_cost(database: Database, ref: str) -> None:
    with database.write() as session:
        budgets.set_max_cost(session, PROJECT, ref, None)


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("change", [raise_cap, sweep_up, raise_max_cost])
def test_a_pause_of_the_owner_is_ended_by_nobody_else(
    database: Database, change: Callable[[Database, str], None]
) -> None:
    ref, _ = paused_by_day(database)
    with database.write() as session:
        batches.move(session, PROJECT, ref, BatchState.PAUSED)
    change(database, ref)
    batch = batch_of(database, ref)
    assert (batch.state, batch.pause_cause) == (BatchState.PAUSED, PauseCause.OWNER)
    assert batch.waiting_for == batches.PAUSED_BY_OWNER


@pytest.mark.usefixtures("clock")
def test_a_raised_batch_budget_goes_on_unless_the_projects_is_used_up_as_well(
    database: Database,
) -> None:
    ref = seed_batch(database, max_cost_nanos=150)
    lease = lease_of(database, ref)
    cap(database, daily=180)
    spend(database, lease, 0, 100)
    assert admit(database, journal_of(lease, 1)) == [Admission.RESTING]
    assert batch_of(database, ref).pause_cause == PauseCause.BATCH_BUDGET
    raise_max_cost(database, ref)
    assert batch_of(database, ref).pause_cause == PauseCause.DAILY_BUDGET
    cap(database, daily=None)
    assert batch_of(database, ref).state == BatchState.RUNNING


@pytest.mark.usefixtures("clock")
def test_a_cap_below_what_is_used_is_taken_and_nothing_more_is_sent(database: Database) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    cap(database, daily=1000)
    journal = journal_of(lease, 0)
    admit(database, journal)
    cap(database, daily=10)
    assert admit(database, journal_of(lease, 1)) == [Admission.NO_ROOM_YET]
    settle(database, journal, 50)
    assert admit(database, journal_of(lease, 1, reserved_nanos=1)) == [Admission.RESTING]
    assert "$0.00000004 more than that is used already" in (
        batch_of(database, ref).waiting_for or ""
    )


@pytest.mark.usefixtures("clock")
def test_without_a_price_nothing_goes_out_under_a_cap(database: Database) -> None:
    def unpriced(lease: Lease) -> Journal:
        return Journal(lease, 5, 1, "sim", "main", "mystery", price=None, reserved_nanos=0)

    free = lease_of(database, seed_batch(database))
    capped = lease_of(database, seed_batch(database, max_cost_nanos=10**9))
    assert admit(database, unpriced(capped)) == [Admission.UNPRICED]
    assert admit(database, unpriced(free)) == [Admission.ADMITTED]
    cap(database, monthly=10**9)
    other = lease_of(database, seed_batch(database))
    assert admit(database, unpriced(other)) == [Admission.UNPRICED]


@pytest.mark.usefixtures("clock")
def test_smaller_calls_use_what_is_left_before_the_batch_pauses(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.store.money.admission.LAST_ROUND", timedelta(seconds=3))
    ref = seed_batch(database, max_cost_nanos=1000)
    lease = lease_of(database, ref)
    spend_all = journal_of(lease, 0, reserved_nanos=900)
    admit(database, spend_all)
    settle(database, spend_all, 900)
    large = journal_of(lease, 1, reserved_nanos=500)
    for seq in range(2, 5):
        assert admit(database, large) == [Admission.NO_ROOM_YET]
        clock.moment += timedelta(seconds=2)
        small = journal_of(lease, seq, reserved_nanos=30)
        assert admit(database, small) == [Admission.ADMITTED]
        settle(database, small, 30)
    assert admit(database, large) == [Admission.NO_ROOM_YET]
    clock.moment += timedelta(seconds=4)
    assert admit(database, journal_of(lease, 5, reserved_nanos=40)) == [Admission.RESTING]
    batch = batch_of(database, ref)
    assert (batch.spent_nanos, batch.needed_nanos) == (990, 40)
    sweep_up(database, ref)
    assert batch_of(database, ref).state == BatchState.PAUSED


def test_workers_that_journal_and_settle_while_the_first_cap_is_set_keep_the_account_right(
    database: Database,
) -> None:
    leases = [lease_of(database, seed_batch(database, jobs=60, slice_size=60)) for _ in range(4)]
    faults: list[BaseException] = []

    def work(lease: Lease) -> None:
        try:
            for seq in range(60):
                spend(database, lease, seq, 7)
        except BaseException as fault:  # noqa: BLE001  (the test looks at them)
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for _ in range(5):
        cap(database, daily=10**9)
        cap(database, daily=None)
    cap(database, daily=10**9, monthly=10**9)
    for thread in threads:
        thread.join()
    assert faults == []
    spent_nanos = sum(spent for spent, _ in days(database).values())
    assert spent_nanos == 4 * 60 * 7
    assert sum(reserved for _, reserved in days(database).values()) == 0


def test_a_cap_counts_no_other_projects_money(database: Database, clock: Clock) -> None:
    lease = lease_of(database, seed_batch(database))
    spend(database, lease, 0, 60)
    with database.write() as session:
        session.connection().execute(update(LedgerDay).values(project_id=7))
    cap(database, daily=100)
    assert days(database) == {}
    assert admit(database, journal_of(lease, 1)) == [Admission.ADMITTED]
    assert days(database) == {clock.moment.date(): (0, 100)}
