"""What a worker holds, for somebody who looks on from outside, and when work on it went on."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from jobs.tables import Attempt, Result, Slice, Worker


@dataclass(frozen=True, slots=True)
class HeldSlice:
    """A slice that a worker holds; `open_attempts` are those of its calls that are in flight."""

    batch_id: int
    first_seq: int
    last_seq: int
    open_attempts: int


def slices_held(session: Session, process_id: int) -> list[HeldSlice]:
    """Return the slices that the worker with this process id holds."""
    in_flight = (
        select(func.count())
        .where(
            col(Attempt.batch_id) == col(Slice.batch_id),
            col(Attempt.seq).between(col(Slice.first_seq), col(Slice.last_seq)),
            col(Attempt.outcome).is_(None),
        )
        .scalar_subquery()
    )
    statement = (
        select(col(Slice.batch_id), col(Slice.first_seq), col(Slice.last_seq), in_flight)
        .join(Worker, col(Worker.id) == col(Slice.owner))
        .where(col(Worker.pid) == process_id)
    )
    return [HeldSlice(*row) for row in session.connection().execute(statement)]


def first_result_after(session: Session, piece: HeldSlice, moment: datetime) -> datetime | None:
    """Return when the first result of a slice after a moment came, None if there is none."""
    statement = select(func.min(Result.finished_at)).where(
        col(Result.batch_id) == piece.batch_id,
        col(Result.seq).between(piece.first_seq, piece.last_seq),
        col(Result.finished_at) > moment,
    )
    found: datetime | None = session.connection().execute(statement).scalar_one()
    return found
