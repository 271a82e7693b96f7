"""Which slices go to the broker next: shared by weight, within a window; and which must go again.

Beside the window each priority has a few places that no other one takes. At a slow pool a slice takes
minutes, and a person's ten jobs would wait for one of a nightly batch's to end, or the reverse.
"""

import heapq
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, func, or_, select, text, update
from sqlmodel import Session, col

from jobs.states import FED_BATCH_STATES, WEIGHTS, Priority, SliceState
from jobs.store.engine.database import now
from jobs.store.workers import live_workers
from jobs.tables import Batch, Slice

WINDOW_PER_WORKER = 20
"""Slices per worker process that are published or have jobs to dispatch.

Refilling takes some 50 ms (a transaction, a message, a lease), which is two slices at 3,000 jobs/s,
and at times 300 ms, when two processes write to SQLite. With 12 the calls of one ran dry meanwhile.
"""

OWN_PLACES_PER_WORKER = 2
"""Slices of each priority that are fed though the window is full of others."""

SERVICE_SCALE = 1 << 20
"""Units of `served` that a job costs a batch of weight 1; large, so that integers share finely."""

# Built once: putting them together costs more than running them.
_IS_DUE = (
    col(Slice.queue) == bindparam("queue"),
    col(Slice.state) == SliceState.WAITING,
    or_(col(Slice.not_before).is_(None), col(Slice.not_before) <= bindparam("moment")),
)
EFFECTIVE_PRIORITY = func.coalesce(col(Batch.urgency), col(Batch.priority))
"""The priority that a batch has by now: its own, or the higher one that its deadline gives it."""

