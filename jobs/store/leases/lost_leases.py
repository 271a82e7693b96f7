"""Leases that nobody renews any more, and times that a clock set back has left far ahead: the sweep's."""

from datetime import timedelta

from sqlalchemy import ColumnElement, func, or_, update
from sqlmodel import Session, col, select

from jobs.states import WORKER_LOST, BatchState, FileBatchState, SliceState
from jobs.store import live
from jobs.store.batches import batches
from jobs.store.engine.database import now
from jobs.store.leases.feeding import FedSlice
from jobs.store.leases.slices import LEASE, LONGEST_WAIT_S, NATIVE_OWNER, OWNED, void
from jobs.tables import Batch, FileBatch, Slice

_ARRIVING: tuple[tuple[type[Batch] | type[FileBatch], ColumnElement[bool]], ...] = (
    (Batch, col(Batch.state) == BatchState.RECEIVING),
    (FileBatch, col(FileBatch.state) == FileBatchState.VALIDATING),
)
"""What lives as long as it gives signs of life, and which rows do."""

_IS_NATIVE = func.coalesce(col(Slice.owner), "").startswith(NATIVE_OWNER, autoescape=True)
"""Whether a native batch has leased it, whose steps alone end that."""


def expired(session: Session, *, limit: int) -> list[tuple[int, int]]:
    """Return (batch id, slice number) of leases that have run out."""
    rows = session.exec(
        select(Slice.batch_id, Slice.no)
        .where(col(Slice.state).in_(OWNED), col(Slice.lease_until) < now(session), ~_IS_NATIVE)
        .limit(limit)
    )
    return list(rows)


def expire(session: Session, batch_id: int, slice_no: int) -> FedSlice | None:
    """Void a lease that has run out, so that another worker may claim the slice.

    Returns:
        What is to be published: the slice keeps its place in the queue's window, or it would wait
        behind all that are fed meanwhile. None if the worker has renewed or finished, and of live
        calls, for whose answers nobody waits any more.
    """
    batch = batches.lock(session, batch_id)
    piece = session.get(Slice, (batch_id, slice_no))
    if piece is None or piece.state not in OWNED:
        return None
    moment = now(session)
    if piece.lease_until is not None and piece.lease_until >= moment:
        return None
    if piece.owner is not None and piece.owner.startswith(NATIVE_OWNER):
        return None
    if batch.is_live:
        live.end(session, batch, piece, WORKER_LOST)
        return None
    void(session, batch, piece, WORKER_LOST)
    piece.state = SliceState.FED
    piece.fed_at = moment
    return FedSlice(piece.queue, batch.ref, slice_no)


def bring_near(session: Session) -> None:
    """Bring times that lie further ahead than any is ever set to where they may be: a clock was set back.

    Else a dead worker's slice, a lost message and whatever waits would rest until it has caught up, and so
    would the key of an upload that died, and the file that a dead reader read.
    Slices that somebody writes to are left for the next time, as by `renew`.
    """
    moment = now(session)
    # Before any slice is held: whoever holds those waits for no batch.
    for arriving, is_arriving in _ARRIVING:
        ahead = col(arriving.touched_at) > moment
        session.connection().execute(
            update(arriving).where(is_arriving, ahead).values(touched_at=moment)
        )
    leased_until = moment + LEASE
    due = moment + timedelta(seconds=LONGEST_WAIT_S)
    too_far = session.exec(
        select(Slice)
        .where(
            col(Slice.state) != SliceState.DONE,
            ~_IS_NATIVE,
            or_(
                col(Slice.lease_until) > leased_until,
                col(Slice.fed_at) > moment,
                col(Slice.not_before) > due,
            ),
        )
        .with_for_update(skip_locked=True)
    )
    for piece in too_far:
        for name, latest in (
            ("lease_until", leased_until),
            ("fed_at", moment),
            ("not_before", due),
        ):
            if (at := getattr(piece, name)) is not None and at > latest:
                setattr(piece, name, latest)
        session.add(piece)
