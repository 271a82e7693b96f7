"""Native batches: those at a provider, each made of slices of one of ours, and which slices they hold."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import Index, Integer, Text, text
from sqlmodel import Field, SQLModel

from jobs.states import NativeState
from jobs.tables.columns import BigInt, UtcDateTime, one_of


class NativeBatch(SQLModel, table=True):
    """A batch at a provider. Each step of its life claims the row, and writes under the claim's number."""

    __tablename__: ClassVar[str] = "native_batch"
    __table_args__ = (
        one_of("state", NativeState),
        Index("ix_native_batch_batch", "batch_id"),
        Index(
            "ix_native_batch_due",
            "next_look_at",
            sqlite_where=text("state <> 'ended'"),
            postgresql_where=text("state <> 'ended'"),
        ),
    )

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    ref: str = Field(sa_type=Text, unique=True)
    """`nat_` and more: its tag at the provider, and how the custom_ids of its lines begin."""
    batch_id: int = Field(sa_type=BigInt, foreign_key="batch.id")
    provider: str = Field(sa_type=Text)
    pool: str = Field(sa_type=Text)
    model: str = Field(sa_type=Text)
    """As the provider calls it; of its first line where a provider takes several."""
    endpoint: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    claim: int = Field(default=0, sa_type=Integer)
    """Raised by whoever takes the row; a write under an older number is void."""
    claimed_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    remote_id: str | None = Field(default=None, sa_type=Text)
    """The provider's name for it, once that is known."""
    file_id: str | None = Field(default=None, sa_type=Text)
    """Of its uploaded lines; empty where there is no such file."""
    jobs: int = Field(sa_type=Integer)
    estimated_tokens: int = Field(sa_type=BigInt)
    """Of input: what the provider's limit of enqueued tokens counts."""
    enqueued_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """Since when its tokens count against that limit; null while it waits for room."""
    size_bytes: int = Field(default=0, sa_type=BigInt)
    done: int | None = Field(default=None, sa_type=Integer)
    """Lines with an answer or an error, as the provider tells; null where it doesn't."""
    answered: int = Field(default=0, sa_type=Integer)
    """Lines of its results that were taken."""
    unexpected: int = Field(default=0, sa_type=Integer)
    """Lines of its results that were not: nobody's, or a second time."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    sent_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When its create was about to leave; of the last one that did."""
    submitted_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When the provider was known to have it."""
    cancelled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When its end was asked for."""
    next_look_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When the next step is due."""
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When its provider ends it; while it is being looked for, when it is given up."""
    rescue_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When it is cancelled, so that the rest is done live before the batch's deadline."""
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    tries: int = Field(default=0, sa_type=Integer)
    """Steps that failed since the last that didn't."""
    trouble: str | None = Field(default=None, sa_type=Text)
    """One sentence: why it waits, or what became of it."""


class NativeSlice(SQLModel, table=True):
    """A slice that a native batch has leased, and the fence under which its answers count."""

    __tablename__: ClassVar[str] = "native_slice"

    native_id: int = Field(sa_type=BigInt, primary_key=True)
    slice_no: int = Field(sa_type=Integer, primary_key=True)
    fence: int = Field(sa_type=Integer)
