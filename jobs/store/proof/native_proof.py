"""The native batches of a batch beside its slices and attempts, for the proof."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from sqlalchemy import and_, func, literal, select
from sqlmodel import Session, col

from jobs.prices import Price
from jobs.states import FINAL_BATCH_STATES, NativeState
from jobs.store.leases.slices import NATIVE_OWNER, OWNED
from jobs.store.proof.attempt_faults import HAS_COST, HAS_USAGE, cost_by
from jobs.store.proof.violations import Violation, unless_equal, unless_zero
from jobs.tables import Attempt, Batch, BigInt, NativeBatch, Slice


@dataclass(frozen=True, slots=True)
class NativeCounts:
    """What there is of native batches.

    Attributes:
        batches: how many were made.
        open: of those, how many may still have lines on their way; not those that are only looked after.
        unexpected: lines of results that were nobody's, or came a second time.
        orphans: slices that are held by a native batch that isn't there, or has ended.
        strays: attempts that are lines of a native batch that is not this batch's.
        saved_nanos: what their lines cost less than they had live; None where that is not compared.
    """

    batches: int
    open: int
    unexpected: int
    orphans: int
    strays: int
    saved_nanos: int | None


def native_counts(session: Session, batch: Batch) -> NativeCounts:
    """Count a batch's native batches and what they hold."""
    is_done = col(NativeBatch.state).in_((NativeState.ENDED, NativeState.LOST))
    # What its provider has ended has sent all that it will: its batch may end before it is tidied up.
    is_away = ~is_done & (col(NativeBatch.state) != NativeState.INGESTING)
    connection = session.connection()
    made, still, unexpected = connection.execute(
        select(
            func.count(),
            func.count().filter(is_away),
            func.coalesce(func.sum(NativeBatch.unexpected), 0),
        ).where(col(NativeBatch.batch_id) == batch.id)
    ).one()
    holder = select(col(NativeBatch.id)).where(
        col(NativeBatch.batch_id) == batch.id,
        literal(NATIVE_OWNER).concat(col(NativeBatch.ref)) == col(Slice.owner),
        ~is_done,
    )
    orphans = connection.execute(
        select(func.count()).where(
            col(Slice.batch_id) == batch.id,
            col(Slice.state).in_(OWNED),
            col(Slice.owner).startswith(NATIVE_OWNER, autoescape=True),
            ~holder.exists(),
        )
    ).scalar_one()
    own = select(col(NativeBatch.id)).where(col(NativeBatch.batch_id) == batch.id)
    strays = connection.execute(
        select(func.count()).where(
            col(Attempt.batch_id) == batch.id,
            col(Attempt.native_id).is_not(None),
            col(Attempt.native_id).not_in(own),
        )
    ).scalar_one()
    saved_nanos = _saved(session, batch)
    return NativeCounts(made, still, int(unexpected), orphans, strays, saved_nanos)


def native_violations(batch: Batch, counts: NativeCounts) -> Iterator[Violation]:
    """Compare native batches with what their batch says."""
    sentence = "{} slices are held by a native batch that is not at work"
    yield from unless_zero("orphaned_slices", counts.orphans, sentence)
    sentence = "{} attempts are lines of a native batch that this batch doesn't have"
    yield from unless_zero("stray_lines", counts.strays, sentence)
    if batch.state in FINAL_BATCH_STATES:
        sentence = "{} native batches are open, and the batch has ended"
        yield from unless_zero("open_native_batches", counts.open, sentence)
    if counts.saved_nanos is not None:
        what = "nano-dollars saved by native batches"
        yield from unless_equal(
            "drift_lane_saved", batch.lane_saved_nanos, counts.saved_nanos, what
        )


def _saved(session: Session, batch: Batch) -> int | None:
    """Work out what native batches saved from the tokens and both prices of each of their lines."""
    of_batch = and_(col(Attempt.batch_id) == batch.id, col(Attempt.live_price).is_not(None))
    connection = session.connection()
    saved_nanos = 0
    snapshots = select(col(Attempt.live_price)).where(of_batch).distinct()
    for snapshot in connection.execute(snapshots).scalars():
        try:
            live = cost_by(Price.from_json(snapshot or ""))
        except (msgspec.DecodeError, ValueError):
            return None
        paid = func.coalesce(Attempt.cost_nanos, literal(0, BigInt))
        found = connection.execute(
            select(func.coalesce(func.sum(live - paid), 0)).where(
                of_batch, col(Attempt.live_price) == snapshot, HAS_USAGE, HAS_COST
            )
        )
        saved_nanos += int(found.scalar_one())
    return saved_nanos
