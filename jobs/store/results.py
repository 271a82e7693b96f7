"""Results: read by the page in either order, and written in bulk for jobs that nobody will run."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import func, insert, literal, select
from sqlmodel import Session, col

from jobs.exchange import Usage
from jobs.states import ResultStatus
from jobs.store.database import now
from jobs.tables import Attempt, Batch, Job, Result, Slice


class ResultOrder(StrEnum):
    """`finished`: as they arrived, safe to follow while the batch runs. `input`: as submitted."""

    FINISHED = "finished"
    INPUT = "input"


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A result with its job's name and the attempt that decided it."""

    seq: int
    position: int
    custom_id: str
    status: str
    output: str | None
    finish_reason: str | None
    error_code: str | None
    error_message: str | None
    attempt: int | None
    source: str
    finished_at: datetime
    provider: str | None
    pool: str | None
    model: str | None
    cost_nanos: int | None
    latency_ms: int | None
    usage: Usage | None


def page(
    session: Session, batch_id: int, *, order: ResultOrder, after: int, limit: int
) -> list[ResultRow]:
    """Return results after a cursor, in order.

    Args:
        session: a read transaction.
        batch_id: a batch that the caller may see.
        order: see `ResultOrder`.
        after: the last `position` (finished) or `seq` (input) that was seen; 0 or -1 to begin.
        limit: rows at most.
    """
    key = col(Result.position) if order is ResultOrder.FINISHED else col(Result.seq)
    rows = session.connection().execute(
        _joined().where(col(Result.batch_id) == batch_id, key > after).order_by(key).limit(limit)
    )
    return [_result_row(tuple(row)) for row in rows]


def cancel_jobs(session: Session, batch: Batch, piece: Slice) -> None:
    """Give the open jobs of an idle slice of a locked batch the result `cancelled`."""
    position = func.row_number().over(order_by=col(Job.seq)) + _finished(batch)
    open_jobs = (
        select(
            col(Job.batch_id),
            col(Job.seq),
            position,
            literal(ResultStatus.CANCELLED.value),
            literal("cancelled"),
            literal("the batch was cancelled before this job was sent"),
            literal("live"),
            literal(now(session), Result.__table__.c.finished_at.type),  # type: ignore[attr-defined]  # SQLModel sets it, untyped
        )
        .outerjoin(
            Result, (col(Result.batch_id) == col(Job.batch_id)) & (col(Result.seq) == col(Job.seq))
        )
        .where(
            col(Job.batch_id) == piece.batch_id,
            col(Job.seq).between(piece.first_seq, piece.last_seq),
            col(Job.queue) == piece.queue,
            col(Result.seq).is_(None),
        )
    )
    columns = [
        "batch_id",
        "seq",
        "position",
        "status",
        "error_code",
        "error_message",
        "source",
        "finished_at",
    ]
    statement = insert(Result).from_select(columns, open_jobs)
    written = session.connection().execute(statement, execution_options={"preserve_rowcount": True})
    batch.cancelled += written.rowcount
    session.add(batch)


def _result_row(columns: tuple[Any, ...]) -> ResultRow:
    plain, counts = columns[:-5], columns[-5:]
    values = dict(zip(ResultRow.__slots__, plain, strict=False))
    return ResultRow(**values, usage=None if counts[0] is None else Usage(*counts))


def _finished(batch: Batch) -> int:
    return batch.succeeded + batch.failed + batch.cancelled + batch.expired


def _joined() -> Any:  # a Select of 21 columns, more than its type can spell
    """Return the statement whose columns are those of `ResultRow`, usage spread at the end."""
    return (
        select(
            col(Result.seq),
            col(Result.position),
            col(Job.custom_id),
            col(Result.status),
            col(Result.output),
            col(Result.finish_reason),
            col(Result.error_code),
            col(Result.error_message),
            col(Result.attempt),
            col(Result.source),
            col(Result.finished_at),
            col(Attempt.provider),
            col(Attempt.pool),
            col(Attempt.model),
            col(Attempt.cost_nanos),
            col(Attempt.latency_ms),
            col(Attempt.input_tokens),
            col(Attempt.cached_input_tokens),
            col(Attempt.cache_write_tokens),
            col(Attempt.output_tokens),
            col(Attempt.reasoning_tokens),
        )
        .select_from(Result)
        .join(Job, (col(Job.batch_id) == col(Result.batch_id)) & (col(Job.seq) == col(Result.seq)))
        .outerjoin(
            Attempt,
            (col(Attempt.batch_id) == col(Result.batch_id))
            & (col(Attempt.seq) == col(Result.seq))
            & (col(Attempt.n) == col(Result.attempt)),
        )
    )
