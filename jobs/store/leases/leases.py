"""Leases: what the worker that runs a slice does with it, from claiming it to its end.

A slice is leased with a fence, renewed, finished or given back. Whoever has lost it finds a newer fence,
and changes nothing. For the order of locks see `slices`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import bindparam, or_, tuple_, update
from sqlalchemy import select as sa_select
from sqlmodel import Session, col, select

from jobs.errors import LeaseLost
from jobs.states import CUT_OFF, FED_BATCH_STATES, BatchState, SliceState
from jobs.store.batches import batches, jobs
from jobs.store.batches.jobs import SliceRange
from jobs.store.engine.database import now
from jobs.store.leases.feeding import EFFECTIVE_PRIORITY
from jobs.store.leases.slices import FREE, LEASE, LONGEST_WAIT_S, OWNED, void
from jobs.store.results.answers import OFFERED_TOGETHER, offer
from jobs.store.results.twins import answer_twins
from jobs.tables import Batch, Slice

# Built once: putting them together costs more than running them.
_LOCK_FOR_CLAIM = (
    sa_select(
        col(Batch.id),
        col(Batch.ref),
        col(Batch.project_id),
        EFFECTIVE_PRIORITY.label("priority"),
        col(Batch.held_until),
        col(Batch.defaults),
        col(Batch.state),
        col(Batch.started_at),
        col(Batch.waiting_for),
        col(Batch.retry_of),
    )
    .where(col(Batch.ref) == bindparam("named"))
    .with_for_update()
)
_IDLE_SLICE = sa_select(
    col(Slice.fence),
    col(Slice.not_before),
    col(Slice.queue),
    col(Slice.first_seq),
    col(Slice.last_seq),
    col(Slice.jobs),
).where(
    col(Slice.batch_id) == bindparam("of"),
    col(Slice.no) == bindparam("number"),
    col(Slice.state).in_((SliceState.FED, SliceState.WAITING)),
)
_START_BATCH = (
    update(Batch)
    .where(col(Batch.id) == bindparam("of"))
    .values(state=BatchState.RUNNING, waiting_for=None, started_at=bindparam("first_lease_at"))
)
_ONE_SLICE = update(Slice).where(
    col(Slice.batch_id) == bindparam("of"),
    col(Slice.no) == bindparam("number"),
    col(Slice.fence) == bindparam("holding"),
)
_UNFEED = _ONE_SLICE.values(state=SliceState.WAITING)
_LEASE = _ONE_SLICE.values(
    state=SliceState.LEASED,
    fence=col(Slice.fence) + 1,
    owner=bindparam("by"),
    lease_until=bindparam("until"),
    not_before=None,
)
_DRAIN = _ONE_SLICE.where(col(Slice.state) == SliceState.LEASED).values(state=SliceState.DRAINING)
_IS_OWNED = col(Slice.state).in_(OWNED)
_FINISH = _ONE_SLICE.where(_IS_OWNED).values(state=SliceState.DONE, **FREE)
_RELEASE = _ONE_SLICE.where(_IS_OWNED).values(
    {**FREE, "state": SliceState.WAITING, "not_before": bindparam("due")}
)
_HELD_RANGE = sa_select(
    col(Slice.queue), col(Slice.first_seq), col(Slice.last_seq), col(Slice.jobs)
).where(
    col(Slice.batch_id) == bindparam("of"),
    col(Slice.no) == bindparam("number"),
    col(Slice.fence) == bindparam("holding"),
    _IS_OWNED,
)
_LOCK_TO_COUNT = (
    sa_select(
        col(Batch.done_slices),
        col(Batch.total_slices),
        col(Batch.collapsed_jobs),
        col(Batch.offered_results),
        (
            col(Batch.succeeded) + col(Batch.failed) + col(Batch.cancelled) + col(Batch.expired)
        ).label("finished_jobs"),
    )
    .where(col(Batch.id) == bindparam("of"))
    .with_for_update()
)
_COUNT_DONE = (
    update(Batch)
    .where(col(Batch.id) == bindparam("of"))
    .values(done_slices=col(Batch.done_slices) + 1, offered_results=bindparam("offered"))
)

TWINS_WAIT = timedelta(seconds=3)
"""Until a slice is looked at again whose last open jobs wait for the result of an earlier one."""

LONGEST_TWINS_WAIT = 5 * TWINS_WAIT
"""It is looked at less and less often: else thousands of such slices hold the queue's window, and
whoever comes after them waits for a result that is not theirs."""

NEARLY = timedelta(seconds=5)
"""Slices that wait about as long already are left as they are when another one is given back."""


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
    retry_of: str | None = field(default=None, compare=False)
    """The ref of the batch that this one retries; no part of what tells leases apart."""


def claim(
    session: Session, batch_ref: str, slice_no: int, owner: str
) -> tuple[Lease, SliceRange] | None:
    """Lease a slice that is due; None if somebody else holds it, it is done, or its batch rests.

    A message may be old or doubled, so finding nothing to do is ordinary.
    """
    connection = session.connection()
    batch = connection.execute(_LOCK_FOR_CLAIM, {"named": batch_ref}).first()
    if batch is None:
        return None
    moment = now(session)
    place = {"of": batch.id, "number": slice_no}
    piece = connection.execute(_IDLE_SLICE, place).first()
    if piece is None:
        return None
    place["holding"] = piece.fence
    rests = batch.state not in FED_BATCH_STATES or _is_ahead(batch.held_until, moment)
    if rests or _is_ahead(piece.not_before, moment):
        connection.execute(_UNFEED, place)
        return None
    if batch.state == BatchState.QUEUED or batch.waiting_for is not None or not batch.started_at:
        connection.execute(
            _START_BATCH, {"of": batch.id, "first_lease_at": batch.started_at or moment}
        )
    connection.execute(_LEASE, {**place, "by": owner, "until": moment + LEASE})
    lease = Lease(
        batch_id=batch.id,
        batch_ref=batch.ref,
        project_id=batch.project_id,
        priority=batch.priority,
        defaults=batch.defaults,
        slice_no=slice_no,
        queue=piece.queue,
        fence=piece.fence + 1,
        retry_of=batch.retry_of,
    )
    return lease, SliceRange(slice_no, piece.queue, piece.first_seq, piece.last_seq, piece.jobs)


def mark_draining(session: Session, lease: Lease) -> None:
    """Note that every job of the slice has been dispatched, so that the next one may be fed."""
    connection = session.connection()
    connection.execute(_LOCK_TO_COUNT, {"of": lease.batch_id})  # the order of locks
    connection.execute(
        _DRAIN, {"of": lease.batch_id, "number": lease.slice_no, "holding": lease.fence}
    )


def finish(session: Session, lease: Lease) -> bool:
    """Mark a slice done and finalise its batch if it was the last; return whether it was.

    A slice with jobs that have no result is given back instead: they wait for that of an earlier one
    that asks for the same, and nothing may be lost by a mistake. At times the batch's answers since the
    last time are offered to later batches.

    Raises:
        LeaseLost: the fence is newer; nothing was changed.
    """
    connection = session.connection()
    batch = connection.execute(_LOCK_TO_COUNT, {"of": lease.batch_id}).one()
    holding = {"of": lease.batch_id, "number": lease.slice_no, "holding": lease.fence}
    cut = connection.execute(_HELD_RANGE, holding).first()
    if cut is None:
        raise _lost(lease)
    piece = SliceRange(lease.slice_no, *cut)
    if batch.collapsed_jobs:
        answer_twins(session, batches.lock(session, lease.batch_id), piece)
    if jobs.has_open_jobs(session, lease.batch_id, piece):
        wait = min(lease.fence * TWINS_WAIT, LONGEST_TWINS_WAIT)
        due = now(session) + wait if batch.collapsed_jobs else None
        connection.execute(_RELEASE, {**holding, "due": due})
        return False
    connection.execute(_FINISH, holding)
    offered = batch.offered_results
    if batch.finished_jobs - offered >= OFFERED_TOGETHER:
        last = batch.finished_jobs
        offered = offer(session, lease.project_id, lease.batch_id, after=offered, last=last)
    connection.execute(_COUNT_DONE, {"of": lease.batch_id, "offered": offered})
    if batch.done_slices + 1 < batch.total_slices:
        return False
    return batches.finish_if_complete(session, batches.lock(session, lease.batch_id))


def give_back(
    session: Session,
    lease: Lease,
    *,
    wait_s: float = 0.0,
    reason: str | None = None,
    holds_queue: bool = False,
    error_code: str = CUT_OFF,
) -> None:
    """Return a slice with open jobs to the waiting ones, due `wait_s` from now.

    Attempts that are still open were sent and will not be heard of: they become `unknown`. Jobs that wait
    for the result of an earlier one get it if it is there: the others of the slice may wait for hours.

    Args:
        session: a write transaction.
        lease: of the slice.
        wait_s: for which there is no use in leasing it again.
        reason: why it waits, which the batch tells the operator.
        holds_queue: the batch's other slices of the queue wait as well, instead of being leased one
            by one to find out the same.
        error_code: why nobody knows how the attempts ended that are still open.

    Raises:
        LeaseLost: the fence is newer; nothing was changed.
    """
    batch = batches.lock(session, lease.batch_id)
    piece = require_held(session, lease)
    if batch.collapsed_jobs:
        cut = SliceRange(piece.no, piece.queue, piece.first_seq, piece.last_seq, piece.jobs)
        answer_twins(session, batch, cut)
    void(session, batch, piece, error_code)
    if wait_s <= 0:
        return
    due = now(session) + timedelta(seconds=min(wait_s, LONGEST_WAIT_S))
    piece.not_before = due
    session.add(piece)
    if reason is not None and batch.state in FED_BATCH_STATES:
        batch.waiting_for = reason
        session.add(batch)
    if not holds_queue:
        return
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


def renew(session: Session, owner: str, running: Collection[tuple[int, int]]) -> set[int]:
    """Extend the leases of those slices (batch id, number) that a worker really runs.

    A lease that it holds without knowing, because the answer to its claim was lost, runs out.

    A slice whose row is locked is being written by its own worker, or taken from it; it is left for
    the next time, because whoever waits here with other slices' locks in hand can deadlock.

    Returns:
        Their batches that rest, such as paused ones, or those whose hours are over: nothing more of
        these may be sent.
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
    at_rest = sa_select(col(Batch.id)).where(
        col(Batch.id).in_({batch_id for batch_id, _ in running}),
        or_(
            col(Batch.state).not_in(FED_BATCH_STATES),
            col(Batch.held_until) > now(session),
        ),
    )
    return {row.id for row in session.connection().execute(at_rest)}


def require_held(session: Session, lease: Lease) -> Slice:
    """Return the slice of a lease whose batch is locked; raises LeaseLost if its fence is newer."""
    piece = session.get(Slice, (lease.batch_id, lease.slice_no))
    if piece is None or piece.fence != lease.fence or piece.state not in OWNED:
        raise _lost(lease)
    return piece


def _is_ahead(due: datetime | None, moment: datetime) -> bool:
    return due is not None and due > moment


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"slice {lease.slice_no} of {lease.batch_ref} has been given to another")
