"""Native batches: made of slices, claimed step by step, written only under the claim's number.

A step of a native batch's life claims its row, does one thing at the provider, and writes what came of it.
Whoever is late, or was given up as dead, holds an older number, and its writes are void. The order of
locks is the batch, then its native batch's row; a claim takes the row alone.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, insert, or_, select, text, update
from sqlmodel import Session, col
from sqlmodel import select as sm_select

from jobs.errors import LeaseLost
from jobs.states import FED_BATCH_STATES, BatchState, NativeState, SliceState
from jobs.store import batches
from jobs.store.database import now
from jobs.store.refs import new_ref
from jobs.store.slices import NATIVE_OWNER
from jobs.tables import Batch, NativeBatch, NativeSlice, Slice

CLAIM = timedelta(seconds=15)
"""Without a renewal for so long whoever does a step counts as dead."""

HELD = timedelta(days=10)
"""A slice's lease of a native batch, longer than any provider takes: it is ended by steps, not by time."""

_AT_WORK = (NativeState.SENDING, NativeState.RUNNING, NativeState.CANCELLING)


@dataclass(frozen=True, slots=True)
class Group:
    """What the lines of one native batch have in common."""

    provider: str
    pool: str
    model: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class PlannedSlice:
    """A slice that may go into a native batch: its lines that are open, and what they are."""

    no: int
    jobs: int
    estimated_tokens: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Native:
    """A native batch as whoever has claimed it knows it, with what its steps need of its batch."""

    id: int
    ref: str
    group: Group
    state: NativeState
    claim: int
    remote_id: str | None
    file_id: str | None
    jobs: int
    estimated_tokens: int
    enqueued_at: datetime | None
    done: int | None
    created_at: datetime
    sent_at: datetime | None
    submitted_at: datetime | None
    cancelled_at: datetime | None
    expires_at: datetime | None
    ended_at: datetime | None
    tries: int
    trouble: str | None
    batch_id: int
    batch_ref: str
    batch_state: str
    project_id: int
    priority: str
    defaults: str
    deadline: datetime | None
    held_until: datetime | None
    retry_of: str | None


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
    session.add(row)
    session.flush()
    session.connection().execute(
        insert(NativeSlice),
        [{"native_id": row.id, "slice_no": no, "fence": fence} for no, fence in fences.items()],
    )
    return ref


def due(session: Session, *, limit: int) -> list[tuple[str, str]]:
    """Return (provider, name) of native batches of which a step is due and that nobody does."""
    moment = now(session)
    found = session.connection().execute(
        select(col(NativeBatch.provider), col(NativeBatch.ref))
        .where(*_is_due(moment))
        .order_by(col(NativeBatch.next_look_at))
        .limit(limit)
    )
    return [(provider, ref) for provider, ref in found]


def due_in(session: Session, ref: str) -> float | None:
    """Return the seconds until a step of a native batch is due; None where nothing is to be waited for."""
    due_at = session.exec(
        sm_select(NativeBatch.next_look_at).where(
            NativeBatch.ref == ref, NativeBatch.state != NativeState.ENDED
        )
    ).first()
    return None if due_at is None else (due_at - now(session)).total_seconds()


def claim(session: Session, ref: str) -> Native | None:
    """Claim a native batch of which a step is due; None if none is, or somebody does it."""
    moment = now(session)
    claimed = session.connection().execute(
        update(NativeBatch)
        .where(col(NativeBatch.ref) == ref, *_is_due(moment))
        .values(claim=col(NativeBatch.claim) + 1, claimed_until=moment + CLAIM)
    )
    return find(session, ref) if claimed.rowcount == 1 else None


