"""The room that native batches take at a pool of their provider: how much there is, and who is there."""

import zlib
from datetime import datetime, timedelta

from sqlalchemy import func, select, text
from sqlmodel import Session, col

from jobs.states import NativeState
from jobs.store.engine.database import now
from jobs.store.native.native import AT_WORK, Group, Native, write
from jobs.tables import Batch, NativeBatch

TAKE_ROOM = (
    col(NativeBatch.enqueued_at).is_not(None),
    col(NativeBatch.state).in_((NativeState.PACKING, *AT_WORK)),
)
"""Of those that count against what their pool may have."""

MARGIN = timedelta(days=1)
"""Far more than clocks differ by, and than a create whose answer was lost is looked for again."""


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
                *TAKE_ROOM,
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
        col(NativeBatch.state).in_(AT_WORK),
    )
    return session.connection().execute(others.limit(1)).first() is None


def has_reservations(session: Session, batch_id: int) -> bool:
    """Whether calls of a batch are on their way that may leave something of its budget over."""
    reserved = select(col(Batch.reserved_nanos)).where(col(Batch.id) == batch_id)
    return session.connection().execute(reserved).scalar_one() > 0


def remote_ids(session: Session, group: Group, since: datetime) -> set[str]:
    """Return the provider's names of a pool's native batches that are known and not older than that.

    By the clocks of both sides, which may differ: some older ones are among them.
    """
    found = session.connection().execute(
        select(col(NativeBatch.remote_id)).where(
            col(NativeBatch.provider) == group.provider,
            col(NativeBatch.pool) == group.pool,
            col(NativeBatch.sent_at) >= since - MARGIN,
            col(NativeBatch.remote_id).is_not(None),
        )
    )
    return {remote_id for remote_id in found.scalars() if remote_id is not None}
