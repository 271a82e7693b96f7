"""Native batches: claimed step by step, written only under the claim's number.

A step of a native batch's life claims its row, does one thing at the provider, and writes what came of it.
Whoever is late, or was given up as dead, holds an older number, and its writes are void. The order of
locks is the batch, then its native batch's row; a claim takes the row alone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update
from sqlmodel import Session, col
from sqlmodel import select as sm_select

from jobs.errors import LeaseLost
from jobs.states import NativeState
from jobs.store.engine.database import now
from jobs.tables import Batch, NativeBatch

CLAIM = timedelta(seconds=15)
"""Without a renewal for so long whoever does a step counts as dead."""

AT_WORK = (NativeState.SENDING, NativeState.RUNNING, NativeState.CANCELLING)
"""A native batch in one of these may be at its provider, and takes room there."""


@dataclass(frozen=True, slots=True)
class Group:
    """What the lines of one native batch have in common."""

    provider: str
    pool: str
    model: str
    endpoint: str


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


def wake(session: Session, batch_id: int) -> None:
    """Let the next step of a batch's native batches be due at once: it was paused, cancelled or changed."""
    session.connection().execute(
        update(NativeBatch)
        .where(
            col(NativeBatch.batch_id) == batch_id,
            col(NativeBatch.state).in_((NativeState.PACKING, *AT_WORK)),
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
