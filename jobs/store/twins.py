"""Results of jobs that ask for the same as an earlier one of their batch: copied once that has its own."""

from typing import Any

from sqlalchemy import and_, func, insert, literal, select
from sqlmodel import Session, col

from jobs.states import ResultStatus
from jobs.store.database import now
from jobs.store.jobs import SliceRange
from jobs.tables import Attempt, Batch, Job, Result

DUPLICATE = "duplicate"
"""The source of such a result."""

COPIED = ("status", "output", "finish_reason", "error_code", "error_message", "mended")
_TOTALS = {ResultStatus.SUCCEEDED: "succeeded", ResultStatus.FAILED: "failed"}
"""Only these are copied: of a job that was cancelled its twins are as well, each for itself."""


def answer_twins(session: Session, batch: Batch, cut: SliceRange) -> None:
    """Give the twins of a slice whose first job has its result the same one.

    Args:
        session: a write transaction.
        batch: locked; its totals are advanced.
        cut: the slice.
    """
    assert batch.id is not None
    first, own = Result.__table__.alias("first"), Result.__table__.alias("own")  # type: ignore[attr-defined]  # SQLModel sets it, untyped
    of_twins = Job.__table__.join(  # type: ignore[attr-defined]  # as above
        first, and_(first.c.batch_id == Job.batch_id, first.c.seq == Job.first_seq)
    ).outerjoin(own, and_(own.c.batch_id == Job.batch_id, own.c.seq == Job.seq))
    is_due = (
        col(Job.batch_id) == batch.id,
        col(Job.seq).between(cut.first_seq, cut.last_seq),
        col(Job.queue) == cut.queue,
        col(Job.first_seq).is_not(None),
        first.c.status.in_(list(_TOTALS)),
        own.c.seq.is_(None),
    )
    connection = session.connection()
    counted = select(first.c.status, func.count()).select_from(of_twins).where(*is_due)
    counts: dict[str, int] = {
        row[0]: row[1] for row in connection.execute(counted.group_by(first.c.status))
    }
    if not counts:
        return
    paid = (
        select(func.sum(func.coalesce(Attempt.cost_nanos, 0)))
        .select_from(
            of_twins.join(
                Attempt,
                and_(
                    col(Attempt.batch_id) == col(Job.batch_id),
                    col(Attempt.seq) == col(Job.first_seq),
                ),
            )
        )
        .where(*is_due)
    )
    batch.saved_nanos += int(connection.execute(paid).scalar_one() or 0)
    copied = (
        select(
            col(Job.batch_id),
            col(Job.seq),
            func.row_number().over(order_by=col(Job.seq)) + batch.finished_jobs,
            literal(DUPLICATE),
            _moment(session),
            *(first.c[name] for name in COPIED),
        )
        .select_from(of_twins)
        .where(*is_due)
    )
    columns = ["batch_id", "seq", "position", "source", "finished_at", *COPIED]
    connection.execute(insert(Result).from_select(columns, copied))
    for status, total in _TOTALS.items():
        setattr(batch, total, getattr(batch, total) + counts.get(status, 0))
    session.add(batch)
    session.flush()


def _moment(session: Session) -> Any:
    return literal(now(session), Result.__table__.c.finished_at.type)  # type: ignore[attr-defined]  # SQLModel sets it, untyped
