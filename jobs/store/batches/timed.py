"""Batches that are wanted by a time, or run in some hours only: found, held, hurried, and ended."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Self

from sqlalchemy import func, update
from sqlalchemy import select as sa_select
from sqlmodel import Session, col, or_, select

from jobs.deadlines import AfterDeadline, RunWindow
from jobs.states import FED_BATCH_STATES, BatchState, SliceState, sources
from jobs.store.batches import batches
from jobs.store.engine.database import now
from jobs.store.runs.run_times import RunTimes
from jobs.tables import Batch, Progress, Slice
from jobs.timing import CHEAPER, HOURS, Times, held_by_window, hours_sentence

MOST = 1000
"""Batches that one look finds, oldest first."""

FIRST_LOOK = timedelta(seconds=5)
"""Until then the sweep has looked whether a batch is to wait for a lower price, or it goes on without."""

_OURS = (HOURS, CHEAPER)
"""How the sentences begin that are taken back here."""


@dataclass(frozen=True, slots=True)
class Steering:
    """Until when a batch is held and for which reason, and the urgency that its deadline gives it."""

    batch_id: int
    ref: str
    held_until: datetime | None
    reason: str | None
    urgency: str | None

    @classmethod
    def of(
        cls, batch: Batch, *, held_until: datetime | None, reason: str | None, urgency: str | None
    ) -> Self:
        """Return this of a stored batch."""
        assert batch.id is not None  # a stored row has its key
        return cls(batch.id, batch.ref, held_until, reason, urgency)

    def told(self, batch: Batch) -> str | None:
        """Return what the batch waits for then: what keeps it besides is left alone."""
        said = batch.waiting_for
        is_ours = said is not None and said.startswith(_OURS)
        if not is_ours and (said is not None or self.reason is None):
            return said
        return self.reason if batch.state in FED_BATCH_STATES else None

    def changes(self, batch: Batch) -> bool:
        """Whether there is something to be noted."""
        noted = batch.held_until, batch.urgency, batch.waiting_for
        return noted != (self.held_until, self.urgency, self.told(batch))


def timed(session: Session) -> Sequence[Batch]:
    """Return the unfinished batches that time has a say in."""
    statement = (
        select(Batch)
        .where(
            col(Batch.finished_at).is_(None),
            col(Batch.state).not_in((BatchState.RECEIVING, BatchState.FINALIZING)),
            or_(
                col(Batch.deadline).is_not(None),
                col(Batch.run_window).is_not(None),
                col(Batch.held_until).is_not(None),
            ),
        )
        .order_by(col(Batch.id))
        .limit(MOST)
    )
    return session.exec(statement).all()


def window_of(batch: Batch) -> RunWindow | None:
    """Return the hours in which a batch runs; None for all."""
    return None if batch.run_window is None else RunWindow.of(batch.run_window)


def times_of(
    session: Session, batch: Batch, moment: datetime, run: RunTimes | None = None
) -> Times | None:
    """Return a batch as far as time goes; None without a deadline.

    The deadline of one of a run is the run's, whose stages after it take time as well.
    """
    if batch.deadline is None:
        return None
    work_s = left_s(session, batch, moment)
    if run is not None:
        work_s = max((each for each in (work_s, run.left_s) if each is not None), default=None)
    return Times(
        created_at=batch.created_at if run is None else run.began_at,
        deadline=batch.deadline,
        window=window_of(batch),
        priority=batch.priority,
        urgency=batch.urgency,
        left_s=work_s,
    )


def left_s(session: Session, batch: Batch, moment: datetime) -> float | None:
    """Return the seconds of work that are left: by its newest forecast, else by what it was quoted."""
    newest = (
        sa_select(col(Progress.at), col(Progress.high_s))
        .where(col(Progress.batch_id) == batch.id)
        .order_by(col(Progress.number).desc())
        .limit(1)
    )
    told = session.connection().execute(newest).first()
    if told is not None and batch.state == BatchState.RUNNING:
        at, high_s = told
        if high_s is not None:
            return max(high_s - (moment - at).total_seconds(), 0.0)
    if batch.quoted_s is None or not batch.total_jobs:
        return None
    return batch.quoted_s * (batch.total_jobs - batch.finished_jobs) / batch.total_jobs


class Inspected(NamedTuple):
    """What was found out about a batch before it was accepted; see `jobs.tables.Batch`."""

    quoted_s: float | None = None
    clocked_model: str | None = None


class Sharing(NamedTuple):
    """A batch at work beside others, with its open jobs at a queue."""

    queue: str
    jobs: int
    priority: str
    deadline: datetime | None
    left_s: float | None


def at_work(
    session: Session, queues: Collection[str], until: datetime, besides: Collection[int] = ()
) -> list[Sharing]:
    """Return the batches with open slices in these queues that are fed before a moment, but for `besides`."""
    statement = (
        sa_select(Batch, col(Slice.queue), func.sum(col(Slice.jobs)))
        .join(Slice, col(Slice.batch_id) == col(Batch.id))
        .where(
            col(Slice.state) != SliceState.DONE,
            col(Slice.queue).in_(queues),
            col(Batch.state).in_(FED_BATCH_STATES),
            col(Batch.finished_at).is_(None),
            col(Batch.is_live).is_(False),
            col(Batch.id).not_in(besides),
            or_(col(Batch.held_until).is_(None), col(Batch.held_until) < until),
        )
        .group_by(col(Batch.id), col(Slice.queue))
        .order_by(col(Batch.id))
        .limit(MOST)
    )
    moment = now(session)
    return [
        Sharing(queue, int(jobs), batch.priority, batch.deadline, left_s(session, batch, moment))
        for batch, queue, jobs in session.execute(statement)
    ]


def begin(session: Session, batch_id: int, window: RunWindow | None, found: Inspected) -> None:
    """Note with a batch that is accepted in this transaction how long it takes, and when its hours begin.

    So nothing of it is fed before the sweep has looked.
    """
    moment = now(session)
    values: dict[str, object] = {"quoted_s": found.quoted_s, "clocked_model": found.clocked_model}
    if found.clocked_model is not None:
        values["held_until"] = moment + FIRST_LOOK
    opens = held_by_window(window, moment)
    if window is not None and opens is not None:
        values |= {"held_until": opens, "waiting_for": hours_sentence(window, opens)}
    session.connection().execute(update(Batch).where(col(Batch.id) == batch_id).values(values))


def steer(session: Session, steering: Steering) -> None:
    """Note what was decided about a batch; nothing if it has ended since."""
    batch = batches.lock(session, steering.batch_id)
    if batch.finished_at is not None or batch.state == BatchState.FINALIZING:
        return
    batch.held_until, batch.urgency = steering.held_until, steering.urgency
    batch.waiting_for = steering.told(batch)
    session.add(batch)


def expire_due(session: Session, batch_id: int) -> bool:
    """Let a batch end whose deadline is over, if it was said so; return whether it does from now on."""
    changed = session.connection().execute(
        update(Batch)
        .where(
            col(Batch.id) == batch_id,
            col(Batch.state).in_(sources(BatchState.FINALIZING)),
            col(Batch.after_deadline) == AfterDeadline.EXPIRE,
            col(Batch.deadline) <= now(session),
        )
        .values(
            state=BatchState.FINALIZING,
            pause_cause=None,
            waiting_for=None,
            needed_nanos=None,
            no_room_since=None,
            held_until=None,
            urgency=None,
        )
    )
    return changed.rowcount == 1
