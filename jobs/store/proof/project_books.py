"""A project's books beside all of its attempts: the ledger's days, and the account of its caps."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlmodel import Session, col

from jobs.store.engine.database import now
from jobs.store.engine.wide_sums import halves_of_sum, joined
from jobs.store.money.ledger import SUM_NAMES, LedgerSums
from jobs.store.money.spending import DaySpend
from jobs.store.proof.attempt_groups import AttemptGroup
from jobs.store.proof.booked_days import (
    Line,
    SpendingBooks,
    ledger_violations,
    made_by_line,
    of_all_lines,
    spending_violations,
)
from jobs.store.proof.violations import Violation
from jobs.tables import Batch, LedgerDay, ProjectBudget, SpendDay

MOST_JOBS = 20_000_000
"""Of a project whose every attempt is read: a second or two for each million."""


def money_of_project(session: Session, project_id: int) -> tuple[int, int]:
    """Return what a project's batches have spent, and what its ledger says (nano-dollars)."""
    return _both(session, project_id, col(Batch.spent_nanos), col(LedgerDay.cost_nanos))


def cache_savings_of_project(session: Session, project_id: int) -> tuple[int, int]:
    """Return what prompt caches saved by a project's batches, and by its ledger (nano-dollars)."""
    of_days = col(LedgerDay.cache_saved_nanos)
    return _both(session, project_id, col(Batch.cache_saved_nanos), of_days)


def _both(session: Session, project_id: int, of_batches: Any, of_days: Any) -> tuple[int, int]:
    told = select(*halves_of_sum(of_batches)).where(col(Batch.project_id) == project_id)
    booked = select(*halves_of_sum(of_days)).where(col(LedgerDay.project_id) == project_id)
    connection = session.connection()
    return joined(connection.execute(told).one()), joined(connection.execute(booked).one())


def is_readable(session: Session, project_id: int) -> bool:
    """Return whether a project is small enough for all of its attempts to be read."""
    jobs = select(*halves_of_sum(col(Batch.total_jobs))).where(col(Batch.project_id) == project_id)
    return joined(session.connection().execute(jobs).one()) <= MOST_JOBS


def project_violations(
    session: Session, project_id: int, groups: Iterable[AttemptGroup]
) -> Iterator[Violation]:
    """Compare a project's ledger and account with `groups`, which are all of its attempts."""
    groups = list(groups)
    booked, made = _ledger(session, project_id), made_by_line(groups)
    yield from ledger_violations(booked, made)
    open_nanos: dict[date, int] = defaultdict(int)
    for group in groups:
        if group.outcome is None:
            open_nanos[group.sent_on] += group.reserved_nanos
    books = SpendingBooks(
        today=now(session).date(),
        is_capped=session.get(ProjectBudget, project_id) is not None,
        days=_account(session, project_id),
        booked=of_all_lines(booked),
        made=of_all_lines(made),
        open_nanos=open_nanos,
    )
    yield from spending_violations(books)


def _ledger(session: Session, project_id: int) -> dict[Line, dict[date, LedgerSums]]:
    keys = (LedgerDay.provider, LedgerDay.pool, LedgerDay.model, LedgerDay.outcome)
    sums = (getattr(LedgerDay, name) for name in SUM_NAMES)
    rows = select(col(LedgerDay.day), *map(col, keys), *map(col, sums)).where(
        col(LedgerDay.project_id) == project_id
    )
    lines: dict[Line, dict[date, LedgerSums]] = defaultdict(dict)
    for day, provider, pool, model, outcome, *figures in session.connection().execute(rows):
        lines[Line(provider, pool, model, outcome)][day] = LedgerSums(*figures)
    return lines


def _account(session: Session, project_id: int) -> dict[date, DaySpend]:
    days = select(col(SpendDay.day), col(SpendDay.spent_nanos), col(SpendDay.reserved_nanos)).where(
        col(SpendDay.project_id) == project_id
    )
    return {day: DaySpend(*nanos) for day, *nanos in session.connection().execute(days)}
