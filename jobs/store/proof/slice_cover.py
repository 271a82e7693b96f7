"""Whether a batch's slices hold each of its jobs exactly once, and whether its jobs are all there.

Slices of one queue lie one after the other; those of different queues may overlap, as each holds only
the jobs of its own queue.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, literal, or_, select
from sqlmodel import Session, col

from jobs.states import SliceState
from jobs.store.engine.wide_sums import sum_of_possible
from jobs.tables import Batch, BigInt, Job, Result, Slice


@dataclass(frozen=True, slots=True)
class JobCounts:
    """A batch's jobs: numbered within the batch, beyond it, and of a name that another has as well."""

    numbered: int
    stray: int
    namesakes: int


@dataclass(frozen=True, slots=True)
class SliceCounts:
    """A batch's slices.

    Attributes:
        slices: how many there are.
        done: of those, how many are done.
        misnumbered: those whose number is beyond the batch's, which leaves another number out.
        overlapping: those that begin before the one before of their queue has ended.
        misfitting: those that don't begin and end with jobs of their queue, or hold another number
            of them than they say.
        jobs: how many jobs they hold together, by their own account.
    """

    slices: int
    done: int
    misnumbered: int
    overlapping: int
    misfitting: int
    jobs: int


_IN_RANGE = and_(
    col(Job.batch_id) == col(Slice.batch_id),
    col(Job.seq).between(col(Slice.first_seq), col(Slice.last_seq)),
)
"""Not by the queue as well: PostgreSQL might join by that, and each job would meet every slice."""

_OWN_SEQ = case((col(Job.queue) == col(Slice.queue), col(Job.seq)))
"""Null for a job of another queue."""


def job_counts(session: Session, batch: Batch) -> JobCounts:
    """Count a batch's jobs, by the indexes of their numbers and names."""
    of_batch, seq = col(Job.batch_id) == batch.id, col(Job.seq)
    is_numbered = and_(seq >= 0, seq < literal(batch.total_jobs, BigInt))
    every, numbered = _row(session, select(func.count(), _times(is_numbered)).where(of_batch))
    names = select(func.count().label("of_name")).where(of_batch).group_by(col(Job.custom_id))
    shared = names.having(func.count() > 1).subquery()
    (namesakes,) = _row(session, select(func.coalesce(func.sum(shared.c.of_name - 1), 0)))
    return JobCounts(numbered, every - numbered, namesakes)


def slice_counts(session: Session, batch: Batch) -> SliceCounts:
    """Count a batch's slices, and look at what each of them holds."""
    of_batch = col(Slice.batch_id) == batch.id
    no, is_done = col(Slice.no), col(Slice.state) == SliceState.DONE
    last_before = func.lag(col(Slice.last_seq)).over(
        partition_by=col(Slice.queue), order_by=col(Slice.first_seq)
    )
    in_order = (
        select(
            col(Slice.jobs).label("jobs"),
            case((is_done, 1), else_=0).label("done"),
            case((or_(no < 0, no >= literal(batch.total_slices, BigInt)), 1), else_=0).label(
                "misnumbered"
            ),
            case((col(Slice.first_seq) <= last_before, 1), else_=0).label("overlapping"),
        )
        .where(of_batch)
        .subquery()
    )
    names = ("done", "misnumbered", "overlapping", "jobs")
    totals = (sum_of_possible(in_order.c[name]) for name in names)
    slices, done, misnumbered, overlapping, jobs = _row(session, select(func.count(), *totals))
    fits = and_(
        func.count(_OWN_SEQ) == col(Slice.jobs),
        func.min(_OWN_SEQ) == col(Slice.first_seq),
        func.max(_OWN_SEQ) == col(Slice.last_seq),
    )
    # Asked slice by slice: of a join PostgreSQL, where it has no statistics yet, reads all jobs for each.
    misfit = select(case((fits, 0), else_=1)).where(_IN_RANGE).correlate(Slice).scalar_subquery()
    misfits = select(misfit.label("misfit")).select_from(Slice).where(of_batch).subquery()
    (misfitting,) = _row(session, select(func.sum(misfits.c.misfit)))
    return SliceCounts(slices, done, misnumbered, overlapping, misfitting, jobs)


def lost_in_slices(session: Session, batch: Batch) -> int:
    """Return how many jobs have no result though their slice is done, so that nobody will run them."""
    answer = select(col(Result.seq)).where(
        col(Result.batch_id) == col(Job.batch_id), col(Result.seq) == col(Job.seq)
    )
    lost = (
        select(func.count(_OWN_SEQ))
        .where(_IN_RANGE, ~answer.correlate(Job).exists())
        .correlate(Slice)
        .scalar_subquery()
    )
    by_slice = (
        select(lost.label("lost"))
        .select_from(Slice)
        .where(col(Slice.batch_id) == batch.id, col(Slice.state) == SliceState.DONE)
        .subquery()
    )
    (count,) = _row(session, select(func.sum(by_slice.c.lost)))
    return count


def _row(session: Session, statement: Any) -> tuple[int, ...]:
    return tuple(int(value or 0) for value in session.connection().execute(statement).one())


def _times(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))
