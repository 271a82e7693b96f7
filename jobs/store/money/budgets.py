"""Caps of batches and projects: shown, changed, and what they paused started again.

A change of a cap and the batches that go on by it are one transaction; the caller feeds after it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from sqlalchemy import delete, func, or_
from sqlmodel import Session, col, select

from jobs.budget import Cap, month_start, sentence, without_room
from jobs.errors import IllegalTransition, NotFound
from jobs.states import BUDGET_CAUSES, FINAL_BATCH_STATES, BatchState, PauseCause
from jobs.store.batches import batches
from jobs.store.engine.database import now
from jobs.store.money.spending import Account, DaySpend, lock_accounts, write_accounts
from jobs.tables import Attempt, Batch, LedgerDay, Project, ProjectBudget, SpendDay

CapName = Literal["daily_nanos", "monthly_nanos"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A project's caps, None where it has none, and what it uses of them at present."""

    today: date
    daily_nanos: int | None
    monthly_nanos: int | None
    day: DaySpend
    month: DaySpend


def standing(session: Session, project_id: int) -> Standing:
    """Return where a project stands. Without a cap its spending is that of the ledger."""
    today = now(session).date()
    budget = session.get(ProjectBudget, project_id)
    days = _spend_days(session, project_id, today) if budget else None
    if budget is None or days is None:
        days = _ledger_days(session, project_id, today)
        days.setdefault(today, DaySpend()).reserved_nanos = _reserved(session, project_id)
    return Standing(
        today=today,
        daily_nanos=budget.daily_nanos if budget else None,
        monthly_nanos=budget.monthly_nanos if budget else None,
        day=days.get(today, DaySpend()),
        month=DaySpend(
            sum(spend.spent_nanos for spend in days.values()),
            sum(spend.reserved_nanos for spend in days.values()),
        ),
    )


def is_capped(session: Session, project_id: int) -> bool:
    """Return whether a project has a daily or a monthly cap."""
    return session.get(ProjectBudget, project_id) is not None


def set_caps(session: Session, project_id: int, changes: Mapping[CapName, int | None]) -> None:
    """Change caps of a project, at once for every process; None lifts one, absent ones stay.

    What was spent before in the present day and month counts: when a project gets its first cap, its
    account is opened from the ledger and from the attempts in flight. Until the commit no call of
    the project is journaled or settled: its row is locked, so that no batch is begun, and so are
    all batches of which something may be booked.
    """
    session.exec(select(Project.id).where(Project.id == project_id).with_for_update()).one()
    at_work = session.exec(
        select(Batch)
        .where(
            Batch.project_id == project_id,
            or_(col(Batch.finished_at).is_(None), col(Batch.unknown_attempts) > 0),
        )
        .order_by(col(Batch.id))
        .with_for_update()
    ).all()
    _write_caps(session, project_id, changes)
    accounts = lock_accounts(session, [project_id], now(session))
    for batch in at_work:
        _reconsider(session, batch, accounts.get(project_id))


def set_max_cost(session: Session, project_id: int, ref: str, max_cost_nanos: int | None) -> Batch:
    """Change the cap of a batch, and let it go on if only its budget kept it.

    A cap below what is spent is taken: then nothing more is sent.

    Raises:
        NotFound: as `batches.find` does.
        IllegalTransition: the batch has ended.
    """
    batch = batches.lock_by_ref(session, ref)
    if batch is None or batch.project_id != project_id or batch.state == BatchState.RECEIVING:
        raise NotFound(batches.NO_SUCH_BATCH)
    if batch.state in FINAL_BATCH_STATES:
        raise IllegalTransition(f"batch {ref} is {batch.state}: its budget is of the past")
    batch.max_cost_nanos = max_cost_nanos
    session.add(batch)
    accounts = lock_accounts(session, [project_id], now(session))
    _reconsider(session, batch, accounts.get(project_id))
    session.flush()
    return batch


def held_by_budget(session: Session) -> list[int]:
    """Return the ids of batches that a budget has paused, oldest first."""
    found = session.exec(
        select(Batch.id)
        .where(
            Batch.state == BatchState.PAUSED,
            col(Batch.finished_at).is_(None),
            col(Batch.pause_cause).in_(BUDGET_CAUSES),
        )
        .order_by(col(Batch.id))
    )
    return [batch_id for batch_id in found if batch_id is not None]


def reconsider(session: Session, batch_id: int) -> bool:
    """Let a batch go on that a budget has paused, if there is room now; return whether it does.

    There is room when the smallest call that was refused fits. Otherwise the batch says what it
    waits for by now.
    """
    batch = batches.lock(session, batch_id)
    accounts = lock_accounts(session, [batch.project_id], now(session))
    return _reconsider(session, batch, accounts.get(batch.project_id))


