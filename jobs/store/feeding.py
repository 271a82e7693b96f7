"""Choosing which waiting slices go to the broker next: shared by weight, within a window."""

import heapq
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, text, update
from sqlmodel import Session, col, or_, select

from jobs.states import FED_BATCH_STATES, WEIGHTS, Priority, SliceState
from jobs.store.database import now
from jobs.store.workers import live_workers
from jobs.tables import Batch, Slice

WINDOW_PER_WORKER = 12
"""Slices per worker process that are published or have jobs to dispatch.

Refilling takes some 50 ms (a transaction, a message, a lease), which is two slices at 3,000 jobs/s.
The rest is for the start, when a thousand permits are free at once.
"""

SERVICE_SCALE = 1 << 20
"""Units of `served` that a job costs a batch of weight 1; large, so that integers share finely."""


@dataclass(frozen=True, slots=True)
class FedSlice:
    """A slice to be named in a message."""

    queue: str
    batch_ref: str
    slice_no: int


@dataclass(frozen=True, slots=True)
class _Share:
    """A batch with work for the queue; `slices` are (number, jobs), in order."""

    batch_id: int
    ref: str
    weight: int
    slices: Sequence[tuple[int, int]]


def feed(session: Session, queue: str) -> list[FedSlice]:
    """Mark as many waiting slices of a queue `fed` as its window has room for, and return them.

    The caller publishes them after the commit. If it dies before, the sweep finds them.
    """
    _lock_queue(session, queue)
    room = _room(session, queue)
    if room <= 0:
        return []
    moment = now(session)
    waiting = _waiting(session, queue, room, moment)
    fed: list[FedSlice] = []
    for served, share, count in _share_out(waiting, room):
        numbers = [no for no, _jobs in share.slices[:count]]
        session.connection().execute(
            update(Slice)
            .where(
                col(Slice.batch_id) == share.batch_id,
                col(Slice.no).in_(numbers),
                col(Slice.state) == SliceState.WAITING,
            )
            .values(state=SliceState.FED, fed_at=moment)
        )
        session.connection().execute(
            update(Batch).where(col(Batch.id) == share.batch_id).values(served=served)
        )
        fed += [FedSlice(queue, share.ref, no) for no in numbers]
    return fed


def _share_out(waiting: Sequence[tuple[int, _Share]], room: int) -> list[tuple[int, _Share, int]]:
    """Give each free place to the batch served least for its weight.

    Args:
        waiting: (served so far, batch), for each batch with work.
        room: places to give.

    Returns:
        (served afterwards, batch, slices it gets), for each batch that gets any.
    """
    heap = [(served, share.batch_id, index) for index, (served, share) in enumerate(waiting)]
    heapq.heapify(heap)
    taken = [0] * len(waiting)
    after = [served for served, _share in waiting]
    while heap and room > 0:
        served, batch_id, index = heapq.heappop(heap)
        share = waiting[index][1]
        jobs = share.slices[taken[index]][1]
        taken[index] += 1
        after[index] = served + jobs * SERVICE_SCALE // share.weight
        room -= 1
        if taken[index] < len(share.slices):
            heapq.heappush(heap, (after[index], batch_id, index))
    return [
        (after[index], share, taken[index])
        for index, (_served, share) in enumerate(waiting)
        if taken[index]
    ]


def _room(session: Session, queue: str) -> int:
    window = WINDOW_PER_WORKER * max(1, live_workers(session, queue))
    open_slices = session.exec(
        select(func.count())
        .select_from(Slice)
        .where(Slice.queue == queue, col(Slice.state).in_((SliceState.FED, SliceState.LEASED)))
    ).one()
    return window - open_slices


def _waiting(session: Session, queue: str, room: int, moment: datetime) -> list[tuple[int, _Share]]:
    """Return the batches with due slices for a queue, at most `room` slices of each."""
    is_due = (
        Slice.queue == queue,
        Slice.state == SliceState.WAITING,
        or_(col(Slice.not_before).is_(None), col(Slice.not_before) <= moment),
    )
    rows = session.exec(
        select(Batch.id, Batch.ref, Batch.priority, Batch.served)
        .where(
            col(Batch.state).in_(FED_BATCH_STATES),
            col(Batch.finished_at).is_(None),
            select(Slice.no).where(Slice.batch_id == Batch.id, *is_due).exists(),
        )
        .order_by(col(Batch.served), col(Batch.id))
        .limit(room)
    ).all()
    shares: list[tuple[int, _Share]] = []
    for batch_id, ref, priority, served in rows:
        assert batch_id is not None  # noqa: S101  (a stored row has its key)
        slices = session.exec(
            select(Slice.no, Slice.jobs)
            .where(Slice.batch_id == batch_id, *is_due)
            .order_by(col(Slice.no))
            .limit(room)
        ).all()
        shares.append((served, _Share(batch_id, ref, WEIGHTS[Priority(priority)], slices)))
    return shares


def _lock_queue(session: Session, queue: str) -> None:
    """Let one process at a time feed a queue, or two would fill the window twice."""
    if session.get_bind().dialect.name == "sqlite":
        return
    session.connection().execute(
        text("SELECT pg_advisory_xact_lock(:room, :queue)"),
        {"room": 0x7469, "queue": zlib.crc32(queue.encode()) - 2**31},
    )
