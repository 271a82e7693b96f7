"""Money under every order of events: never over a cap, never leaked, the same in all books.

Two batches of one project; hypothesis chooses what happens to them, and chooses anew in each run of the
suite. The model knows each attempt's day and charge, and what the books must be follows from that.

`TIDEMILL_MONEY_EXAMPLES` is how many lives of a project are tried on each database; more than the default
is for a person with time, after a change of the books.
"""

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlmodel import func, select

from jobs.states import FED_BATCH_STATES, BatchState, Outcome, PauseCause
from jobs.store import Database
from jobs.store.attempts.reports import Admission, Journal, Settlement
from jobs.store.batches import batches
from jobs.store.leases import leases
from jobs.store.money import budgets
from jobs.store.money.settlement import flush
from jobs.store.projects import ensure_project
from jobs.store.proof.balance import balance
from jobs.tables import Batch, LedgerDay, SpendDay
from tests.support.rows import journal_of, seed_batch

EXAMPLES = int(os.environ.get("TIDEMILL_MONEY_EXAMPLES", "10"))
STEPS = 50
NUMBERS = itertools.count()

# Small figures, so that what is left is often just what is asked for.
AMOUNTS = st.integers(min_value=1, max_value=4)
CAPS = st.integers(min_value=0, max_value=20)
WHICH = st.integers(min_value=0, max_value=1)


Counts = Callable[["Call"], bool]

MADE_UP = {"miscosted_attempts", "skipped_attempts"}
"""Of rows by themselves: the costs here follow from no tokens, and numbers are given over both batches."""


class Clock:
    moment = datetime(2026, 3, 29, 12, 0, tzinfo=UTC)

    def __call__(self, _session: object) -> datetime:
        return self.moment


@dataclass
class Call:
    """An attempt as the model knows it. `charged` is its worst case until its cost is known."""

    journal: Journal
    batch: int
    day: date
    charged: int
    is_open: bool = True
    is_unknown: bool = False


