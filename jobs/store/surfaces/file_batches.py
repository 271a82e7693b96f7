"""Batches of the OpenAI surface: made from a file, read later, and from then on a batch like any other.

What a user does with them; who reads their files is in `file_claims`. Where a batch's row and this one's
are both locked, the batch's is first.
"""

from dataclasses import dataclass
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
from jobs.lanes import LIVE_AT_ANY_TIME, Wanted
from jobs.states import BatchState, FileBatchState, Priority
from jobs.store.batches import batches
from jobs.store.batches.idempotency import DEAD, RETRIED
from jobs.store.engine.database import now
from jobs.store.refs import new_ref
from jobs.tables import Batch, FileBatch


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
    wish: Wanted = LIVE_AT_ANY_TIME


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
        lane=draft.wish.lane,
        deadline=draft.wish.deadline,
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
    # PostgreSQL takes no NUL in a text, so no batch has one.
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


def faults_of(made: FileBatch) -> list[BatchFault]:
    """Return why a batch failed; nothing if it didn't."""
    return msgspec.json.decode(made.faults or "[]", type=list[BatchFault])


def cancel(session: Session, project_id: int, ref: str) -> None:
    """Cancel a batch: at once while it is read, else as `batches.move` does.

    Raises:
        NotFound: see `find`.
        IllegalTransition: it has ended.
    """
    if (
        "\0" in ref
    ):  # as in `find`, whom this doesn't ask first: it may have become a batch meanwhile
        raise NotFound(batches.NO_SUCH_BATCH)
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
    try:
        batches.move(session, project_id, batch.ref, BatchState.CANCELLING)
    except IllegalTransition:  # which has the name of `/api` for it
        raise IllegalTransition(f"batch {ref} has ended, so it can't be cancelled") from None
    session.connection().execute(
        update(FileBatch)
        .where(col(FileBatch.id) == made.id, col(FileBatch.cancelling_at).is_(None))
        .values(cancelling_at=moment)
    )
