"""What became of jobs: calls, outputs of parts, results, and where answers are to questions."""

from datetime import datetime

from sqlalchemy import (
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from jobs.states import (
    Outcome,
    ResultStatus,
)
from jobs.tables.columns import BigInt, UtcDateTime, one_of


class Attempt(SQLModel, table=True):
    """One call to a provider: journaled before its first byte leaves, settled when its end is known."""

    __table_args__ = (one_of("outcome", Outcome, nullable=True),)

    batch_id: int = Field(sa_type=BigInt, primary_key=True)
    seq: int = Field(sa_type=Integer, primary_key=True)
    n: int = Field(sa_type=Integer, primary_key=True)
    """From 1 within its job, those that do not count included."""
    provider: str = Field(sa_type=Text)
    pool: str = Field(sa_type=Text)
    model: str = Field(sa_type=Text)
    price: str | None = Field(default=None, sa_type=Text)
    """Snapshot of `jobs.prices.Price` as JSON; null where the model's price is unknown."""
    reserved_nanos: int = Field(sa_type=BigInt)
    sent_at: datetime = Field(sa_type=UtcDateTime)
    outcome: str | None = Field(default=None, sa_type=Text)
    """Null while the call is in flight."""
    input_tokens: int | None = Field(default=None, sa_type=BigInt)
    cached_input_tokens: int | None = Field(default=None, sa_type=BigInt)
    cache_write_tokens: int | None = Field(default=None, sa_type=BigInt)
    output_tokens: int | None = Field(default=None, sa_type=BigInt)
    reasoning_tokens: int | None = Field(default=None, sa_type=BigInt)
    cost_nanos: int | None = Field(default=None, sa_type=BigInt)
    """Null where nothing was billed, or where it is not known what."""
    latency_ms: int | None = Field(default=None, sa_type=Integer)
    error_code: str | None = Field(default=None, sa_type=Text)
    reconciled_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When the provider's own account told what it billed for this call; null where nobody asked."""
    native_id: int | None = Field(default=None, sa_type=BigInt)
    """The native batch that it was a line of; null of a live call."""
    live_price: str | None = Field(default=None, sa_type=Text)
    """What `price` would have been live, of a line of a native batch; null where nobody knows."""


class Part(SQLModel, table=True):
    """The output of one part of a job that takes several calls, until all have theirs."""

    batch_id: int = Field(sa_type=BigInt, primary_key=True)
    seq: int = Field(sa_type=Integer, primary_key=True)
    no: int = Field(sa_type=Integer, primary_key=True)
    """From 0, in the order of the job's plan."""
    attempt: int = Field(sa_type=Integer)
    """`n` of the attempt that brought it."""
    output: str = Field(sa_type=Text)
    """JSON."""


class Result(SQLModel, table=True):
    """The one final answer of a job."""

    __table_args__ = (
        one_of("status", ResultStatus),
        UniqueConstraint("batch_id", "position", name="uq_result_position"),
        # What went wrong is few rows or all that matters; what went well pays nothing for it.
        Index(
            "ix_result_failed",
            "batch_id",
            "error_code",
            "position",
            sqlite_where=text("status = 'failed'"),
            postgresql_where=text("status = 'failed'"),
        ),
    )

    batch_id: int = Field(sa_type=BigInt, primary_key=True)
    seq: int = Field(sa_type=Integer, primary_key=True)
    position: int = Field(sa_type=Integer)
    """Order of arrival within the batch, from 1 without gaps: the cursor of whoever reads along."""
    status: str = Field(sa_type=Text)
    output: str | None = Field(default=None, sa_type=Text)
    """JSON: a string, or the value that a schema asked for."""
    finish_reason: str | None = Field(default=None, sa_type=Text)
    error_code: str | None = Field(default=None, sa_type=Text)
    error_message: str | None = Field(default=None, sa_type=Text)
    attempt: int | None = Field(default=None, sa_type=Integer)
    """`n` of the attempt that decided; null where none was made."""
    source: str = Field(sa_type=Text)
    finished_at: datetime = Field(sa_type=UtcDateTime)
    mended: str | None = Field(default=None, sa_type=Text)
    """What was put right in the answer without asking again; null where nothing was."""
    origin_batch_id: int | None = Field(default=None, sa_type=BigInt)
    """The batch of the job that was called for, where the answer was kept from there; else null."""
    origin_seq: int | None = Field(default=None, sa_type=Integer)
    """That job's number."""


class Answer(SQLModel, table=True):
    """Where a project's answers are, by what was asked: later batches may take them (`reuse`)."""

    __table_args__ = ({"sqlite_with_rowid": False},)

    project_id: int = Field(sa_type=BigInt, primary_key=True)
    fingerprint: bytes = Field(sa_type=LargeBinary, primary_key=True)
    batch_id: int = Field(sa_type=BigInt, primary_key=True)
    seq: int = Field(sa_type=Integer, primary_key=True)
