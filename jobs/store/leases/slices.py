"""What a slice's row says of who runs it and for how long, and how it says that nobody does.

Everything that touches a fence or a batch's totals first locks the batch (`batches.lock`). The order of
locks is batches by id, then slices, then projects' budgets, then the ledger; nobody waits against it.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from jobs.states import SliceState
from jobs.store.attempts.attempts import book_unknown
from jobs.store.engine.database import now
from jobs.tables import Batch, Slice

LEASE = timedelta(seconds=12)
"""Without a renewal for so long a worker counts as gone. With a sweep every 2 s its jobs run
elsewhere within 17 s."""

LONGEST_WAIT_S = 60.0
"""A slice that was given back is looked at again after so long at the latest: whatever it waited
for may have recovered."""

NATIVE_OWNER = "native:"
"""How the owner of a slice begins that a native batch has leased: its name follows. Such a lease is ended by
the native batch's own steps, never because time has passed."""

OWNED = (SliceState.LEASED, SliceState.DRAINING)

FREE = {"owner": None, "lease_until": None, "not_before": None}
"""The columns of a slice that nobody owns."""


def void(session: Session, batch: Batch, piece: Slice, error_code: str) -> None:
    """Take a slice of a locked batch from its holder; the code says why open attempts are unknown."""
    piece.fence += 1
    free(piece, SliceState.WAITING)
    session.add(piece)
    book_unknown(session, batch, piece, error_code)


def free(piece: Slice, state: SliceState) -> None:
    """Let nobody own a slice any more; the rows' own way to say so is `FREE`."""
    piece.state = state
    for name, nothing in FREE.items():
        setattr(piece, name, nothing)


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


def next_try(session: Session, batch_id: int) -> tuple[str, datetime] | None:
    """Return the queue of a batch's slice that is looked at again first, of those given back, and when."""
    found = session.exec(
        select(Slice.queue, Slice.not_before)
        .where(
            Slice.batch_id == batch_id,
            Slice.state == SliceState.WAITING,
            col(Slice.not_before) > now(session),
        )
        .order_by(col(Slice.not_before))
        .limit(1)
    ).first()
    return None if found is None or found[1] is None else (found[0], found[1])


def close(session: Session, batch: Batch, piece: Slice) -> None:
    """Mark an idle slice of a locked batch done: its jobs have been answered otherwise."""
    piece.fence += 1
    free(piece, SliceState.DONE)
    batch.done_slices += 1
    session.add(piece)
    session.add(batch)
