"""Which jobs of a slice are open, having no result yet: one condition for whoever reads or ends them."""

from typing import NamedTuple, TypeVarTuple

from sqlalchemy import BindParameter, Select, and_, bindparam
from sqlmodel import col

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
