"""Who reads the file of a batch of the OpenAI surface: one reader at a time, who ends it or gives it up.

Whoever reads one holds a `Claim`; a write with an older one is void, so that a reader that was taken
for dead does no harm. Where a batch's row and this one's are both locked, the batch's is first.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import update
from sqlmodel import Session, col, select

from jobs.errors import IllegalTransition
from jobs.lanes import Wanted
from jobs.states import FileBatchState, FileContent, LaneWish, Priority
from jobs.store.batches import batches
from jobs.store.batches.idempotency import DEAD
from jobs.store.engine.database import now
from jobs.store.surfaces import files
from jobs.store.surfaces.file_batches import BatchFault
from jobs.tables import FileBatch

SILENT = timedelta(seconds=15)
"""A reader without a sign of life for so long has died, and another one begins from the start."""

LOST = "this batch is being read by somebody else, or it was cancelled"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to read a batch's file, until somebody else takes it: `number` says which time it is."""

    id: int
    number: int
    ref: str
    file_ref: str
    project_id: int
    defaults: str
    priority: Priority
    max_cost_nanos: int | None
    output_lifetime_s: int | None
    wish: Wanted


def is_any_waiting(session: Session) -> bool:
    """Whether a batch waits for a reader, or its reader has died."""
    waiting = _waiting(now(session)).with_only_columns(col(FileBatch.id)).limit(1)
    return session.execute(waiting).first() is not None


def claim_next(session: Session) -> Claim | None:
    """Claim the batch that waits the longest for a reader, or whose reader has died; None if none does."""
    moment = now(session)
    waiting: FileBatch | None = session.exec(
        _waiting(moment).order_by(col(FileBatch.id)).limit(1).with_for_update(skip_locked=True)
    ).first()
    if waiting is None:
        return None
    waiting.claims += 1
    waiting.touched_at = moment
    session.add(waiting)
    assert waiting.id is not None
    return Claim(
        id=waiting.id,
        number=waiting.claims,
        ref=waiting.ref,
        file_ref=waiting.file_ref,
        project_id=waiting.project_id,
        defaults=waiting.defaults,
        priority=Priority(waiting.priority),
        max_cost_nanos=waiting.max_cost_nanos,
        output_lifetime_s=waiting.output_lifetime_s,
        wish=Wanted(LaneWish(waiting.lane), waiting.deadline),
    )


def touch(session: Session, claim: Claim) -> None:
    """Note a sign of life of a reader; raises IllegalTransition if the claim is lost."""
    _write(session, claim, touched_at=now(session))


def release(session: Session, claim: Claim) -> None:
    """Let somebody else begin: this reader can't go on, and the file is not to blame.

    Raises:
        IllegalTransition: the claim is lost.
    """
    _write(session, claim, touched_at=DEAD, claims=claim.number - 1)


def accept(session: Session, claim: Claim, batch_id: int) -> None:
    """Make it the batch that was read, which this transaction accepts, and give that its files.

    Raises:
        IllegalTransition: the claim is lost, or it was cancelled; this transaction must not commit.
    """
    batch = batches.lock(session, batch_id)
    lifetime = None
    if claim.output_lifetime_s is not None:
        lifetime = timedelta(seconds=claim.output_lifetime_s)
    _write(
        session,
        claim,
        state=FileBatchState.ACCEPTED,
        batch_id=batch_id,
        output_ref=files.insert_of_batch(session, batch, FileContent.ANSWERS, lifetime),
        errors_ref=files.insert_of_batch(session, batch, FileContent.ERRORS, lifetime),
        accepted_at=now(session),
    )


def fail(session: Session, claim: Claim, faults: list[BatchFault]) -> None:
    """Note why it is no batch; raises IllegalTransition if the claim is lost."""
    _write(
        session,
        claim,
        state=FileBatchState.FAILED,
        faults=msgspec.json.encode(faults).decode(),
        ended_at=now(session),
    )


def _waiting(moment: datetime) -> Any:
    return select(FileBatch).where(
        FileBatch.state == FileBatchState.VALIDATING,
        col(FileBatch.touched_at) < moment - SILENT,
    )


def _write(session: Session, claim: Claim, **values: Any) -> None:
    changed = session.connection().execute(
        update(FileBatch)
        .where(
            col(FileBatch.id) == claim.id,
            col(FileBatch.claims) == claim.number,
            col(FileBatch.state) == FileBatchState.VALIDATING,
        )
        .values(**values)
    )
    if changed.rowcount != 1:
        raise IllegalTransition(LOST)
