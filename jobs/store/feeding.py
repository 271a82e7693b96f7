"""Choosing which waiting slices go to the broker next: shared by weight, within a window."""

import heapq
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, or_, select, text, update
from sqlmodel import Session, col

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


# Built once: putting them together costs more than running them.
_IS_DUE = (
    col(Slice.queue) == bindparam("queue"),
    col(Slice.state) == SliceState.WAITING,
    or_(col(Slice.not_before).is_(None), col(Slice.not_before) <= bindparam("moment")),
)
_BATCHES_WITH_WORK = (
    select(col(Batch.id), col(Batch.ref), col(Batch.priority), col(Batch.served))
    .where(
        col(Batch.state).in_(FED_BATCH_STATES),
        col(Batch.finished_at).is_(None),
        select(col(Slice.no)).where(col(Slice.batch_id) == col(Batch.id), *_IS_DUE).exists(),
    )
    .order_by(col(Batch.served), col(Batch.id))
    .limit(bindparam("room"))
)
_DUE_SLICES = (
    select(col(Slice.no), col(Slice.jobs))
    .where(col(Slice.batch_id) == bindparam("of"), *_IS_DUE)
    .order_by(col(Slice.no))
    .limit(bindparam("room"))
)
_OPEN_SLICES = (
    select(func.count())
    .select_from(Slice)
    .where(
        col(Slice.queue) == bindparam("queue"),
        col(Slice.state).in_((SliceState.FED, SliceState.LEASED)),
    )
)
_MARK_FED = (
    update(Slice)
    .where(
        col(Slice.batch_id) == bindparam("of"),
        col(Slice.no) == bindparam("number"),
        col(Slice.state) == SliceState.WAITING,
    )
    .values(state=SliceState.FED, fed_at=bindparam("at"))
)
_MARK_SERVED = (
    update(Batch)
    .where(col(Batch.id) == bindparam("of"))
    .values(served=col(Batch.served) + bindparam("units"))
)


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
    served: int
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
    picked = _share_out(_waiting(session, queue, room, moment), room)
    if not picked:
        return []
    connection = session.connection()
    # Batches first, in the order of their ids, then slices: as everybody locks them.
    served = {pick.share.batch_id: pick.served_after - pick.share.served for pick in picked}
    connection.execute(
        _MARK_SERVED, [{"of": of, "units": units} for of, units in sorted(served.items())]
    )
    connection.execute(
        _MARK_FED,
        [{"of": pick.share.batch_id, "number": pick.slice_no, "at": moment} for pick in picked],
    )
    return [FedSlice(queue, pick.share.ref, pick.slice_no) for pick in picked]


@dataclass(frozen=True, slots=True)
class _Pick:
    """A slice that gets a place, and what its batch has been served then."""

    share: _Share
    slice_no: int
    served_after: int


def _share_out(waiting: Sequence[_Share], room: int) -> list[_Pick]:
    """Give each of `room` places to the batch that was served least for its weight, in order."""
    heap = [(share.served, index, 0) for index, share in enumerate(waiting)]
    heapq.heapify(heap)
    picked: list[_Pick] = []
    while heap and len(picked) < room:
        served, index, taken = heapq.heappop(heap)
        share = waiting[index]
        slice_no, jobs = share.slices[taken]
        served += jobs * SERVICE_SCALE // share.weight
        picked.append(_Pick(share, slice_no, served))
        if taken + 1 < len(share.slices):
            heapq.heappush(heap, (served, index, taken + 1))
    return picked


def _room(session: Session, queue: str) -> int:
    window = WINDOW_PER_WORKER * max(1, live_workers(session, queue))
    open_slices = session.connection().execute(_OPEN_SLICES, {"queue": queue}).scalar_one()
    return window - open_slices


def _waiting(session: Session, queue: str, room: int, moment: datetime) -> list[_Share]:
    """Return the batches with due slices for a queue, at most `room` slices of each."""
    due = {"queue": queue, "moment": moment, "room": room}
    connection = session.connection()
    shares: list[_Share] = []
    for batch_id, ref, priority, served in connection.execute(_BATCHES_WITH_WORK, due).all():
        assert batch_id is not None  # a stored row has its key
        slices = connection.execute(_DUE_SLICES, {"of": batch_id, **due}).all()
        weight = WEIGHTS[Priority(priority)]
        shares.append(_Share(batch_id, ref, served, weight, [(no, jobs) for no, jobs in slices]))
    return shares


def _lock_queue(session: Session, queue: str) -> None:
    """Let one process at a time feed a queue, or two would fill the window twice."""
    if session.get_bind().dialect.name == "sqlite":
        return
    session.connection().execute(
        text("SELECT pg_advisory_xact_lock(:room, :queue)"),
        {"room": 0x7469, "queue": zlib.crc32(queue.encode()) - 2**31},
    )