_LEAST_SERVED = (col(Batch.served), col(Batch.id))
_WITH_WORK = (
    select(
        col(Batch.id),
        col(Batch.ref),
        EFFECTIVE_PRIORITY.label("priority"),
        col(Batch.served),
        func.row_number()
        .over(partition_by=EFFECTIVE_PRIORITY, order_by=_LEAST_SERVED)
        .label("nth"),
    )
    .where(
        col(Batch.state).in_(FED_BATCH_STATES),
        col(Batch.finished_at).is_(None),
        col(Batch.lane_due_at).is_(None),
        or_(col(Batch.held_until).is_(None), col(Batch.held_until) <= bindparam("moment")),
        select(col(Slice.no)).where(col(Slice.batch_id) == col(Batch.id), *_IS_DUE).exists(),
    )
    .subquery()
)
_BATCHES_WITH_WORK = (
    select(_WITH_WORK.c.id, _WITH_WORK.c.ref, _WITH_WORK.c.priority, _WITH_WORK.c.served)
    .where(_WITH_WORK.c.nth <= bindparam("most"))
    .order_by(_WITH_WORK.c.served, _WITH_WORK.c.id)
)
_DUE_SLICES = (
    select(col(Slice.no), col(Slice.jobs))
    .where(col(Slice.batch_id) == bindparam("of"), *_IS_DUE)
    .order_by(col(Slice.no))
    .limit(bindparam("most"))
)
_OPEN_SLICES = (
    select(EFFECTIVE_PRIORITY, func.count())
    .select_from(Slice)
    .join(Batch, col(Batch.id) == col(Slice.batch_id))
    .where(
        col(Slice.queue) == bindparam("queue"),
        col(Slice.state).in_((SliceState.FED, SliceState.LEASED)),
    )
    .group_by(EFFECTIVE_PRIORITY)
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
    priority: Priority
    slices: Sequence[tuple[int, int]]


@dataclass(slots=True)
class _Room:
    """How many more slices may be fed: of any priority, and of each beyond that."""

    shared: int
    own: dict[Priority, int]

    @property
    def most(self) -> int:
        """How many slices of one priority there may be room for."""
        return max(self.shared, *self.own.values())

    def has(self, priority: Priority) -> bool:
        """Whether there is a place for a slice of this priority."""
        return self.shared > 0 or self.own[priority] > 0

    def take(self, priority: Priority) -> None:
        """Take a place."""
        self.shared -= 1
        self.own[priority] -= 1


def feed(session: Session, queue: str) -> list[FedSlice]:
    """Mark as many waiting slices of a queue `fed` as its window has room for, and return them.

    The caller publishes them after the commit. If it dies before, the sweep finds them.
    """
    _lock_queue(session, queue)
    room = _room(session, queue)
    if room.most <= 0:
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


def queues_with_waiting(session: Session) -> list[str]:
    """Return the queues that have slices waiting to be fed."""
    waiting = select(col(Slice.queue)).where(col(Slice.state) == SliceState.WAITING).distinct()
    return list(session.connection().execute(waiting).scalars())


def stale_messages(session: Session, fed_before: datetime) -> list[FedSlice]:
    """Return the slices whose message seems to be lost, by queue."""
    stale = (
        select(col(Slice.queue), col(Batch.ref), col(Slice.no))
        .join(Batch, col(Batch.id) == col(Slice.batch_id))
        .where(col(Slice.state) == SliceState.FED, col(Slice.fed_at) < fed_before)
        .order_by(col(Slice.queue), col(Slice.fed_at))
    )
    return [FedSlice(*row) for row in session.connection().execute(stale)]


def fed_slices(session: Session, queue: str) -> int:
    """Return for how many slices of a queue there should be a message."""
    fed = (
        select(func.count())
        .select_from(Slice)
        .where(col(Slice.queue) == queue, col(Slice.state) == SliceState.FED)
    )
    return session.connection().execute(fed).scalar_one()


def mark_fed(session: Session, queue: str, fed_before: datetime) -> None:
    """Restart the wait for the messages of a queue that were published again."""
    session.connection().execute(
        update(Slice)
        .where(
            col(Slice.queue) == queue,
            col(Slice.state) == SliceState.FED,
            col(Slice.fed_at) < fed_before,
        )
        .values(fed_at=now(session))
    )


@dataclass(frozen=True, slots=True)
class _Pick:
    """A slice that gets a place, and what its batch has been served then."""

    share: _Share
    slice_no: int
    served_after: int


def _share_out(waiting: Sequence[_Share], room: _Room) -> list[_Pick]:
    """Give each place to the batch that was served least for its weight, of those that may have it."""
    heap = [(share.served, index, 0) for index, share in enumerate(waiting)]
    heapq.heapify(heap)
    picked: list[_Pick] = []
    while heap:
        served, index, taken = heapq.heappop(heap)
        share = waiting[index]
        if not room.has(share.priority):
            continue
        room.take(share.priority)
        slice_no, jobs = share.slices[taken]
        served += jobs * SERVICE_SCALE // WEIGHTS[share.priority]
        picked.append(_Pick(share, slice_no, served))
        if taken + 1 < len(share.slices):
            heapq.heappush(heap, (served, index, taken + 1))
    return picked


def _room(session: Session, queue: str) -> _Room:
    workers = max(1, live_workers(session, queue))
    found = session.connection().execute(_OPEN_SLICES, {"queue": queue})
    fed: dict[str, int] = {row[0]: row[1] for row in found}
    own = {each: OWN_PLACES_PER_WORKER * workers - fed.get(each, 0) for each in Priority}
    return _Room(WINDOW_PER_WORKER * workers - sum(fed.values()), own)


def _waiting(session: Session, queue: str, room: _Room, moment: datetime) -> list[_Share]:
    """Return the batches with due slices for a queue that there may be room for."""
    due = {"queue": queue, "moment": moment, "most": room.most}
    connection = session.connection()
    shares: list[_Share] = []
    for batch_id, ref, priority, served in connection.execute(_BATCHES_WITH_WORK, due).all():
        assert batch_id is not None  # a stored row has its key
        if priority not in WEIGHTS or not room.has(Priority(priority)):
            continue  # a priority that this version does not know is a newer one's to feed
        slices = connection.execute(_DUE_SLICES, {"of": batch_id, **due}).all()
        due_slices = [(no, jobs) for no, jobs in slices]
        if due_slices:  # else they were held back, or cancelled, since the batches were read
            shares.append(_Share(batch_id, ref, served, Priority(priority), due_slices))
    return shares


def _lock_queue(session: Session, queue: str) -> None:
    """Let one process at a time feed a queue, or two would fill the window twice."""
    if session.get_bind().dialect.name == "sqlite":
        return
    session.connection().execute(
        text("SELECT pg_advisory_xact_lock(:room, :queue)"),
        {"room": 0x7469, "queue": zlib.crc32(queue.encode()) - 2**31},
    )
