"""Attempts: closed in bulk when their end is known, booked as unknown when it will never be."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, case, null, select, update
from sqlmodel import Session, col

from jobs.exchange import Usage
from jobs.states import Outcome
from jobs.store.attempts.attempt_conditions import COUNTS
from jobs.store.engine.database import now
from jobs.store.money.ledger import LedgerKey, LedgerSums, add_to_ledger
from jobs.store.money.spending import lock_accounts, write_accounts
from jobs.tables import Attempt, Batch, Job, Slice


@dataclass(frozen=True, slots=True)
class AttemptMade:
    """An attempt of a batch; `counts` tells whether it used up one of its job's."""

    outcome: Outcome | None
    sent_at: datetime
    latency_ms: int | None
    counts: bool


def attempts_made(session: Session, batch_ref: str) -> list[AttemptMade]:
    """Return all attempts of a batch, in the order in which they were sent."""
    of_batch = (
        select(col(Attempt.outcome), col(Attempt.sent_at), col(Attempt.latency_ms), COUNTS)
        .join(Batch, col(Batch.id) == col(Attempt.batch_id))
        .where(col(Batch.ref) == batch_ref)
        .order_by(col(Attempt.sent_at))
    )
    return [
        AttemptMade(Outcome(outcome) if outcome else None, sent_at, latency_ms, bool(counts))
        for outcome, sent_at, latency_ms, counts in session.connection().execute(of_batch)
    ]


def book_unknown(session: Session, batch: Batch, piece: Slice, error_code: str) -> None:
    """Turn a slice's open attempts into `unknown`: charged at what was reserved, and counted.

    `error_code` says why nobody knows. The caller holds the batch's lock and has raised the slice's fence.
    """
    is_open = _open_attempts(piece)
    is_unpriced = col(Attempt.price).is_(None)
    pools = (col(Attempt.provider), col(Attempt.pool), col(Attempt.model))
    connection = session.connection()
    # No more rows than a slice has jobs.
    rows = connection.execute(
        select(*pools, col(Attempt.sent_at), col(Attempt.reserved_nanos), is_unpriced).where(
            is_open
        )
    ).all()
    if not rows:
        return
    connection.execute(
        update(Attempt)
        .where(is_open)
        .values(
            outcome=Outcome.UNKNOWN,
            cost_nanos=case((is_unpriced, null()), else_=col(Attempt.reserved_nanos)),
            error_code=error_code,
        )
    )
    account = lock_accounts(session, [batch.project_id], now(session)).get(batch.project_id)
    sums: dict[LedgerKey, LedgerSums] = defaultdict(LedgerSums)
    for provider, pool, model, sent_at, reserved, unpriced in rows:
        # Of the day on which it was sent: a late answer corrects it there.
        day = sent_at.date()
        key = LedgerKey(day, batch.project_id, provider, pool, model, Outcome.UNKNOWN)
        sums[key].add(Usage(), reserved, unpriced=unpriced)
        batch.unknown_attempts += 1
        batch.in_flight -= 1
        batch.reserved_nanos -= reserved
        batch.spent_nanos += reserved
        if account is not None:
            account.settle(day, reserved, reserved)
    if account is not None:
        write_accounts(session, [account])
    add_to_ledger(session, sums)
    session.add(batch)


def _open_attempts(piece: Slice) -> ColumnElement[bool]:
    """Return the condition of an attempt whose end nobody has told, for a job of this slice."""
    return and_(
        col(Attempt.batch_id) == piece.batch_id,
        col(Attempt.seq).between(piece.first_seq, piece.last_seq),
        col(Attempt.outcome).is_(None),
        # The range may hold jobs of other slices, which run on.
        col(Attempt.seq).in_(
            select(col(Job.seq)).where(
                col(Job.batch_id) == piece.batch_id,
                col(Job.seq).between(piece.first_seq, piece.last_seq),
                col(Job.queue) == piece.queue,
            )
        ),
    )


JOURNAL_COLUMNS = (
    "batch_id",
    "seq",
    "n",
    "provider",
    "pool",
    "model",
    "price",
    "reserved_nanos",
    "sent_at",
)
NATIVE_COLUMNS = (*JOURNAL_COLUMNS, "native_id", "live_price")
"""Of a line of a native batch as it is journaled."""
CLOSED_COLUMNS = {
    "outcome": "text",
    "input_tokens": "int8",
    "cached_input_tokens": "int8",
    "cache_write_tokens": "int8",
    "output_tokens": "int8",
    "reasoning_tokens": "int8",
    "cost_nanos": "int8",
    "latency_ms": "int4",
    "error_code": "text",
}
KEY_COLUMNS = {"batch_id": "int8", "seq": "int4", "n": "int4"}


def close_attempts(session: Session, rows: Sequence[tuple[object, ...]]) -> None:
    """Write the ends of attempts; a row has the values of `CLOSED_COLUMNS`, then of the key."""
    if not rows:
        return
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        values = ", ".join(f"{name} = ?" for name in CLOSED_COLUMNS)
        key = " AND ".join(f"{name} = ?" for name in KEY_COLUMNS)
        statement = f"UPDATE attempt SET {values} WHERE {key}"  # noqa: S608  (our own names)
        connection.exec_driver_sql(statement, list(rows))
        return
    columns = CLOSED_COLUMNS | KEY_COLUMNS
    values = ", ".join(f"{name} = made.{name}" for name in CLOSED_COLUMNS)
    key = " AND ".join(f"attempt.{name} = made.{name}" for name in KEY_COLUMNS)
    arrays = ", ".join(f"%s::{kind}[]" for kind in columns.values())
    made = f"unnest({arrays}) AS made ({', '.join(columns)})"
    statement = f"UPDATE attempt SET {values} FROM {made} WHERE {key}"  # noqa: S608  (our own names)
    connection.exec_driver_sql(statement, tuple(list(column) for column in zip(*rows, strict=True)))
