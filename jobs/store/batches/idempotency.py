"""Idempotency keys: at most one batch for each, whoever dies in between.

A key belongs to the upload that claims it, and after its commit to the batch that came of it, for as
long as that exists. Whoever locks a batch's row and a key's takes the batch's first.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from jobs.errors import IdempotencyKeyReused, RequestInProgress
from jobs.states import BatchState
from jobs.store.engine.database import now
from jobs.tables import Batch, IdempotencyKey

DEAD = datetime(1970, 1, 1, tzinfo=UTC)
"""When an upload that has ended was last touched: it does not come back to life."""

CLAIM = timedelta(seconds=12)
"""How long an upload's last sign of life keeps its key: whoever sends it again after a kill waits so
long, and a living process may be held up for several signs of life without losing it."""

RETRIED = timedelta(minutes=10)
"""So long a client's library may still be sending a request again whose answer was lost."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A project's key, as a hash: it is the client's own text, and of any length."""

    project_id: int
    key_hash: bytes

    @classmethod
    def of(cls, project_id: int, key: str) -> "Claim":
        """Return the claim on a key."""
        return cls(project_id, hashlib.sha256(key.encode()).digest())


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was accepted under a key: the batch's ref, and the digest of the request."""

    ref: str
    request_digest: bytes

    def check(self, request_digest: bytes | None) -> None:
        """Raise IdempotencyKeyReused unless that is the digest of the same request."""
        if request_digest != self.request_digest:
            raise IdempotencyKeyReused(
                f"this Idempotency-Key belongs to batch {self.ref}, which was another body or query; "
                "nothing was accepted"
            )


def receipt(session: Session, claim: Claim) -> Receipt | None:
    """Return what was accepted under a key; None if nothing was so far."""
    row = session.exec(
        select(Batch.ref, IdempotencyKey.request_digest)
        .join(Batch, col(Batch.id) == col(IdempotencyKey.batch_id))
        .where(
            IdempotencyKey.project_id == claim.project_id,
            IdempotencyKey.key_hash == claim.key_hash,
        )
    ).first()
    if row is None or row[1] is None:
        return None
    return Receipt(row[0], row[1])


def take(session: Session, claim: Claim, batch_id: int) -> None:
    """Claim a key for an upload that begins in this transaction.

    It is free if nobody has it, or an upload without a sign of life for `CLAIM`, which ends by that.

    Raises:
        RequestInProgress: a living upload has it, or one was faster, or it has just been accepted;
            this transaction must not commit.
    """
    holder = session.exec(
        select(IdempotencyKey.batch_id).where(
            IdempotencyKey.project_id == claim.project_id,
            IdempotencyKey.key_hash == claim.key_hash,
        )
    ).first()
    if holder is None:
        _insert(session, claim, batch_id)
    else:
        _take_over(session, claim, batch_id, holder)


def _insert(session: Session, claim: Claim, batch_id: int) -> None:
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    # Of two that come here at once the second waits for the first one's commit, and then changes nothing.
    inserted = session.connection().execute(
        dialect.insert(IdempotencyKey)
        .values(project_id=claim.project_id, key_hash=claim.key_hash, batch_id=batch_id)
        .on_conflict_do_nothing()
        .returning(col(IdempotencyKey.batch_id))
    )
    if inserted.first() is None:
        raise RequestInProgress


def _take_over(session: Session, claim: Claim, batch_id: int, holder: int) -> None:
    """End the upload that holds a key, if it is silent, and hand its key on."""
    since = now(session) - CLAIM
    ended = session.connection().execute(
        update(Batch)
        .where(
            col(Batch.id) == holder,
            col(Batch.state) == BatchState.RECEIVING,
            col(Batch.touched_at) < since,
        )
        .values(touched_at=DEAD)
    )
    if ended.rowcount != 1:
        raise RequestInProgress
    # Two may end the same upload, one after the other; the key goes to the first.
    moved = session.connection().execute(
        update(IdempotencyKey)
        .where(
            col(IdempotencyKey.project_id) == claim.project_id,
            col(IdempotencyKey.key_hash) == claim.key_hash,
            col(IdempotencyKey.batch_id) == holder,
        )
        .values(batch_id=batch_id)
    )
    if moved.rowcount != 1:
        raise RequestInProgress


class AlreadyAccepted(Exception):
    """The same request has made a batch before: `batch_id`."""

    def __init__(self, batch_id: int) -> None:
        super().__init__(f"batch {batch_id}")
        self.batch_id = batch_id


def note_keyless(
    session: Session, project_id: int, batch_id: int, request_digest: bytes, *, is_repeated: bool
) -> None:
    """Note a request that came without a key, in the transaction that accepts it as this batch.

    It is known by its digest. If its sender says that he repeats it (`is_repeated`), the batch is the
    one that it has made in the last `RETRIED`, however soon after one another both came to their end.

    Raises:
        AlreadyAccepted: there is that one; this transaction must not commit.
    """
    claim = Claim(project_id, hashlib.sha256(b"\0digest" + request_digest).digest())
    with suppress(RequestInProgress):
        _insert(session, claim, batch_id)
        seal(session, batch_id, request_digest)
        return
    of_digest = (
        col(IdempotencyKey.project_id) == claim.project_id,
        col(IdempotencyKey.key_hash) == claim.key_hash,
    )
    earlier = session.exec(
        select(Batch.id)
        .join(IdempotencyKey, col(IdempotencyKey.batch_id) == col(Batch.id))
        .where(*of_digest, col(Batch.created_at) > now(session) - RETRIED)
    ).first()
    if is_repeated and earlier is not None:
        raise AlreadyAccepted(earlier)
    session.connection().execute(update(IdempotencyKey).where(*of_digest).values(batch_id=batch_id))


def seal(session: Session, batch_id: int, request_digest: bytes) -> None:
    """Note with its key what an upload contained, in the transaction that accepts it."""
    session.connection().execute(
        update(IdempotencyKey)
        .where(col(IdempotencyKey.batch_id) == batch_id)
        .values(request_digest=request_digest)
    )
