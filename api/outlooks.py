"""What is told of a batch's end: ranges while it runs, and how good they were once it has ended."""

from dataclasses import dataclass

from jobs.outlook import Judgement, Outlook, judged, outlook
from jobs.states import BatchState
from jobs.store import Session, now, progress
from jobs.store.progress import Standing
from jobs.tables import Batch


@dataclass(frozen=True, slots=True)
class Told:
    """One of the two, or nothing yet."""

    outlook: Outlook | None = None
    judgement: Judgement | None = None


NOTHING = Told()


def told_of(session: Session, batch: Batch) -> Told:
    """Return what can be told of a batch's end, by its marks and where it stands now."""
    assert batch.id is not None  # it is in the database
    if batch.finished_at is None and batch.state != BatchState.RUNNING:
        return NOTHING
    rows = progress.marks(session, batch.id)
    if not rows:
        return NOTHING
    if batch.finished_at is not None:
        worked_s = progress.worked_s(rows, batch.finished_at)
        return Told(judgement=judged(progress.looks_of(rows), worked_s, batch.spent_nanos))
    here = Standing.of(batch).mark(progress.worked_s(rows, now(session)))
    return Told(outlook([*map(progress.mark_of, rows), here], batch.total_jobs))
