"""Which batches are to be shared out over the lanes, and by whom: by one, until all of it is decided."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, or_, select, update
from sqlmodel import Session, col

from jobs.states import FED_BATCH_STATES, NativeState, SliceState
from jobs.store.batches.jobs import SliceRange
from jobs.store.engine.database import now
from jobs.tables import Batch, NativeBatch, Slice

SHARING = timedelta(seconds=15)
"""Whoever shares a batch out and gives no sign of it for so long has died: another one begins."""

ROUND = timedelta(minutes=1)
"""Between two rounds of an open batch, to which slices were added during the first."""


@dataclass(frozen=True, slots=True)
class Share:
    """A batch that is being shared out; `due_at` is what its row says as long as the sharer has it."""

    batch_id: int
    ref: str
    defaults: str
    lane: str
    deadline: datetime | None
    due_at: datetime


def undecided(session: Session) -> list[tuple[str, str]]:
    """Return (queue, batch) of batches whose waiting slices are to be shared out, and nobody does it."""
    first = (
        select(func.min(Slice.queue))
        .where(col(Slice.batch_id) == col(Batch.id), col(Slice.state) == SliceState.WAITING)
        .scalar_subquery()
    )
    found = session.connection().execute(
        select(func.coalesce(first, ""), col(Batch.ref)).where(
            col(Batch.finished_at).is_(None),
            col(Batch.state).in_(FED_BATCH_STATES),
            col(Batch.lane_due_at) <= now(session),
            # Outside of its hours a batch's work goes to neither lane.
            or_(col(Batch.held_until).is_(None), col(Batch.held_until) <= now(session)),
        )
    )
    return [(queue, ref) for queue, ref in found]


def begin(session: Session, ref: str) -> Share | None:
    """Begin to share a batch out; None if that is not due, or somebody else does it."""
    moment = now(session)
    due_at = moment + SHARING
    taken = session.connection().execute(
        update(Batch)
        .where(
            col(Batch.ref) == ref,
            col(Batch.lane_due_at) <= moment,
            col(Batch.state).in_(FED_BATCH_STATES),
            or_(col(Batch.held_until).is_(None), col(Batch.held_until) <= moment),
        )
        .values(lane_due_at=due_at)
    )
    if taken.rowcount != 1:
        return None
    batch = session.execute(select(Batch).where(col(Batch.ref) == ref)).scalar_one()
    assert batch.id is not None  # a stored row has its key
    return Share(batch.id, ref, batch.defaults, batch.lane, batch.deadline, due_at)


def go_on(session: Session, share: Share) -> datetime | None:
    """Give a sign of life; return the new mark, or None if another one has begun, or more is to be shared."""
    due_at = now(session) + SHARING
    return due_at if _mark(session, share, due_at) else None


def end(session: Session, share: Share, *, seen: int) -> bool:
    """Let what is left be fed; False if another one has begun.

    Slices with a number above `seen`, which were added meanwhile, are shared out in another round.
    """
    if not waiting(session, share.batch_id, after=seen, limit=1):
        return _mark(session, share, None)
    return _mark(session, share, now(session) + ROUND)


def waiting(session: Session, batch_id: int, *, after: int, limit: int) -> Sequence[SliceRange]:
    """Return slices of a batch that wait, in order, with the ranges of their jobs."""
    rows = session.connection().execute(
        select(
            col(Slice.no),
            col(Slice.queue),
            col(Slice.first_seq),
            col(Slice.last_seq),
            col(Slice.jobs),
        )
        .where(
            col(Slice.batch_id) == batch_id,
            col(Slice.state) == SliceState.WAITING,
            col(Slice.no) > after,
        )
        .order_by(col(Slice.no))
        .limit(limit)
    )
    return [SliceRange(*row) for row in rows]


def outstanding(session: Session, batch_id: int, provider: str) -> tuple[int, int]:
    """Return the jobs and input tokens of a batch that native batches at a provider still owe."""
    left = col(NativeBatch.jobs) - func.coalesce(NativeBatch.done, 0)
    rows = session.connection().execute(
        select(left, col(NativeBatch.jobs), col(NativeBatch.estimated_tokens)).where(
            col(NativeBatch.batch_id) == batch_id,
            col(NativeBatch.provider) == provider,
            col(NativeBatch.state).not_in((NativeState.ENDED, NativeState.LOST)),
        )
    )
    jobs = tokens = 0
    for owed, every, estimated in rows:
        jobs += max(owed, 0)
        tokens += round(estimated * max(owed, 0) / max(every, 1))
    return jobs, tokens


def _mark(session: Session, share: Share, due_at: datetime | None) -> bool:
    marked = session.connection().execute(
        update(Batch)
        .where(col(Batch.id) == share.batch_id, col(Batch.lane_due_at) == share.due_at)
        .values(lane_due_at=due_at)
    )
    return marked.rowcount == 1
