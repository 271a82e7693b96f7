"""Files of the OpenAI surface: their rows. A batch's own are seen as soon as there is a line in them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, or_
from sqlmodel import Session, col, select

from jobs.errors import InvalidCursor, NotFound
from jobs.states import FileContent
from jobs.store.engine.database import now
from jobs.store.refs import new_ref
from jobs.tables import Batch, File

NO_SUCH_FILE = "there is no such file in this project"

BATCH = "batch"
"""The purpose of a file with the lines of a batch."""

BATCH_OUTPUT = "batch_output"
"""The purpose of a file with the results of one."""


@dataclass(frozen=True, slots=True)
class FileDraft:
    """What is said about a file that was uploaded; its bytes are in storage under `ref`."""

    project_id: int
    ref: str
    filename: str
    purpose: str
    size_bytes: int
    lifetime: timedelta | None


def new_file_ref() -> str:
    """Return a name for a file."""
    return new_ref("file-")


def insert(session: Session, draft: FileDraft) -> File:
    """Insert an uploaded file."""
    moment = now(session)
    file = File(
        ref=draft.ref,
        project_id=draft.project_id,
        filename=draft.filename,
        purpose=draft.purpose,
        content=FileContent.UPLOAD,
        size_bytes=draft.size_bytes,
        created_at=moment,
        expires_at=None if draft.lifetime is None else moment + draft.lifetime,
    )
    session.add(file)
    session.flush()
    return file


def insert_of_batch(
    session: Session, batch: Batch, content: FileContent, lifetime: timedelta | None
) -> str:
    """Insert the file of a batch's answers, or of its errors; return its ref."""
    moment = now(session)
    named = "output" if content is FileContent.ANSWERS else "error"
    file = File(
        ref=new_file_ref(),
        project_id=batch.project_id,
        filename=f"{batch.name}_{named}.jsonl",
        purpose=BATCH_OUTPUT,
        content=content,
        batch_id=batch.id,
        created_at=moment,
        expires_at=None if lifetime is None else moment + lifetime,
    )
    session.add(file)
    return file.ref


def find(session: Session, project_id: int, ref: str) -> File:
    """Return a file of the project.

    Raises:
        NotFound: no such file, it is another project's, its time is over, or it is that of a batch
            and nothing is in it yet.
    """
    # PostgreSQL takes no NUL in a text, so no file has one.
    if "\0" in ref:
        raise NotFound(NO_SUCH_FILE)
    found = session.exec(_seen(project_id, now(session)).where(col(File.ref) == ref)).first()
    if found is None:
        raise NotFound(NO_SUCH_FILE)
    file: File = found
    return file


def batch_of(session: Session, file: File) -> Batch:
    """Return the batch whose results a file holds."""
    return session.exec(select(Batch).where(Batch.id == file.batch_id)).one()


def page(
    session: Session,
    project_id: int,
    *,
    after: str | None,
    limit: int,
    purpose: str | None,
    is_ascending: bool,
) -> list[File]:
    """Return files of the project after the one that is named, by when they were made.

    Raises:
        InvalidCursor: `after` names no file that the project sees.
    """
    place = col(File.id)
    statement = _seen(project_id, now(session)).limit(limit)
    statement = statement.order_by(place if is_ascending else place.desc())
    if purpose is not None:
        if "\0" in purpose:  # as in `find`
            return []
        statement = statement.where(col(File.purpose) == purpose)
    if after is not None:
        try:
            last = find(session, project_id, after)
        except NotFound:
            raise InvalidCursor from None
        assert last.id is not None
        statement = statement.where(place > last.id if is_ascending else place < last.id)
    return list(session.exec(statement))


def remove(session: Session, project_id: int, ref: str) -> File:
    """Delete a file's row and return what it was; bytes in storage are the caller's matter.

    Raises:
        NotFound: see `find`.
    """
    file = find(session, project_id, ref)
    session.connection().execute(delete(File).where(col(File.id) == file.id))
    return file


def expired(session: Session, *, limit: int) -> list[File]:
    """Return files whose time is over."""
    statement = select(File).where(col(File.expires_at) <= now(session)).limit(limit)
    return list(session.exec(statement))


def forget(session: Session, refs: list[str]) -> None:
    """Delete rows of files whose time is over."""
    session.connection().execute(delete(File).where(col(File.ref).in_(refs)))


def known(session: Session, refs: list[str]) -> set[str]:
    """Return which of some refs are those of uploaded files."""
    return set(session.exec(select(File.ref).where(col(File.ref).in_(refs))))


def _seen(project_id: int, moment: datetime) -> Any:
    return (
        select(File)
        .outerjoin(Batch, col(Batch.id) == col(File.batch_id))
        .where(
            File.project_id == project_id,
            or_(col(File.expires_at).is_(None), col(File.expires_at) > moment),
            _has_lines(),
        )
    )


def _has_lines() -> ColumnElement[bool]:
    """Return the condition that there is something in a file."""
    others = col(Batch.failed) + col(Batch.cancelled) + col(Batch.expired)
    return or_(
        col(File.content) == FileContent.UPLOAD,
        and_(col(File.content) == FileContent.ANSWERS, col(Batch.succeeded) > 0),
        and_(col(File.content) == FileContent.ERRORS, others > 0),
    )
