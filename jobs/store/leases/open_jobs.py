"""Which jobs of a slice are open, having no result yet: one condition for whoever reads or ends them."""

from typing import NamedTuple, TypeVarTuple

from sqlalchemy import BindParameter, Select, and_, bindparam, select
from sqlmodel import Session, col

from jobs.tables import Job, Result, Slice

Columns = TypeVarTuple("Columns")


class SliceBounds(NamedTuple):
    """What tells the jobs of a slice, as parameters of a statement that is built once."""

    batch_id: BindParameter[int]
    first_seq: BindParameter[int]
    last_seq: BindParameter[int]
    queue: BindParameter[str]


BOUNDS = SliceBounds(
    bindparam("batch_id"), bindparam("first_seq"), bindparam("last_seq"), bindparam("queue")
)

# Built once: putting a statement together costs more than running it.
_ANSWERED = select(col(Result.seq)).where(
    col(Result.batch_id) == BOUNDS.batch_id,
    col(Result.seq).between(BOUNDS.first_seq, BOUNDS.last_seq),
)


def answered_between(session: Session, batch_id: int, first_seq: int, last_seq: int) -> set[int]:
    """Return the numbers of those jobs, of a batch's from one to another, that have a result."""
    bounds = {"batch_id": batch_id, "first_seq": first_seq, "last_seq": last_seq}
    return {*session.connection().execute(_ANSWERED, bounds).scalars()}


def open_in(statement: Select[*Columns], of: Slice | SliceBounds) -> Select[*Columns]:
    """Return a statement about jobs for the open ones of a slice only."""
    return statement.outerjoin(
        Result,
        and_(
            col(Result.batch_id) == of.batch_id,
            col(Result.seq) == col(Job.seq),
            # The range once more: a planner that doesn't know the batch would read all its results.
            col(Result.seq).between(of.first_seq, of.last_seq),
        ),
    ).where(
        col(Job.batch_id) == of.batch_id,
        col(Job.seq).between(of.first_seq, of.last_seq),
        col(Job.queue) == of.queue,
        col(Result.seq).is_(None),
    )
