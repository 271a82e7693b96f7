"""The ledger's sums by day: added to in the transactions that settle, read for usage reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import (
    Date,
    Integer,
    Select,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col

from jobs.exchange import Usage
from jobs.states import Outcome
from jobs.tables import Attempt, Batch, Job, LedgerDay, Project

UsageDimension = Literal["day", "project", "provider", "pool", "model", "outcome"]


@dataclass(frozen=True, slots=True, order=True)
class LedgerKey:
    """What sums are kept by."""

    day: date
    project_id: int
    provider: str
    pool: str
    model: str
    outcome: Outcome


@dataclass(slots=True)
class LedgerSums:
    """Sums of attempts; they may be negative where a booking is taken back."""

    attempts: int = 0
    unpriced_attempts: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nanos: int = 0
    cache_saved_nanos: int = 0

    def add(
        self, usage: Usage, cost_nanos: int, cache_saved_nanos: int = 0, *, unpriced: bool
    ) -> None:
        """Add one attempt."""
        self.attempts += 1
        self.unpriced_attempts += unpriced
        self.input_tokens += usage.input_tokens
        self.cached_input_tokens += usage.cached_input_tokens
        self.cache_write_tokens += usage.cache_write_tokens
        self.output_tokens += usage.output_tokens
        self.reasoning_tokens += usage.reasoning_tokens
        self.cost_nanos += cost_nanos
        self.cache_saved_nanos += cache_saved_nanos


KEY_NAMES = tuple(field.name for field in fields(LedgerKey))
SUM_NAMES = tuple(field.name for field in fields(LedgerSums))


def add_to_ledger(session: Session, sums: Mapping[LedgerKey, LedgerSums]) -> None:
    """Add sums to the rows of their keys, in the keys' order so that two writers can't deadlock."""
    if not sums:
        return
    connection = session.connection()
    connection.execute(
        _upsert(connection.dialect.name),
        [
            {name: getattr(key, name) for name in KEY_NAMES}
            | {name: getattr(sums[key], name) for name in SUM_NAMES}
            for key in sorted(sums)
        ],
    )


@lru_cache
def _upsert(dialect_name: str) -> Any:
    """Return the statement, built once: that costs more than running it."""
    table = SQLModel.metadata.tables["ledger_day"]
    dialect = sqlite if dialect_name == "sqlite" else postgresql
    insert = dialect.insert(table)
    return insert.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: table.c[name] + insert.excluded[name] for name in SUM_NAMES},
    )


def used_since(
    session: Session, pool: tuple[str, str], models: Sequence[str], since: datetime
) -> tuple[int, int]:
    """Return the requests and tokens of a pool since a time: what its daily limits have seen of us.

    Reads the attempts of batches that were at work since then, so it may take seconds on a day of a
    million; it locks nothing. What never left is not counted, and a call in flight counts with its
    estimated input.

    Args:
        session: any.
        pool: the names of the provider and of the pool.
        models: shell patterns of the models to count.
        since: the beginning of the provider's day.
    """
    tokens = (
        func.coalesce(Attempt.input_tokens, 0)
        + func.coalesce(Attempt.cached_input_tokens, 0)
        + func.coalesce(Attempt.cache_write_tokens, 0)
        + func.coalesce(Attempt.output_tokens, 0)
    )
    in_flight = case((col(Attempt.outcome).is_(None), Job.estimated_tokens), else_=0)
    statement = (
        select(col(Attempt.model), func.count(), func.sum(tokens + in_flight))
        .join(Batch, col(Batch.id) == col(Attempt.batch_id))
        .join(
            Job, (col(Job.batch_id) == col(Attempt.batch_id)) & (col(Job.seq) == col(Attempt.seq))
        )
        .where(
            or_(col(Batch.finished_at).is_(None), col(Batch.finished_at) >= since),
            col(Attempt.provider) == pool[0],
            col(Attempt.pool) == pool[1],
            col(Attempt.sent_at) >= since,
            or_(col(Attempt.outcome).is_(None), col(Attempt.outcome) != Outcome.UNSENT),
        )
        .group_by(col(Attempt.model))
    )
    requests = used = 0
    for model, count, total in session.connection().execute(statement):
        if any(fnmatchcase(model, pattern) for pattern in models):
            requests, used = requests + int(count), used + int(total)
    return requests, used


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Which part of the ledger to sum, by what. Days are UTC, both inclusive.

    With a `since`, so many days are one row, whose `day` is the first of them.
    """

    project_id: int
    by: Sequence[UsageDimension]
    since: date | None = None
    until: date | None = None
    days_together: int = 1


def usage(session: Session, query: UsageQuery) -> list[dict[str, Any]]:
    """Return one row per group, each with the group's words and every sum of `LedgerSums`."""
    columns: dict[UsageDimension, Any] = {
        "day": LedgerDay.day,
        "project": Project.name,
        "provider": LedgerDay.provider,
        "pool": LedgerDay.pool,
        "model": LedgerDay.model,
        "outcome": LedgerDay.outcome,
    }
    if query.since is not None:
        columns["day"] = _stretch(session, query.since, query.days_together)
    groups = [columns[name] for name in query.by]
    statement: Select[Any] = (
        select(
            *(column.label(name) for name, column in zip(query.by, groups, strict=True)),
            *(func.coalesce(func.sum(getattr(LedgerDay, n)), 0).label(n) for n in SUM_NAMES),
        )
        .join(Project, col(Project.id) == col(LedgerDay.project_id))
        .where(col(LedgerDay.project_id) == query.project_id)
        .group_by(*groups)
        .order_by(*groups)
    )
    if query.since is not None:
        statement = statement.where(col(LedgerDay.day) >= query.since)
    if query.until is not None:
        statement = statement.where(col(LedgerDay.day) <= query.until)
    names = (*query.by, *SUM_NAMES)
    found = session.connection().execute(statement).all()
    rows: list[dict[str, Any]] = [dict(zip(names, row, strict=True)) for row in found]
    for row in rows:
        row.update({name: int(row[name]) for name in SUM_NAMES})
        if query.since is not None and "day" in row:
            row["day"] = query.since + timedelta(days=query.days_together * row["day"])
    return rows


def _stretch(session: Session, since: date, days: int) -> Any:
    """Return how many whole stretches of so many days lie between a day and a row's."""
    # Written into the statement: PostgreSQL takes no group by an expression that has parameters.
    first = literal(since, Date, literal_execute=True)
    length = literal(days, Integer, literal_execute=True)
    if session.get_bind().dialect.name == "sqlite":
        passed: Any = cast(func.julianday(LedgerDay.day) - func.julianday(first), Integer)
    else:
        passed = type_coerce(col(LedgerDay.day) - first, Integer)
    return passed // length