class Money(RuleBasedStateMachine):
    """One project in the database of the test; another one for each example."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__()
        self.database, self.clock = database, clock
        clock.moment = Clock.moment
        project = f"project-{next(NUMBERS)}"
        with database.write() as session:
            self.project_id = ensure_project(session, project)
        self.refs = [seed_batch(database, jobs=1, slice_size=1, project=project) for _ in range(2)]
        self.leases = [self.lease(ref) for ref in self.refs]
        self.is_held = [True, True]
        self.max_cost: list[int | None] = [None, None]
        self.daily: int | None = None
        self.monthly: int | None = None
        self.is_exact = True
        """Whether the account was open all the time: it may count too much where it was not."""
        self.calls: list[Call] = []
        self.attempts = itertools.count(1)
        self.set_caps(daily=20, monthly=None)

    def lease(self, ref: str) -> leases.Lease:
        with self.database.write() as session:
            claimed = leases.claim(session, ref, 0, "worker-1")
        assert claimed is not None
        return claimed[0]

    @rule(which=WHICH, reserved=AMOUNTS)
    def journal(self, which: int, reserved: int) -> None:
        wish = journal_of(self.leases[which], 0, next(self.attempts), reserved)
        was = self.batch(which)
        with self.database.write() as session:
            (said,) = flush(session, [wish], [])
        fits = self.fits(which, reserved)
        if not self.is_held[which]:
            assert said is Admission.LEASE_LOST
        elif was.state not in FED_BATCH_STATES:
            assert said is Admission.RESTING
        elif said is Admission.ADMITTED:
            assert fits
            self.calls.append(Call(wish, which, self.clock.moment.date(), reserved))
        else:
            assert not fits or not self.is_exact
            waits = self.used(lambda call: call.batch == which and call.is_open) > 0
            assert said is (Admission.NO_ROOM_YET if waits else Admission.RESTING)

    @precondition(lambda self: any(call.is_open for call in self.calls))
    @rule(data=st.data(), share=st.integers(min_value=0, max_value=4), is_lost=st.booleans())
    def settle(self, data: st.DataObject, share: int, is_lost: bool) -> None:
        call = data.draw(st.sampled_from([call for call in self.calls if call.is_open]))
        cost = call.charged if is_lost else min(share, call.charged)
        outcome = Outcome.UNKNOWN if is_lost else Outcome.FAILED
        for again in (False, True):
            with self.database.write() as session:
                made = Settlement(call.journal, outcome, cost_nanos=cost)
                flush(session, [], [made], again=again)
        call.is_open, call.charged = False, cost

    @rule(which=WHICH)
    def lose_the_worker(self, which: int) -> None:
        if not self.is_held[which]:
            return
        self.is_held[which] = False
        with self.database.write() as session:
            leases.give_back(session, self.leases[which])
        for call in self.calls:
            if call.batch == which and call.is_open:
                call.is_open, call.is_unknown = False, True
        self.lease_again()

    @precondition(lambda self: any(call.is_unknown for call in self.calls))
    @rule(data=st.data(), cost=st.integers(min_value=0, max_value=4))
    def answer_late(self, data: st.DataObject, cost: int) -> None:
        call = data.draw(st.sampled_from([call for call in self.calls if call.is_unknown]))
        cost = min(cost, call.charged)
        for _ in range(2):
            with self.database.write() as session:
                flush(session, [], [Settlement(call.journal, Outcome.SUCCEEDED, cost_nanos=cost)])
        call.is_unknown, call.charged = False, cost

    @precondition(lambda self: len(self.calls) > 8)
    @rule()
    def lift_the_caps(self) -> None:
        self.set_caps(daily=None, monthly=None)

    @rule(daily=CAPS, monthly=st.none() | CAPS)
    def set_caps(self, daily: int | None, monthly: int | None) -> None:
        if daily is None and monthly is None:
            self.is_exact = False
        with self.database.write() as session:
            changes: dict[budgets.CapName, int | None] = {
                "daily_nanos": daily,
                "monthly_nanos": monthly,
            }
            budgets.set_caps(session, self.project_id, changes)
        self.daily, self.monthly = daily, monthly
        self.lease_again()

    @rule(which=WHICH, nanos=st.none() | CAPS)
    def set_max_cost(self, which: int, nanos: int | None) -> None:
        with self.database.write() as session:
            budgets.set_max_cost(session, self.project_id, self.refs[which], nanos)
        self.max_cost[which] = nanos
        self.lease_again()

    @rule(hours=st.integers(min_value=4, max_value=40))
    def let_time_pass(self, hours: int) -> None:
        self.clock.moment += timedelta(hours=hours)

    @rule()
    def sweep(self) -> None:
        with self.database.read() as session:
            held = budgets.held_by_budget(session)
        for batch_id in held:
            with self.database.write() as session:
                budgets.reconsider(session, batch_id)
        for which in range(2):
            batch = self.batch(which)
            if batch.state == BatchState.PAUSED and batch.pause_cause != PauseCause.OWNER:
                assert not self.is_exact or not self.fits(which, batch.needed_nanos or 1)
        self.lease_again()

    @rule(which=WHICH, state=st.sampled_from([BatchState.PAUSED, BatchState.RUNNING]))
    def be_moved_by_the_owner(self, which: int, state: BatchState) -> None:
        with self.database.write() as session:
            batches.move(session, self.project_id, self.refs[which], state)
        if state == BatchState.PAUSED:
            assert self.batch(which).pause_cause == PauseCause.OWNER
        self.lease_again()

    @invariant()
    def all_books_agree(self) -> None:
        with self.database.read() as session:
            ledger = session.exec(
                select(func.sum(LedgerDay.cost_nanos)).where(
                    LedgerDay.project_id == self.project_id
                )
            ).one()
            rows = session.exec(select(SpendDay).where(SpendDay.project_id == self.project_id))
            account = {row.day: (row.spent_nanos, row.reserved_nanos) for row in rows}
        assert int(ledger or 0) == self.used(lambda call: not call.is_open)
        for which in range(2):
            batch = self.batch(which)
            mine = [call for call in self.calls if call.batch == which]
            assert batch.reserved_nanos == sum(call.charged for call in mine if call.is_open)
            assert batch.spent_nanos == sum(call.charged for call in mine if not call.is_open)
            assert (batch.pause_cause is not None) == (batch.state == BatchState.PAUSED)
        assert self.contradictions() <= MADE_UP
        if self.daily is None and self.monthly is None:
            assert account == {}
            return
        for day in {call.day for call in self.calls} | account.keys():
            spent, reserved = account.get(day, (0, 0))
            sent = [call for call in self.calls if call.day == day]
            truth = sum(call.charged for call in sent if not call.is_open)
            assert reserved == sum(call.charged for call in sent if call.is_open)
            if self.is_exact:
                assert spent == truth
            elif day == self.clock.moment.date():
                assert spent >= truth

    def contradictions(self) -> set[str]:
        """Return what the proof of completeness says of a batch and of all books of its project."""
        with self.database.snapshot() as session:
            batch = batches.find(session, self.project_id, self.refs[0])
            return {violation.code for violation in balance(session, batch).violations}

    def teardown(self) -> None:
        for call in [call for call in self.calls if call.is_open]:
            with self.database.write() as session:
                flush(session, [], [Settlement(call.journal, Outcome.FAILED, cost_nanos=0)])
            call.is_open, call.charged = False, 0
        self.all_books_agree()
        with self.database.write() as session:  # not in the way of the next example's sweeps
            for ref in self.refs:
                batches.move(session, self.project_id, ref, BatchState.CANCELLING)

    def fits(self, which: int, needed: int) -> bool:
        """Whether the model has room for a call."""
        today = self.clock.moment.date()
        month = today.replace(day=1)
        uses = (
            (self.max_cost[which], self.used(lambda call: call.batch == which)),
            (self.daily, self.used(lambda call: call.day == today)),
            (self.monthly, self.used(lambda call: call.day >= month)),
        )
        return all(cap is None or used + needed <= cap for cap, used in uses)

    def used(self, counts: Counts) -> int:
        return sum(call.charged for call in self.calls if counts(call))

    def batch(self, which: int) -> Batch:
        with self.database.read() as session:
            return batches.find(session, self.project_id, self.refs[which])

    def lease_again(self) -> None:
        """Give a slice that was given back while its batch rested to a worker again."""
        for which in range(2):
            if not self.is_held[which] and self.batch(which).state in FED_BATCH_STATES:
                with self.database.write() as session:
                    claimed = leases.claim(session, self.refs[which], 0, "worker-1")
                if claimed is not None:
                    self.leases[which], self.is_held[which] = claimed[0], True


@pytest.mark.timeout(300 + 10 * EXAMPLES)
def test_money_is_never_over_a_cap_and_never_leaks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    for module in (
        "money.settlement",
        "attempts.attempts",
        "money.budgets",
        "leases.leases",
        "proof.project_books",
    ):
        monkeypatch.setattr(f"jobs.store.{module}.now", clock)
    monkeypatch.setattr("jobs.store.money.admission.LAST_ROUND", timedelta())

    class MoneyHere(Money):
        def __init__(self) -> None:
            super().__init__(database, clock)

    run_state_machine_as_test(
        MoneyHere,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            database=None,
            phases=[Phase.generate],  # each example is short already; shrinking takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
