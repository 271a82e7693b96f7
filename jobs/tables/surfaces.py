"""What the compatible surfaces keep beside the batches: files, and the batches as they know them."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import (
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from jobs.states import (
    FileBatchState,
    FileContent,
    LaneWish,
    Priority,
)
from jobs.tables.columns import BigInt, UtcDateTime, one_of


class File(SQLModel, table=True):
    """A file of the OpenAI surface: uploaded, or what a batch has answered up to now.

    The bytes of an upload are in `jobs.file_store`, under its `ref`; those of a batch's files are made
    of its results when they are read.
    """

    __table_args__ = (
        one_of("content", FileContent),
        CheckConstraint(
            "(content = 'upload') = (size_bytes IS NOT NULL)", name="size_of_upload_is_known"
        ),
        CheckConstraint("(content = 'upload') = (batch_id IS NULL)", name="results_have_a_batch"),
        Index("ix_file_project", "project_id", "id"),
        Index("ix_file_expires_at", "expires_at"),
    )

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    ref: str = Field(sa_type=Text, unique=True)
    """The name that the outside world uses, such as `file-019a…`."""
    project_id: int = Field(sa_type=BigInt, foreign_key="project.id")
    filename: str = Field(sa_type=Text)
    purpose: str = Field(sa_type=Text)
    content: str = Field(sa_type=Text)
    size_bytes: int | None = Field(default=None, sa_type=BigInt)
    """Null where nobody knows it before it was read."""
    batch_id: int | None = Field(default=None, sa_type=BigInt)
    """Whose results it holds; null of an upload."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """From then on it is not there; null for never."""


class FileBatch(SQLModel, table=True):
    """A batch whose lines are in an uploaded file: what the OpenAI surface says of it beside `batch`.

    Its lines are read after it was made. Whoever reads them counts `claims` up by one, and each of its
    writes names that number: of two readers one alone makes it a batch.
    """

    __tablename__: ClassVar[str] = "file_batch"
    __table_args__ = (
        one_of("state", FileBatchState),
        one_of("priority", Priority),
        one_of("lane", LaneWish),
        CheckConstraint(
            "(state = 'accepted') = (batch_id IS NOT NULL)", name="accepted_as_a_batch"
        ),
        UniqueConstraint("project_id", "key_hash", name="uq_file_batch_key"),
        Index("ix_file_batch_project", "project_id", "id"),
        Index(
            "ix_file_batch_validating",
            "id",
            sqlite_where=text("state = 'validating'"),
            postgresql_where=text("state = 'validating'"),
        ),
    )

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    ref: str = Field(sa_type=Text, unique=True)
    """The name that the outside world uses, such as `batch_019a…`; the name of the batch as well."""
    project_id: int = Field(sa_type=BigInt, foreign_key="project.id")
    file_ref: str = Field(sa_type=Text)
    """The file that it is read from, which may be deleted."""
    endpoint: str = Field(sa_type=Text)
    completion_window: str = Field(sa_type=Text)
    labels: str | None = Field(default=None, sa_type=Text)
    """What the user noted with it, as a JSON object of texts; the surface calls it `metadata`."""
    defaults: str = Field(sa_type=Text)
    priority: str = Field(sa_type=Text)
    max_cost_nanos: int | None = Field(default=None, sa_type=BigInt)
    lane: str = Field(
        default=LaneWish.LIVE, sa_type=Text, sa_column_kwargs={"server_default": "live"}
    )
    """A `LaneWish`."""
    deadline: datetime | None = Field(default=None, sa_type=UtcDateTime)
    output_lifetime_s: int | None = Field(default=None, sa_type=BigInt)
    """Of the files with its results, from their making; null for ever."""
    state: str = Field(sa_type=Text)
    claims: int = Field(default=0, sa_type=Integer)
    touched_at: datetime = Field(sa_type=UtcDateTime)
    """Last sign of life of who reads it."""
    faults: str | None = Field(default=None, sa_type=Text)
    """Why it failed, as a JSON list of `jobs.store.surfaces.file_batches.BatchFault`."""
    batch_id: int | None = Field(default=None, sa_type=BigInt, unique=True)
    output_ref: str | None = Field(default=None, sa_type=Text)
    errors_ref: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(sa_type=UtcDateTime)
    accepted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When it failed or was cancelled before it became a batch."""
    cancelling_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    key_hash: bytes | None = Field(default=None, sa_type=LargeBinary)
    """Of the client's own key for the request that made it; null where it had none."""
    request_digest: bytes = Field(sa_type=LargeBinary)
    """Of that request."""


class MessageBatch(SQLModel, table=True):
    """A batch of the Anthropic surface: what that says of it beside `batch`."""

    __tablename__: ClassVar[str] = "message_batch"
    __table_args__ = (Index("ix_message_batch_project", "project_id", "id"),)

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    ref: str = Field(sa_type=Text, unique=True)
    """The name that the outside world uses, such as `msgbatch_019a…`; the name of the batch as well."""
    project_id: int = Field(sa_type=BigInt, foreign_key="project.id")
    batch_id: int = Field(sa_type=BigInt, unique=True)
    created_at: datetime = Field(sa_type=UtcDateTime)
    cancelling_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    deleted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """From then on this surface doesn't show it; what it cost is accounted for as before."""
