"""A batch's results, counted: by status, by place in the order of arrival, and by what they lack."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, literal, or_, select
from sqlmodel import Session, col

from jobs.states import ResultStatus
from jobs.store.results.answers import BATCH, LIVE
from jobs.store.results.kept import KEPT
from jobs.store.results.twins import COPIED, DUPLICATE
from jobs.tables import Batch, BigInt, Job, Result

SOURCES = (LIVE, BATCH, DUPLICATE, KEPT)
"""Where answers come from, so far."""


@dataclass(frozen=True, slots=True)
class ResultCounts:
    """A batch's results. That no job has two is the rows' own key, as is that no place is taken twice.

    Attributes:
        by_status: how many jobs of the batch have a result of each status, also of a newer version's.
        stray: results of jobs that the batch doesn't have.
        misshapen: those whose columns contradict their status.
        empty_places: how many places of the order of arrival are empty, or are not places at all.
        with_attempt: those that name the attempt that decided.
        unattempted_answers: those that succeeded, are no copies, and name none.
        kept: those that were there already, in an earlier batch.
        unlike_kept: of these, how many are not what the job that they come from was answered, or come
            from none of the project.
        unlike_twins: copies that are not like the result of the job that they repeat.
    """

    by_status: dict[str, int]
    stray: int
    misshapen: int
    empty_places: int
    with_attempt: int
    unattempted_answers: int
    kept: int
    unlike_kept: int
    unlike_twins: int


def result_counts(session: Session, batch: Batch) -> ResultCounts:
    """Count a batch's results, in one pass."""
    status, place = col(Result.status), col(Result.position)
    is_stray = or_(col(Result.seq) < 0, col(Result.seq) >= literal(batch.total_jobs, BigInt))
    is_answer = status == ResultStatus.SUCCEEDED
    # Not grouped by the status: SQLite would sort all of them.
    counted = select(
        func.count(),
        _times(is_stray),
        _times(_is_misshapen()),
        _times(place < 1),
        func.max(place),
        func.count(col(Result.attempt)),
        _times(
            and_(is_answer, col(Result.source).in_((LIVE, BATCH)), col(Result.attempt).is_(None))
        ),
        _times(_IS_KEPT),
        _times(_IS_COPY),
        *(_times(and_(status == of_status, ~is_stray)) for of_status in ResultStatus),
    ).where(col(Result.batch_id) == batch.id)
    row = session.connection().execute(counted).one()
    every, stray, misshapen, below, last, with_attempt, unattempted, kept, copies, *by_status = (
        int(count or 0) for count in row
    )
    return ResultCounts(
        by_status=dict(zip(ResultStatus, by_status, strict=True)),
        stray=stray,
        misshapen=misshapen,
        empty_places=below + max(0, last - (every - below)),
        with_attempt=with_attempt,
        unattempted_answers=unattempted,
        kept=kept,
        unlike_kept=_unlike_kept(session, batch) if kept else 0,
        unlike_twins=_unlike_twins(session, batch) if copies else 0,
    )


def _unlike_kept(session: Session, batch: Batch) -> int:
    """Count the kept results that are not what they come from.

    One that was judged again, by a retry, may have another form: there must only be such a job.
    """
    origin = Result.__table__.alias("origin")  # type: ignore[attr-defined]  # SQLModel sets it, untyped
    its_batch = Batch.__table__.alias("its_batch")  # type: ignore[attr-defined]  # as above
    alike = [origin.c[name].is_not_distinct_from(getattr(Result, name)) for name in COPIED]
    is_unlike = or_(origin.c.seq.is_(None), its_batch.c.id.is_(None))
    if batch.retry_of is None:
        is_unlike = or_(is_unlike, ~and_(*alike))
    counted = (
        select(func.count())
        .select_from(Result)
        .outerjoin(
            origin,
            (origin.c.batch_id == col(Result.origin_batch_id))
            & (origin.c.seq == col(Result.origin_seq)),
        )
        .outerjoin(
            its_batch,
            (its_batch.c.id == col(Result.origin_batch_id))
            & (its_batch.c.project_id == batch.project_id),
        )
        .where(col(Result.batch_id) == batch.id, _IS_KEPT, is_unlike)
    )
    return int(session.connection().execute(counted).scalar_one())


def _unlike_twins(session: Session, batch: Batch) -> int:
    """Count the copies that are not like the result of the job that they repeat, or repeat none."""
    first = Result.__table__.alias("first")  # type: ignore[attr-defined]  # SQLModel sets it, untyped
    alike = (first.c[name].is_not_distinct_from(getattr(Result, name)) for name in COPIED)
    counted = (
        select(func.count())
        .select_from(Result)
        .outerjoin(Job, (col(Job.batch_id) == batch.id) & (col(Job.seq) == col(Result.seq)))
        .outerjoin(first, (first.c.batch_id == batch.id) & (first.c.seq == col(Job.first_seq)))
        .where(
            col(Result.batch_id) == batch.id, _IS_COPY, or_(first.c.seq.is_(None), ~and_(*alike))
        )
    )
    return int(session.connection().execute(counted).scalar_one())


_IS_COPY = col(Result.source) == DUPLICATE
_IS_KEPT = col(Result.source) == KEPT


def _is_misshapen() -> Any:
    """Whether a result's columns contradict its status."""
    status, has_error = col(Result.status), col(Result.error_code).is_not(None)
    has_output, has_attempt = col(Result.output).is_not(None), col(Result.attempt).is_not(None)
    is_answer = and_(has_output, col(Result.finish_reason).is_not(None), ~has_error)
    is_cancelled = and_(has_error, ~has_output, ~has_attempt)
    return or_(
        col(Result.source).not_in(SOURCES),
        and_(status == ResultStatus.SUCCEEDED, ~is_answer),
        and_(status == ResultStatus.FAILED, ~has_error),
        and_(status == ResultStatus.CANCELLED, ~is_cancelled),
        and_(or_(_IS_COPY, _IS_KEPT), has_attempt),
        and_(col(Result.origin_batch_id).is_not(None), col(Result.origin_seq).is_not(None))
        != _IS_KEPT,
    )


def _times(condition: Any) -> Any:
    return func.sum(case((condition, 1), else_=0))