def find(session: Session, ref: str) -> Native | None:
    """Return a native batch as it stands."""
    row = (
        session.connection()
        .execute(
            select(*(col(getattr(NativeBatch, name)) for name in _OWN), *_OF_ITS_BATCH)
            .join(Batch, col(Batch.id) == col(NativeBatch.batch_id))
            .where(col(NativeBatch.ref) == ref)
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    values = dict(row)
    group = Group(*(values.pop(name) for name in ("provider", "pool", "model", "endpoint")))
    return Native(**{**values, "state": NativeState(values["state"])}, group=group)


def renew(session: Session, native_id: int, number: int) -> bool:
    """Extend a claim; return whether it still is one."""
    renewed = session.connection().execute(
        update(NativeBatch)
        .where(col(NativeBatch.id) == native_id, col(NativeBatch.claim) == number)
        .values(claimed_until=now(session) + CLAIM)
    )
    return renewed.rowcount == 1


def require_claim(session: Session, native: Native) -> None:
    """Lock the row of a claimed native batch whose batch is locked.

    Raises:
        LeaseLost: somebody else has claimed it since.
    """
    row = session.connection().execute(
        select(col(NativeBatch.id)).where(*_is_claimed(native)).with_for_update()
    )
    if row.first() is None:
        raise LeaseLost(f"native batch {native.ref} has been taken over")


def write(session: Session, native: Native, **values: Any) -> None:
    """Write columns of a claimed native batch that stands where its claimer believes.

    Raises:
        LeaseLost: somebody else has claimed it since, or moved it on.
    """
    written = session.connection().execute(
        update(NativeBatch).where(*_is_claimed(native)).values(**values)
    )
    if written.rowcount != 1:
        raise LeaseLost(f"native batch {native.ref} has been taken over")


def move(
    session: Session, native: Native, to: NativeState, *, wait_s: float = 0.0, **values: Any
) -> None:
    """Write the next state of a claimed native batch, and let go of it until its next step is due.

    Raises:
        LeaseLost: see `write`.
    """
    moment = now(session)
    is_over = to is NativeState.ENDED
    values.setdefault("tries", 0)
    if is_over or to is NativeState.LOST:
        values.setdefault("ended_at", moment)
    write(
        session,
        native,
        state=to,
        claimed_until=None,
        next_look_at=None if is_over else moment + timedelta(seconds=wait_s),
        **values,
    )


def enqueue(
    session: Session, native: Native, *, enqueued_tokens: int | None, max_open: int
) -> bool:
    """Count a native batch among those at its provider if there is room; return whether there is.

    Its tokens count until it has ended. One process at a time looks, or two would take the same room.
    """
    if native.enqueued_at is not None:
        return True
    group = native.group
    if session.get_bind().dialect.name == "postgresql":
        session.connection().execute(
            text("SELECT pg_advisory_xact_lock(:room, :pool)"),
            {
                "room": 0x7470,
                "pool": zlib.crc32(f"{group.provider}/{group.pool}".encode()) - 2**31,
            },
        )
    is_model = col(NativeBatch.model) == group.model
    counted, tokens = (
        session.connection()
        .execute(
            select(
                func.count(),
                func.coalesce(func.sum(NativeBatch.estimated_tokens).filter(is_model), 0),
            ).where(
                col(NativeBatch.provider) == group.provider,
                col(NativeBatch.pool) == group.pool,
                col(NativeBatch.id) != native.id,
                col(NativeBatch.enqueued_at).is_not(None),
                col(NativeBatch.state).in_((NativeState.PACKING, *_AT_WORK)),
            )
        )
        .one()
    )
    is_full = enqueued_tokens is not None and tokens + native.estimated_tokens > enqueued_tokens
    if counted >= max_open or (is_full and tokens > 0):
        return False
    write(session, native, enqueued_at=now(session))
    return True


def is_alone(session: Session, native: Native) -> bool:
    """Whether no other native batch of its model takes room at its pool."""
    others = select(col(NativeBatch.id)).where(
        col(NativeBatch.id) != native.id,
        col(NativeBatch.provider) == native.group.provider,
        col(NativeBatch.pool) == native.group.pool,
        col(NativeBatch.model) == native.group.model,
        col(NativeBatch.state).in_(_AT_WORK),
    )
    return session.connection().execute(others.limit(1)).first() is None


def has_reservations(session: Session, batch_id: int) -> bool:
    """Whether calls of a batch are on their way that may leave something of its budget over."""
    reserved = select(col(Batch.reserved_nanos)).where(col(Batch.id) == batch_id)
    return session.connection().execute(reserved).scalar_one() > 0


def remote_ids(session: Session, group: Group) -> set[str]:
    """Return the provider's names of all native batches of a pool that are known."""
    found = session.connection().execute(
        select(col(NativeBatch.remote_id)).where(
            col(NativeBatch.provider) == group.provider,
            col(NativeBatch.pool) == group.pool,
            col(NativeBatch.remote_id).is_not(None),
        )
    )
    return {remote_id for remote_id in found.scalars() if remote_id is not None}


def wake(session: Session, batch_id: int) -> None:
    """Let the next step of a batch's native batches be due at once: it was paused, cancelled or changed."""
    session.connection().execute(
        update(NativeBatch)
        .where(
            col(NativeBatch.batch_id) == batch_id,
            col(NativeBatch.state).in_((NativeState.PACKING, *_AT_WORK)),
        )
        .values(next_look_at=now(session))
    )


def _is_due(moment: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        col(NativeBatch.state) != NativeState.ENDED,
        col(NativeBatch.next_look_at) <= moment,
        or_(col(NativeBatch.claimed_until).is_(None), col(NativeBatch.claimed_until) < moment),
    )


def _is_claimed(native: Native) -> tuple[ColumnElement[bool], ...]:
    return (
        col(NativeBatch.id) == native.id,
        col(NativeBatch.claim) == native.claim,
        col(NativeBatch.state) == native.state,
    )


_OWN = (
    "id",
    "ref",
    "provider",
    "pool",
    "model",
    "endpoint",
    "state",
    "claim",
    "remote_id",
    "file_id",
    "jobs",
    "estimated_tokens",
    "enqueued_at",
    "done",
    "created_at",
    "sent_at",
    "submitted_at",
    "cancelled_at",
    "expires_at",
    "ended_at",
    "tries",
    "trouble",
    "batch_id",
)
_OF_ITS_BATCH: tuple[Any, ...] = (
    col(Batch.ref).label("batch_ref"),
    col(Batch.state).label("batch_state"),
    col(Batch.project_id),
    col(Batch.priority),
    col(Batch.defaults),
    col(Batch.deadline),
    col(Batch.held_until),
    col(Batch.retry_of),
)