def caps_of(max_cost_nanos: int | None, used_nanos: int, account: Account | None) -> list[Cap]:
    """Return all caps that a batch's next call must fit in, the one with the longest wait first.

    Args:
        max_cost_nanos: the batch's own cap.
        used_nanos: what the batch has spent and reserved.
        account: its project's, None if that has no cap.
    """
    caps = [] if account is None else account.caps()
    if max_cost_nanos is not None:
        caps.insert(0, Cap(PauseCause.BATCH_BUDGET, max_cost_nanos, used_nanos))
    return caps


def _reconsider(session: Session, batch: Batch, account: Account | None) -> bool:
    if batch.state != BatchState.PAUSED or batch.pause_cause not in BUDGET_CAUSES:
        return False
    needed_nanos = batch.needed_nanos or 1  # unknown where an older version has paused it
    used_nanos = batch.spent_nanos + batch.reserved_nanos
    cap = without_room(caps_of(batch.max_cost_nanos, used_nanos, account), needed_nanos)
    if cap is None:
        batches.unpause(session, batch)
        return True
    said = sentence(cap, needed_nanos)
    if (batch.pause_cause, batch.waiting_for) != (cap.cause, said):
        batch.pause_cause, batch.waiting_for = cap.cause, said
        session.add(batch)
    return False


def _write_caps(session: Session, project_id: int, changes: Mapping[CapName, int | None]) -> None:
    """Store the caps, and open or close the account if they are the first or were the last."""
    budget = session.get(ProjectBudget, project_id)
    caps: dict[CapName, int | None] = {"daily_nanos": None, "monthly_nanos": None}
    if budget is not None:
        caps = {"daily_nanos": budget.daily_nanos, "monthly_nanos": budget.monthly_nanos}
    caps.update(changes)
    if all(nanos is None for nanos in caps.values()):
        if budget is not None:
            _close_account(session, budget)
        return
    kept = budget or ProjectBudget(project_id=project_id)
    kept.daily_nanos, kept.monthly_nanos = caps["daily_nanos"], caps["monthly_nanos"]
    session.add(kept)
    session.flush()
    if budget is None:
        _open_account(session, project_id)


def _open_account(session: Session, project_id: int) -> None:
    """Begin the account of a project: what the ledger tells of this month, and what is in flight."""
    moment = now(session)
    account = Account(session, project_id, moment.date())
    account.days = _ledger_days(session, project_id, account.today)
    for sent_at, reserved_nanos in _in_flight(session, project_id):
        account.days.setdefault(sent_at.date(), DaySpend()).reserved_nanos += reserved_nanos
    account.changed.update(account.days)
    write_accounts(session, [account])


def _close_account(session: Session, budget: ProjectBudget) -> None:
    session.delete(budget)
    session.flush()
    session.connection().execute(
        delete(SpendDay).where(col(SpendDay.project_id) == budget.project_id)
    )


def _spend_days(session: Session, project_id: int, today: date) -> dict[date, DaySpend]:
    rows = session.exec(
        select(col(SpendDay.day), SpendDay.spent_nanos, SpendDay.reserved_nanos).where(
            SpendDay.project_id == project_id, col(SpendDay.day) >= month_start(today)
        )
    )
    return {day: DaySpend(spent_nanos, reserved_nanos) for day, spent_nanos, reserved_nanos in rows}


def _ledger_days(session: Session, project_id: int, today: date) -> dict[date, DaySpend]:
    """Return what was settled on each day of this month.

    Calls that were sent on the last day before and settled since count as this month's: a little
    too much, never too little.
    """
    rows = session.exec(
        select(col(LedgerDay.day), func.sum(LedgerDay.cost_nanos))
        .where(LedgerDay.project_id == project_id, col(LedgerDay.day) >= month_start(today))
        .group_by(col(LedgerDay.day))
    )
    return {day: DaySpend(int(spent_nanos)) for day, spent_nanos in rows}


def _in_flight(session: Session, project_id: int) -> list[tuple[datetime, int]]:
    """Return (sent at, reserved) of a project's open attempts; reads the attempts of its batches."""
    rows = session.exec(
        select(Attempt.sent_at, Attempt.reserved_nanos)
        .join(Batch, col(Batch.id) == col(Attempt.batch_id))
        .where(
            Batch.project_id == project_id,
            col(Batch.in_flight) > 0,
            col(Attempt.outcome).is_(None),
        )
    )
    return list(rows)


def _reserved(session: Session, project_id: int) -> int:
    reserved_nanos = session.exec(
        select(func.sum(Batch.reserved_nanos)).where(
            Batch.project_id == project_id, col(Batch.finished_at).is_(None)
        )
    ).one()
    return int(reserved_nanos or 0)
