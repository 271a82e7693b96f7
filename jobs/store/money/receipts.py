"""What receipts are made of: the rows of batches, their attempts by model and lane, and the ledger's days.

Nothing is locked. A batch's receipt adds its attempts up, some seconds of a million; a month's reads the
ledger, and sums of the batches that ended in it.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from sqlalchemy import case, func, select
from sqlmodel import Session, col

from jobs.receipt import (
    Due,
    Part,
    Receipt,
    Saved,
    Together,
    Work,
    deadline_of_run,
    deadlines_of,
    receipt,
    together,
)
from jobs.states import BILLED_OUTCOMES, FINAL_RUN_STATES, Outcome
from jobs.store.batches.batches import by_ids
from jobs.store.engine.database import now
from jobs.store.engine.wide_sums import sum_of_possible
from jobs.store.runs.run_batches import ids_of
from jobs.tables import Attempt, Batch, LedgerDay, Run

IDS_TOGETHER = 500
"""Batches whose attempts one statement adds up."""

_INPUT = (
    func.coalesce(col(Attempt.input_tokens), 0)
    + func.coalesce(col(Attempt.cached_input_tokens), 0)
    + func.coalesce(col(Attempt.cache_write_tokens), 0)
)
_IS_LINE = col(Attempt.native_id).is_not(None)
_IS_LOST = col(Attempt.outcome) == Outcome.UNKNOWN
"""Its answer never came. One without a usage is charged at its worst case as well, and not for nothing."""

_IS_UNPRICED = col(Attempt.cost_nanos).is_(None) & (
    col(Attempt.outcome).in_(BILLED_OUTCOMES) | col(Attempt.input_tokens).is_not(None)
)
_BY_LANE = case((_IS_LINE, "batch"), else_="live")


def of_batches(session: Session, batch_ids: Sequence[int]) -> Receipt:
    """Return the receipt of some batches together: of one, or of those of a run.

    What it says was paid is the sum of their attempts, which is what they have spent.
    """
    parts: dict[tuple[str, str, str], list[int]] = {}
    for first in range(0, len(batch_ids), IDS_TOGETHER):
        statement = (
            select(
                col(Attempt.provider),
                col(Attempt.model),
                _BY_LANE.label("lane"),
                func.count(),
                sum_of_possible(_INPUT),
                sum_of_possible(col(Attempt.output_tokens)),
                sum_of_possible(col(Attempt.cost_nanos)),
                func.sum(case((_IS_UNPRICED, 1), else_=0)),
                func.sum(case((_IS_LOST, 1), else_=0)),
                sum_of_possible(case((_IS_LOST, col(Attempt.cost_nanos)), else_=0)),
            )
            .where(col(Attempt.batch_id).in_(batch_ids[first : first + IDS_TOGETHER]))
            .group_by(col(Attempt.provider), col(Attempt.model), _IS_LINE)
        )
        for provider, model, lane, *sums in session.connection().execute(statement):
            own = parts.setdefault((provider, model, lane), [0] * len(sums))
            for place, value in enumerate(sums):
                own[place] += int(value)
    works = [work_of(batch) for batch in by_ids(session, batch_ids)]
    return receipt(together(works), (Part(*key, *sums) for key, sums in parts.items()))


def of_run(session: Session, run: Run) -> Receipt:
    """Return the receipt of a run: of the batches of all its stages, with the deadline of its own."""
    assert run.id is not None  # a stored row has its key
    found = of_batches(session, ids_of(session, run.id))
    deadlines = deadline_of_run(run.state, run.deadline, run.finished_at, now(session))
    deadlines = replace(deadlines, unreachable=run.unreachable)
    return replace(found, deadlines=deadlines, is_final=run.state in FINAL_RUN_STATES)


def of_month(session: Session, project_id: int, first_day: date) -> Receipt:
    """Return the receipt of a project's month (UTC).

    What was paid is by the ledger's days, and so is what caches saved. Jobs, deadlines, waste, and what lanes
    and kept answers saved, are of the batches that ended in the month.
    """
    end = _month_after(first_day)
    is_lost = col(LedgerDay.outcome) == Outcome.UNKNOWN
    days = (
        select(
            col(LedgerDay.provider),
            col(LedgerDay.model),
            func.sum(col(LedgerDay.attempts)),
            func.sum(
                col(LedgerDay.input_tokens)
                + col(LedgerDay.cached_input_tokens)
                + col(LedgerDay.cache_write_tokens)
            ),
            func.sum(col(LedgerDay.output_tokens)),
            func.sum(col(LedgerDay.cost_nanos)),
            func.sum(col(LedgerDay.unpriced_attempts)),
            func.sum(case((is_lost, col(LedgerDay.attempts)), else_=0)),
            func.sum(case((is_lost, col(LedgerDay.cost_nanos)), else_=0)),
            func.sum(col(LedgerDay.cache_saved_nanos)),
        )
        .where(
            col(LedgerDay.project_id) == project_id,
            col(LedgerDay.day) >= first_day,
            col(LedgerDay.day) < end,
        )
        .group_by(col(LedgerDay.provider), col(LedgerDay.model))
    )
    parts, cache_saved_nanos = [], 0
    for provider, model, *sums, saved in session.connection().execute(days):
        parts.append(Part(provider, model, None, *map(int, sums)))
        cache_saved_nanos += int(saved)
    done = _ended(session, project_id, _midnight(first_day), _midnight(end))
    return receipt(
        replace(done, saved=replace(done.saved, cache_nanos=cache_saved_nanos)),
        parts,
    )


def _ended(session: Session, project_id: int, since: datetime, before: datetime) -> Together:
    """Return the batches that ended within a time, added up by the database but for their deadlines."""
    ended = (
        col(Batch.project_id) == project_id,
        col(Batch.finished_at) >= since,
        col(Batch.finished_at) < before,
    )
    figures = (
        col(Batch.total_jobs),
        col(Batch.succeeded),
        col(Batch.collapsed_jobs) + col(Batch.reused_jobs),
        col(Batch.lane_saved_nanos),
        col(Batch.cache_saved_nanos),
        col(Batch.saved_nanos),
        col(Batch.bad_answers),
        col(Batch.bad_nanos),
    )
    sums = select(func.count(), *map(sum_of_possible, figures)).where(*ended)
    batches, jobs, succeeded, not_called, lane, cache, reuse, bad_answers, bad_nanos = map(
        int, session.connection().execute(sums).one()
    )
    dues = select(col(Batch.state), col(Batch.deadline), col(Batch.finished_at)).where(
        *ended, col(Batch.deadline).is_not(None)
    )
    return Together(
        batches=batches,
        jobs=jobs,
        succeeded=succeeded,
        not_called=not_called,
        saved=Saved(lane, cache, reuse),
        bad_answers=bad_answers,
        bad_nanos=bad_nanos,
        deadlines=deadlines_of([Due(*row) for row in session.connection().execute(dues)]),
        is_final=True,
    )


def work_of(batch: Batch) -> Work:
    """Return a batch as far as its receipt goes."""
    return Work(
        jobs=batch.total_jobs,
        succeeded=batch.succeeded,
        not_called=batch.collapsed_jobs + batch.reused_jobs,
        lane_saved_nanos=batch.lane_saved_nanos,
        cache_saved_nanos=batch.cache_saved_nanos or 0,
        reuse_saved_nanos=batch.saved_nanos,
        bad_answers=batch.bad_answers,
        bad_nanos=batch.bad_nanos,
        due=Due(batch.state, batch.deadline, batch.finished_at),
    )


def _month_after(first_day: date) -> date:
    years, month = divmod(first_day.month, 12)
    return date(first_day.year + years, month + 1, 1)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
