"""Leases that nobody renews any more, and times that a clock set back has left far ahead: the sweep's."""

from datetime import timedelta

from sqlalchemy import or_
from sqlmodel import Session, col, select

from jobs.states import WORKER_LOST, SliceState
from jobs.store import batches
from jobs.store.database import now
from jobs.store.feeding import FedSlice
from jobs.store.slices import LEASE, LONGEST_WAIT_S, OWNED, void
from jobs.tables import Slice


def expired(session: Session, *, limit: int) -> list[tuple[int, int]]:
    """Return (batch id, slice number) of leases that have run out."""
    rows = session.exec(
        select(Slice.batch_id, Slice.no)
        .where(col(Slice.state).in_(OWNED), col(Slice.lease_until) < now(session))
        .limit(limit)
    )
    return list(rows)


def expire(session: Session, batch_id: int, slice_no: int) -> FedSlice | None:
    """Void a lease that has run out, so that another worker may claim the slice.

    Returns:
        What is to be published: the slice keeps its place in the queue's window, or it would wait
        behind all that are fed meanwhile. None if the worker has renewed or finished.
    """
    batch = batches.lock(session, batch_id)
    piece = session.get(Slice, (batch_id, slice_no))
    if piece is None or piece.state not in OWNED:
        return None
    moment = now(session)
    if piece.lease_until is not None and piece.lease_until >= moment:
        return None
    void(session, batch, piece, WORKER_LOST)
    piece.state = SliceState.FED
    piece.fed_at = moment
    return FedSlice(piece.queue, batch.ref, slice_no)


def bring_near(session: Session) -> None:
    """Bring times that lie further ahead than any is ever set to where they may be: a clock was set back.

    Else a dead worker's slice, a lost message and whatever waits would rest until it has caught up.
    Slices that somebody writes to are left for the next time, as by `renew`.
    """
    moment = now(session)
    leased_until = moment + LEASE
    due = moment + timedelta(seconds=LONGEST_WAIT_S)
    too_far = session.exec(
        select(Slice)
        .where(
            col(Slice.state) != SliceState.DONE,
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
