"""Slices: leased with a fence, renewed, given back, finished; and voided when their worker is gone.

Everything here that touches a fence or a batch's totals first locks the batch (`batches.lock`). The
order of locks is batches by id, then slices, then projects' budgets, then the ledger; nobody waits
against it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, or_, tuple_, update
from sqlmodel import Session, col, select

from jobs.errors import LeaseLost
from jobs.states import FED_BATCH_STATES, BatchState, SliceState
from jobs.store import batches, jobs
from jobs.store.attempts import book_unknown
from jobs.store.database import now
from jobs.tables import Batch, Slice

LEASE = timedelta(seconds=12)
"""Without a renewal for so long a worker counts as gone. With a sweep every 2 s its jobs run
elsewhere within 17 s."""

LONGEST_WAIT_S = 60.0
"""A slice that was given back is looked at again after so long at the latest: whatever it waited
for may have recovered."""

# Built once: putting it together costs more than running it.
_DRAIN = (
    update(Slice)
    .where(
        col(Slice.batch_id) == bindparam("of"),
        col(Slice.no) == bindparam("number"),
        col(Slice.fence) == bindparam("holding"),
        col(Slice.state) == SliceState.LEASED,
    )
    .values(state=SliceState.DRAINING)
)

NEARLY = timedelta(seconds=5)
"""Slices that wait about as long already are left as they are when another one is given back."""

OWNED = (SliceState.LEASED, SliceState.DRAINING)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one worker to run one slice, void as soon as the slice's fence is higher."""

    batch_id: int
    batch_ref: str
    project_id: int
    priority: str
    defaults: str
    slice_no: int
    queue: str
    fence: int


def claim(
    session: Session, batch_ref: str, slice_no: int, owner: str
) -> tuple[Lease, list[jobs.OpenJob]] | None:
    """Lease a slice that is due; None if somebody else holds it, it is done, or its batch rests.

    A message may be old or doubled, so finding nothing to do is ordinary.
    """
    batch = batches.lock_by_ref(session, batch_ref)
    if batch is None or batch.id is None:
        return None
    moment = now(session)
    piece = session.get(Slice, (batch.id, slice_no))
    if piece is None or piece.state not in (SliceState.FED, SliceState.WAITING):
        return None
    if batch.state not in FED_BATCH_STATES or (piece.not_before and piece.not_before > moment):
        piece.state = SliceState.WAITING
        session.add(piece)
        return None
    if batch.state == BatchState.QUEUED:
        batch.state = BatchState.RUNNING
        session.add(batch)
    if batch.started_at is None:
        batch.started_at = moment
        session.add(batch)
    if batch.waiting_for is not None:
        batch.waiting_for = None
        session.add(batch)
    piece.state = SliceState.LEASED
    piece.fence += 1
    piece.owner = owner
    piece.lease_until = moment + LEASE
    piece.not_before = None
    session.add(piece)
    session.flush()
    lease = Lease(
        batch_id=batch.id,
        batch_ref=batch.ref,
        project_id=batch.project_id,
        priority=batch.priority,
        defaults=batch.defaults,
        slice_no=slice_no,
        queue=piece.queue,
        fence=piece.fence,
    )
    return lease, jobs.open_jobs(session, piece)


def mark_draining(session: Session, lease: Lease) -> None:
    """Note that every job of the slice has been dispatched, so that the next one may be fed."""
    session.connection().execute(
        _DRAIN, {"of": lease.batch_id, "number": lease.slice_no, "holding": lease.fence}
    )


def finish(session: Session, lease: Lease) -> bool:
    """Mark a slice done and finalise its batch if it was the last; return whether it was.

    A slice with jobs that have no result is given back instead: nothing may be lost by a mistake.

    Raises:
        LeaseLost: the fence is newer; nothing was changed.
    """
    batch = batches.lock(session, lease.batch_id)
    piece = _held(session, lease)
    if jobs.has_open_jobs(session, piece):
        _release(piece, not_before=None)
        session.add(piece)
        return False
    _close(piece)
    batch.done_slices += 1
    session.add(piece)
    session.add(batch)
    return batches.finish_if_complete(session, batch)


def give_back(
    session: Session, lease: Lease, *, wait_s: float = 0.0, reason: str | None = None
) -> None:
    """Return a slice with open jobs to the waiting ones, due `wait_s` from now.

    Attempts that are still open were sent and will not be heard of: they become `unknown`. With a
    `reason` the whole queue waits: then the batch's other slices of the queue wait as well, instead
    of being leased one by one to find out the same, and the batch tells the operator why.

    Raises:
        LeaseLost: the fence is newer; nothing was changed.
    """
    batch = batches.lock(session, lease.batch_id)
    piece = _held(session, lease)
    void(session, batch, piece)
    if wait_s <= 0:
        return
    due = now(session) + timedelta(seconds=min(wait_s, LONGEST_WAIT_S))
    piece.not_before = due
    session.add(piece)
    if reason is None:
        return
    if batch.state in FED_BATCH_STATES:
        batch.waiting_for = reason
    session.add(batch)
    session.flush()
    session.connection().execute(
        update(Slice)
        .where(
            col(Slice.batch_id) == lease.batch_id,
            col(Slice.queue) == lease.queue,
            col(Slice.state) == SliceState.WAITING,
            or_(col(Slice.not_before).is_(None), col(Slice.not_before) < due - NEARLY),
        )
        .values(not_before=due)
    )


