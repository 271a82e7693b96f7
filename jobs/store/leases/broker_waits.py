"""Batches that wait for the broker say so, and no longer than they do.

`feeding` has the slices that are to go to it; here is only what their batches tell meanwhile.
"""

from datetime import datetime

from sqlalchemy import and_, or_, select, update
from sqlmodel import Session, col

from jobs.states import FED_BATCH_STATES, SliceState
from jobs.tables import Batch, Slice

BROKER = "the broker "
"""How every reason begins that names it."""

_WAITS_FOR_BROKER = col(Batch.waiting_for).startswith(BROKER, autoescape=True)


def tell_broker_wait(session: Session, reason: str) -> None:
    """Note with every batch that has slices for the broker why they don't get there.

    What a batch waits for besides is left alone. `reason` begins with `BROKER`.
    """
    connection = session.connection()
    untold = or_(
        col(Batch.waiting_for).is_(None),
        and_(_WAITS_FOR_BROKER, col(Batch.waiting_for) != reason),
    )
    waiting = select(col(Batch.id)).where(
        col(Batch.state).in_(FED_BATCH_STATES),
        col(Batch.finished_at).is_(None),
        untold,
        select(col(Slice.no))
        .where(
            col(Slice.batch_id) == col(Batch.id),
            col(Slice.state).in_((SliceState.WAITING, SliceState.FED)),
        )
        .exists(),
    )
    # One by one, in the order of their ids, as everybody locks them.
    for batch_id in connection.execute(waiting.order_by(col(Batch.id))).scalars().all():
        told = update(Batch).where(col(Batch.id) == batch_id, untold)
        connection.execute(told.values(waiting_for=reason))


def waits_for_broker(session: Session) -> bool:
    """Whether a batch says that it waits for the broker."""
    told = select(col(Batch.id)).where(_WAITS_FOR_BROKER).limit(1)
    return session.connection().execute(told).first() is not None


def forget_broker_wait(session: Session, fed_before: datetime) -> None:
    """Take back what `tell_broker_wait` has noted: the broker takes messages.

    Of what was fed since then it isn't known yet.
    """
    connection = session.connection()
    fed_lately = select(col(Slice.no)).where(
        col(Slice.batch_id) == col(Batch.id),
        col(Slice.state) == SliceState.FED,
        col(Slice.fed_at) >= fed_before,
    )
    told = select(col(Batch.id)).where(_WAITS_FOR_BROKER, ~fed_lately.exists())
    told = told.order_by(col(Batch.id))
    for batch_id in connection.execute(told).scalars().all():
        over = update(Batch).where(col(Batch.id) == batch_id, _WAITS_FOR_BROKER)
        connection.execute(over.values(waiting_for=None))
