"""Batches of the Anthropic surface: what that says of a batch beside the batch itself."""

from typing import Any

from sqlalchemy import update
from sqlmodel import Session, col, select

from jobs.errors import IllegalTransition, InvalidCursor, NotFound
from jobs.states import FINAL_BATCH_STATES, BatchState
from jobs.store.batches import batches
from jobs.store.engine.database import now
from jobs.store.refs import new_ref
from jobs.tables import Batch, MessageBatch

Seen = tuple[MessageBatch, Batch]
"""A batch of the surface, and the batch itself."""


def new_message_batch_ref() -> str:
    """Return a name for a batch."""
    return new_ref("msgbatch_")


def insert(session: Session, project_id: int, batch_id: int, ref: str) -> None:
    """Insert a batch of the surface, in the transaction that accepts it."""
    session.add(
        MessageBatch(ref=ref, project_id=project_id, batch_id=batch_id, created_at=now(session))
    )


def find(session: Session, project_id: int, ref: str) -> Seen:
    """Return a batch of the project.

    Raises:
        NotFound: no such batch, it was deleted, or it is another project's.
    """
    # PostgreSQL takes no NUL in a text, so no batch has one.
    if "\0" in ref:
        raise NotFound(batches.NO_SUCH_BATCH)
    return _one(session, project_id, col(MessageBatch.ref) == ref)


def find_made(session: Session, project_id: int, batch_id: int) -> Seen:
    """Return the batch of the surface that is this batch. Raises as `find`."""
    return _one(session, project_id, col(MessageBatch.batch_id) == batch_id)


def page(
    session: Session, project_id: int, *, after: str | None, before: str | None, limit: int
) -> list[Seen]:
    """Return batches, newest first: the next older ones `after` one, or the next newer `before` one.

    Raises:
        InvalidCursor: no batch of that name is seen by the project.
    """
    place = col(MessageBatch.id)
    statement = _seen(project_id).limit(limit)
    if before is not None:
        last = _place(session, project_id, before, "before_id")
        rows = session.execute(statement.where(place > last).order_by(place)).all()[::-1]
    else:
        if after is not None:
            statement = statement.where(place < _place(session, project_id, after, "after_id"))
        rows = session.execute(statement.order_by(place.desc())).all()
    return [(row[0], row[1]) for row in rows]


def cancel(session: Session, project_id: int, ref: str) -> None:
    """Cancel a batch as `batches.move` does; once more is fine.

    Raises:
        NotFound: see `find`.
        IllegalTransition: it has ended otherwise.
    """
    made, batch = find(session, project_id, ref)
    if batch.state in FINAL_BATCH_STATES and batch.state != BatchState.CANCELLED:
        raise IllegalTransition(f"batch {ref} has ended, so it can't be canceled")
    batches.move(session, project_id, batch.ref, BatchState.CANCELLING)
    _note(session, made, cancelling_at=now(session))


def delete(session: Session, project_id: int, ref: str) -> None:
    """Let the surface not show a batch any more.

    Raises:
        NotFound: see `find`.
        IllegalTransition: it has not ended.
    """
    made, batch = find(session, project_id, ref)
    if batch.state not in FINAL_BATCH_STATES:
        raise IllegalTransition(
            f"batch {ref} has not ended, so it can't be deleted: cancel it first, or wait"
        )
    _note(session, made, deleted_at=now(session))


def _note(session: Session, made: MessageBatch, **values: Any) -> None:
    """Note when something happened, unless it had before."""
    (name,) = values
    session.connection().execute(
        update(MessageBatch)
        .where(col(MessageBatch.id) == made.id, getattr(MessageBatch, name).is_(None))
        .values(**values)
    )
    session.refresh(made)


def _place(session: Session, project_id: int, ref: str, parameter: str) -> int:
    try:
        made, _ = find(session, project_id, ref)
    except NotFound:
        raise InvalidCursor(
            "there is no such batch in this list; expected the id of one", field=parameter
        ) from None
    assert made.id is not None
    return made.id


def _one(session: Session, project_id: int, condition: Any) -> Seen:
    row = session.execute(_seen(project_id).where(condition)).first()
    if row is None:
        raise NotFound(batches.NO_SUCH_BATCH)
    return row[0], row[1]


def _seen(project_id: int) -> Any:
    return (
        select(MessageBatch, Batch)
        .join(Batch, col(Batch.id) == col(MessageBatch.batch_id))
        .where(MessageBatch.project_id == project_id, col(MessageBatch.deleted_at).is_(None))
    )