def renew(session: Session, owner: str, running: Collection[tuple[int, int]]) -> None:
    """Extend the leases of those slices (batch id, number) that a worker really runs.

    A lease that it holds without knowing, because the answer to its claim was lost, runs out.

    A slice whose row is locked is being written by its own worker, or taken from it; it is left for
    the next time, because whoever waits here with other slices' locks in hand can deadlock.
    """
    mine = (
        select(col(Slice.batch_id), col(Slice.no))
        .where(
            tuple_(col(Slice.batch_id), col(Slice.no)).in_(running),
            col(Slice.owner) == owner,
            col(Slice.state).in_(OWNED),
        )
        .with_for_update(skip_locked=True)
    )
    held = session.exec(mine).all()
    if held:
        session.connection().execute(
            update(Slice)
            .where(
                tuple_(col(Slice.batch_id), col(Slice.no)).in_(held),
                col(Slice.owner) == owner,
            )
            .values(lease_until=now(session) + LEASE)
        )


def expired(session: Session, *, limit: int) -> list[tuple[int, int, str]]:
    """Return (batch id, slice number, queue) of leases that have run out."""
    rows = session.exec(
        select(Slice.batch_id, Slice.no, Slice.queue)
        .where(col(Slice.state).in_(OWNED), col(Slice.lease_until) < now(session))
        .limit(limit)
    )
    return list(rows)


def expire(session: Session, batch_id: int, slice_no: int) -> bool:
    """Void a lease that has run out, so that another worker may claim the slice.

    Returns:
        Whether it was done; False if the worker has renewed or finished in the meantime.
    """
    batch = batches.lock(session, batch_id)
    piece = session.get(Slice, (batch_id, slice_no))
    if piece is None or piece.state not in OWNED:
        return False
    if piece.lease_until is not None and piece.lease_until >= now(session):
        return False
    void(session, batch, piece)
    return True


def void(session: Session, batch: Batch, piece: Slice) -> None:
    """Take a slice from whoever holds it: raise the fence and book its open attempts as unknown.

    The caller holds the batch's lock.
    """
    piece.fence += 1
    _release(piece, not_before=None)
    session.add(piece)
    book_unknown(session, batch, piece)


def queues_with_waiting(session: Session) -> list[str]:
    """Return the queues that have slices waiting to be fed."""
    rows = session.exec(select(Slice.queue).where(Slice.state == SliceState.WAITING).distinct())
    return list(rows)


def stale_messages(session: Session, fed_before: datetime) -> list[tuple[str, str, int]]:
    """Return (queue, batch ref, slice number) of slices whose message seems to be lost."""
    rows = session.exec(
        select(Slice.queue, Batch.ref, Slice.no)
        .join(Batch, col(Batch.id) == col(Slice.batch_id))
        .where(Slice.state == SliceState.FED, col(Slice.fed_at) < fed_before)
        .order_by(col(Slice.queue), col(Slice.fed_at))
    )
    return list(rows)


def fed_slices(session: Session, queue: str) -> int:
    """Return for how many slices of a queue there should be a message."""
    return session.exec(
        select(func.count())
        .select_from(Slice)
        .where(Slice.queue == queue, Slice.state == SliceState.FED)
    ).one()


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


def idle_slices(session: Session, batch_id: int, *, limit: int) -> Sequence[Slice]:
    """Return slices of a batch that no worker holds and that are not done."""
    return session.exec(
        select(Slice)
        .where(
            Slice.batch_id == batch_id,
            col(Slice.state).in_((SliceState.WAITING, SliceState.FED)),
        )
        .order_by(col(Slice.no))
        .limit(limit)
    ).all()


def close(session: Session, batch: Batch, piece: Slice) -> None:
    """Mark an idle slice of a locked batch done: its jobs have been answered otherwise."""
    piece.fence += 1
    _close(piece)
    batch.done_slices += 1
    session.add(piece)
    session.add(batch)


def _held(session: Session, lease: Lease) -> Slice:
    piece = session.get(Slice, (lease.batch_id, lease.slice_no))
    if piece is None or piece.fence != lease.fence or piece.state not in OWNED:
        raise LeaseLost(f"slice {lease.slice_no} of {lease.batch_ref} has been given to another")
    return piece


def _release(piece: Slice, not_before: datetime | None) -> None:
    piece.state = SliceState.WAITING
    piece.owner = None
    piece.lease_until = None
    piece.not_before = not_before


def _close(piece: Slice) -> None:
    piece.state = SliceState.DONE
    piece.owner = None
    piece.lease_until = None
    piece.not_before = None
