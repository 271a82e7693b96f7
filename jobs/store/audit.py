"""What the rows say to somebody who checks them against a provider's own account, call by call."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from jobs.states import Outcome
from jobs.tables import Attempt, Batch, Job, Result, Slice, Worker


@dataclass(frozen=True, slots=True)
class AttemptSeen:
    """An attempt, with the names that the outside world has for its batch and its job.

    Outcome, tokens and cost as in `jobs.tables.Attempt`; cached input is part of `input_tokens`.
    """

    batch_ref: str
    custom_id: str
    outcome: Outcome | None
    reserved_nanos: int
    input_tokens: int | None
    output_tokens: int | None
    cost_nanos: int | None


@dataclass(frozen=True, slots=True)
class HeldSlice:
    """A slice that a worker holds; `open_attempts` are those of its calls that are in flight."""

    batch_id: int
    first_seq: int
    last_seq: int
    open_attempts: int


def every_attempt(session: Session, project_id: int) -> Iterator[AttemptSeen]:
    """Yield all attempts of a project, in no order; reads a million of them without holding any."""
    tokens = (
        col(Attempt.input_tokens)
        + func.coalesce(Attempt.cached_input_tokens, 0)
        + func.coalesce(Attempt.cache_write_tokens, 0)
    )
    statement = (
        select(
            col(Batch.ref),
            col(Job.custom_id),
            col(Attempt.outcome),
            col(Attempt.reserved_nanos),
            tokens,
            col(Attempt.output_tokens),
            col(Attempt.cost_nanos),
        )
        .select_from(Attempt)
        .join(Batch, col(Batch.id) == col(Attempt.batch_id))
        .join(
            Job, (col(Job.batch_id) == col(Attempt.batch_id)) & (col(Job.seq) == col(Attempt.seq))
        )
        .where(col(Batch.project_id) == project_id)
    )
    rows = session.connection().execution_options(yield_per=1000).execute(statement)
    for ref, custom_id, outcome, reserved, used, output, cost in rows:
        ended = Outcome(outcome) if outcome else None
        yield AttemptSeen(ref, custom_id, ended, reserved, used, output, cost)


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
