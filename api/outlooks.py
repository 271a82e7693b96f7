"""What is told of a batch's end: ranges while it runs, and how good they were once it has ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobs.outlook import Judgement, Outlook, judged, outlook
from jobs.states import BatchState
from jobs.store import Session, now
from jobs.store.batches import progress, timed
from jobs.store.batches.progress import Standing
from jobs.tables import Batch, Progress
from jobs.timing import Timing, timing, timing_of_ended


@dataclass(frozen=True, slots=True)
class Told:
    """One of the two, or nothing yet."""

    outlook: Outlook | None = None
    judgement: Judgement | None = None


NOTHING = Told()


def timing_of(batch: Batch, told: Outlook | None, moment: datetime) -> Timing | None:
    """Return how a batch stands to its deadline; None without one, and of one that was cancelled."""
    if batch.deadline is None or batch.state in {BatchState.CANCELLED, BatchState.CANCELLING}:
        return None
    if batch.finished_at is not None:
        has_expired = batch.state == BatchState.EXPIRED
        return timing_of_ended(batch.deadline, batch.finished_at, has_expired=has_expired)
    left_s = None if told is None else (told.left_s.low, told.left_s.high)
    return timing(batch.deadline, left_s, timed.window_of(batch), moment)


def told_of(session: Session, batch: Batch) -> Told:
    """Return what can be told of a batch's end, by its marks and where it stands now."""
    return told_of_each(session, [batch])[batch.ref]


def told_of_each(session: Session, batches: Sequence[Batch]) -> Mapping[str, Told]:
    """Return what can be told of each batch's end, by its ref, with one look for all of them."""
    telling = {
        batch.ref: batch.id
        for batch in batches
        if batch.id is not None and (batch.finished_at is not None or _may_tell(batch))
    }
    marks = progress.marks_of_each(session, list(telling.values()))
    moment = now(session)
    return {
        batch.ref: _told(batch, marks.get(telling.get(batch.ref, -1), ()), moment)
        for batch in batches
    }


def _told(batch: Batch, rows: Sequence[Progress], moment: datetime) -> Told:
    # What was foretold of the whole says nothing of what a deadline has cut off.
    if not rows or batch.state == BatchState.EXPIRED:
        return NOTHING
    if batch.finished_at is not None:
        worked_s = progress.worked_s(rows, batch.finished_at)
        return Told(judgement=judged(progress.looks_of(rows), worked_s, batch.spent_nanos))
    here = Standing.of(batch).mark(progress.worked_s(rows, moment))
    return Told(outlook([*map(progress.mark_of, rows), here], batch.total_jobs))


def _may_tell(batch: Batch) -> bool:
    """Whether an unfinished batch has an end that can be told: to an open one jobs are still added."""
    return batch.state == BatchState.RUNNING and not batch.is_open
