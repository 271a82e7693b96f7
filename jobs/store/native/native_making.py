"""Making native batches of slices: of waiting ones, and of those that another one hands on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import insert, update
from sqlmodel import Session, col

from jobs.states import FED_BATCH_STATES, BatchState, NativeState, SliceState
from jobs.store.batches import batches
from jobs.store.engine.database import now
from jobs.store.leases.slices import NATIVE_OWNER
from jobs.store.native.native import Group, Native, require_claim, write
from jobs.store.native.native_slices import HeldSlice
from jobs.store.refs import new_ref
from jobs.tables import NativeBatch, NativeSlice, Slice

HELD = timedelta(days=10)
"""A slice's lease of a native batch, longer than any provider takes: it is ended by steps, not by time."""


@dataclass(frozen=True, slots=True)
class PlannedSlice:
    """A slice that may go into a native batch: its lines that are open, and what they are."""

    no: int
    jobs: int
    estimated_tokens: int
    size_bytes: int


def make(
    session: Session, batch_id: int, group: Group, pieces: Sequence[PlannedSlice]
) -> str | None:
    """Lease waiting slices for a new native batch; return its name, or None if none of them waits.

    Done twice, the second finds the slices leased.
    """
    batch = batches.lock(session, batch_id)
    if batch.state not in FED_BATCH_STATES:
        return None
    moment = now(session)
    ref = new_ref("nat_")
    leased = session.connection().execute(
        update(Slice)
        .where(
            col(Slice.batch_id) == batch_id,
            col(Slice.no).in_([piece.no for piece in pieces]),
            col(Slice.state) == SliceState.WAITING,
        )
        .values(
            # Draining, as it needs no place in the feed's window.
            state=SliceState.DRAINING,
            fence=col(Slice.fence) + 1,
            owner=NATIVE_OWNER + ref,
            lease_until=moment + HELD,
            not_before=None,
        )
        .returning(col(Slice.no), col(Slice.fence))
    )
    fences = {int(row[0]): int(row[1]) for row in leased}
    if not fences:
        return None
    taken = [piece for piece in pieces if piece.no in fences]
    batch.state = BatchState.RUNNING
    batch.started_at = batch.started_at or moment
    session.add(batch)
    row = NativeBatch(
        ref=ref,
        batch_id=batch_id,
        provider=group.provider,
        pool=group.pool,
        model=group.model,
        endpoint=group.endpoint,
        state=NativeState.PACKING,
        jobs=sum(piece.jobs for piece in taken),
        estimated_tokens=sum(piece.estimated_tokens for piece in taken),
        size_bytes=sum(piece.size_bytes for piece in taken),
        created_at=moment,
        next_look_at=moment,
    )
    _insert(session, row, fences)
    return ref


def split(
    session: Session, of: Native, moved: Sequence[HeldSlice], *, wait_s: float, tries: int = 0
) -> str:
    """Move slices without open lines to a new native batch, which waits; return its name.

    For those that no budget has room for now: the others leave, and when they are answered there is room.

    Raises:
        LeaseLost: see `release`.
    """
    batches.lock(session, of.batch_id)
    require_claim(session, of)
    moment = now(session)
    connection = session.connection()
    ref = new_ref("nat_")
    leased = connection.execute(
        update(Slice)
        .where(
            col(Slice.batch_id) == of.batch_id,
            col(Slice.no).in_([held.cut.no for held in moved]),
            col(Slice.owner) == NATIVE_OWNER + of.ref,
        )
        .values(owner=NATIVE_OWNER + ref, fence=col(Slice.fence) + 1)
        .returning(col(Slice.no), col(Slice.fence))
    )
    # A slice that somebody else has by now is not among them: under its fence it would be sent twice.
    fences = {int(row[0]): int(row[1]) for row in leased}
    moved_jobs = sum(held.cut.jobs for held in moved if held.cut.no in fences)
    tokens = round(of.estimated_tokens * moved_jobs / max(of.jobs, 1))
    rest = NativeBatch(
        ref=ref,
        batch_id=of.batch_id,
        provider=of.group.provider,
        pool=of.group.pool,
        model=of.group.model,
        endpoint=of.group.endpoint,
        state=NativeState.PACKING,
        jobs=moved_jobs,
        estimated_tokens=tokens,
        created_at=moment,
        tries=tries,
        next_look_at=moment + timedelta(seconds=wait_s),
    )
    # The old one keeps its rows, by which what turns up is known, with fences that are void now.
    _insert(session, rest, fences)
    if of.state is NativeState.PACKING:
        write(session, of, jobs=of.jobs - moved_jobs, estimated_tokens=of.estimated_tokens - tokens)
    # What was sent stays as large as it was: where it carries no name it is looked for by that.
    return ref


def _insert(session: Session, row: NativeBatch, fences: Mapping[int, int]) -> None:
    session.add(row)
    session.flush()
    if fences:
        session.connection().execute(
            insert(NativeSlice),
            [{"native_id": row.id, "slice_no": no, "fence": fence} for no, fence in fences.items()],
        )
