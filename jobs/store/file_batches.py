"""Batches of the OpenAI surface: made from a file, read later, and from then on a batch like any other.

Whoever reads one holds a `Claim`; a write with an older one is void, so that a reader that was taken
for dead does no harm. Where a batch's row and this one's are both locked, the batch's is first.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from jobs.errors import (
    IdempotencyKeyReused,
    IllegalTransition,
    InvalidCursor,
    NotFound,
    RequestInProgress,
)
from jobs.states import BatchState, FileBatchState, FileContent, Priority
from jobs.store import batches, files
from jobs.store.database import now
from jobs.store.idempotency import DEAD
from jobs.store.refs import new_ref
from jobs.tables import Batch, FileBatch

SILENT = timedelta(seconds=15)
"""A reader without a sign of life for so long has died, and another one begins from the start."""

RETRIED = timedelta(minutes=10)
"""So long a client's library may still be sending a request again whose answer was lost."""

LOST = "this batch is being read by somebody else, or it was cancelled"


class BatchFault(msgspec.Struct, frozen=True):
    """Why a batch failed; `line` counts from 1, and is None where the whole file is meant."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class FileBatchDraft:
    """What a user says about a batch. `defaults` and `labels` are JSON."""

    project_id: int
    file_ref: str
    endpoint: str
    completion_window: str
    defaults: str
    request_digest: bytes
    labels: str | None = None
    priority: Priority = Priority.NORMAL
    max_cost_nanos: int | None = None
    output_lifetime_s: int | None = None
    key_hash: bytes | None = None


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


Seen = tuple[FileBatch, Batch | None]
"""A batch of the surface, and the one that it has become, if it has."""


def begin(session: Session, draft: FileBatchDraft) -> str:
    """Insert a batch that is to be read; return its ref.

    Raises:
        RequestInProgress: another request with the same key was faster; nothing may be committed.
    """
    made = FileBatch(
        ref=new_ref("batch_"),
        project_id=draft.project_id,
        file_ref=draft.file_ref,
        endpoint=draft.endpoint,
        completion_window=draft.completion_window,
        labels=draft.labels,
        defaults=draft.defaults,
        priority=draft.priority,
        max_cost_nanos=draft.max_cost_nanos,
        output_lifetime_s=draft.output_lifetime_s,
        state=FileBatchState.VALIDATING,
        touched_at=DEAD,
        created_at=now(session),
        key_hash=draft.key_hash,
        request_digest=draft.request_digest,
    )
    session.add(made)
    try:
        session.flush()
    except IntegrityError:
        raise RequestInProgress from None
    return made.ref


def made_before(session: Session, draft: FileBatchDraft, *, is_repeated: bool) -> str | None:
    """Return the batch that the same request has made before; None if there is none.

    It is known by its key. Without one, a request whose sender says that he repeats it (`is_repeated`)
    is the latest that was the same.

    Raises:
        IdempotencyKeyReused: the key belongs to another request.
    """
    of_project = select(FileBatch).where(FileBatch.project_id == draft.project_id)
    if draft.key_hash is not None:
        found = session.exec(of_project.where(FileBatch.key_hash == draft.key_hash)).first()
        if found is not None and found.request_digest != draft.request_digest:
            raise IdempotencyKeyReused
    elif is_repeated:
        found = session.exec(
            of_project.where(
                FileBatch.request_digest == draft.request_digest,
                col(FileBatch.created_at) > now(session) - RETRIED,
            )
            .order_by(col(FileBatch.id).desc())
            .limit(1)
        ).first()
    else:
        found = None
    return None if found is None else found.ref


def find(session: Session, project_id: int, ref: str) -> Seen:
    """Return a batch of the project.

    Raises:
        NotFound: no such batch, or it is another project's.
    """
    row = None
    if "\0" not in ref:
        row = session.execute(_seen(project_id).where(col(FileBatch.ref) == ref)).first()
    if row is None:
        raise NotFound(batches.NO_SUCH_BATCH)
    return row[0], row[1]


def page(session: Session, project_id: int, *, after: str | None, limit: int) -> list[Seen]:
    """Return batches, newest first, from the one that was made before `after`.

    Raises:
        InvalidCursor: `after` names no batch that the project sees.
    """
    statement = _seen(project_id).order_by(col(FileBatch.id).desc()).limit(limit)
    if after is not None:
        try:
            last, _ = find(session, project_id, after)
        except NotFound:
            raise InvalidCursor from None
        statement = statement.where(col(FileBatch.id) < last.id)
    return [(row[0], row[1]) for row in session.execute(statement)]


def _seen(project_id: int) -> Any:
    return (
        select(FileBatch, Batch)
        .outerjoin(Batch, col(Batch.id) == col(FileBatch.batch_id))
        .where(FileBatch.project_id == project_id)
    )


def is_any_waiting(session: Session) -> bool:
    """Whether a batch waits for a reader, or its reader has died."""
    waiting = _waiting(now(session)).with_only_columns(col(FileBatch.id)).limit(1)
    return session.execute(waiting).first() is not None


def _waiting(moment: datetime) -> Any:
    return select(FileBatch).where(
        FileBatch.state == FileBatchState.VALIDATING,
        col(FileBatch.touched_at) < moment - SILENT,
    )


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


def faults_of(made: FileBatch) -> list[BatchFault]:
    """Return why a batch failed; nothing if it didn't."""
    return msgspec.json.decode(made.faults or "[]", type=list[BatchFault])


def cancel(session: Session, project_id: int, ref: str) -> None:
    """Cancel a batch: at once while it is read, else as `batches.move` does.

    Raises:
        NotFound: see `find`.
        IllegalTransition: it has ended.
    """
    moment = now(session)
    ended = session.connection().execute(
        update(FileBatch)
        .where(
            col(FileBatch.ref) == ref,
            col(FileBatch.project_id) == project_id,
            col(FileBatch.state) == FileBatchState.VALIDATING,
        )
        .values(state=FileBatchState.CANCELLED, cancelling_at=moment, ended_at=moment)
    )
    if ended.rowcount == 1:
        return
    made, batch = find(session, project_id, ref)
    if batch is None:
        if made.state != FileBatchState.CANCELLED:
            raise IllegalTransition(f"batch {ref} has failed, so it can't be cancelled")
        return
    batches.move(session, project_id, batch.ref, BatchState.CANCELLING)
    session.connection().execute(
        update(FileBatch)
        .where(col(FileBatch.id) == made.id, col(FileBatch.cancelling_at).is_(None))
        .values(cancelling_at=moment)
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
