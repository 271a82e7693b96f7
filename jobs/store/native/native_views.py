"""Native batches as people see them: those of a batch that are open, and what is enqueued at each pool."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func
from sqlalchemy import select as sa_select
from sqlmodel import Session, col, select

from jobs.states import NativeState
from jobs.store.native.native_room import TAKE_ROOM
from jobs.tables import NativeBatch


@dataclass(frozen=True, slots=True)
class Enqueued:
    """What native batches of a model have at a pool: how many there are, their lines and input tokens."""

    provider: str
    pool: str
    model: str
    native_batches: int
    lines: int
    input_tokens: int


def open_of(session: Session, batch_id: int, *, limit: int) -> Sequence[NativeBatch]:
    """Return the native batches of a batch of which something is to be done yet, oldest first."""
    return session.exec(
        select(NativeBatch)
        .where(NativeBatch.batch_id == batch_id, NativeBatch.state != NativeState.ENDED)
        .order_by(col(NativeBatch.id))
        .limit(limit)
    ).all()


def enqueued(session: Session) -> list[Enqueued]:
    """Return what counts against the limits of enqueued tokens, of all projects."""
    place = (col(NativeBatch.provider), col(NativeBatch.pool), col(NativeBatch.model))
    rows = session.connection().execute(
        sa_select(
            *place,
            func.count(),
            func.sum(NativeBatch.jobs),
            func.sum(NativeBatch.estimated_tokens),
        )
        .where(*TAKE_ROOM)
        .group_by(*place)
        .order_by(*place)
    )
    return [
        Enqueued(provider, pool, model, int(of), int(lines), int(tokens))
        for provider, pool, model, of, lines, tokens in rows
    ]
