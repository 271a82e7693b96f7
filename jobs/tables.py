"""The tables, as SQLModel classes. Rows and constraints only: every statement is in `jobs.store`.

There are no foreign keys from the bulk tables (slice, job, attempt, result): they are written by the
hundred thousand, always under their batch, and a check per row would cost more than the row.
"""

from datetime import date, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    LargeBinary,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from jobs.clock import UTC
from jobs.states import (
    BatchState,
    FileBatchState,
    FileContent,
    Outcome,
    PauseCause,
    Priority,
    ResultStatus,
    SliceState,
)

BigInt = BigInteger().with_variant(Integer, "sqlite")
"""64 bits on both databases; SQLite's only integer that may be an automatic key is INTEGER."""


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; SQLite, which knows no zones, stores it naive and gets it back aware."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times; hand SQLite the UTC wall time."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return every time as aware UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _one_of(column: str, words: type[Any], *, nullable: bool = False) -> CheckConstraint:
    listed = ", ".join(f"'{word.value}'" for word in words)
    condition = f"{column} IN ({listed})"
    if nullable:
        condition = f"{column} IS NULL OR {condition}"
    return CheckConstraint(condition, name=f"{column}_is_known")


NAMING = {
    "pk": "pk_%(table_name)s",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
}
SQLModel.metadata.naming_convention = NAMING


class Project(SQLModel, table=True):
    """A tenant: everything below belongs to one."""

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    name: str = Field(sa_type=Text, unique=True)
    created_at: datetime = Field(sa_type=UtcDateTime)


class ApiKey(SQLModel, table=True):
    """A key of a project. Only its hash is stored; `prefix` lets a person recognise it."""

    __tablename__: ClassVar[str] = "api_key"

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    project_id: int = Field(sa_type=BigInt, foreign_key="project.id")
    prefix: str = Field(sa_type=Text)
    key_hash: bytes = Field(sa_type=LargeBinary, unique=True)
    name: str | None = Field(default=None, sa_type=Text)
    """Whose it is or what for, in the words of who made it."""
    scopes: str = Field(sa_type=Text)
    """What it may do, as `jobs.scopes` writes it."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """From then on it is worth nothing; null for never."""
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Login(SQLModel, table=True):
    """A browser in which somebody has shown a key: it holds a token instead, of which this is the hash."""

    token_hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    api_key_id: int = Field(sa_type=BigInt, foreign_key="api_key.id")
    """The key that was shown: its project and scopes hold, and its end is the login's."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)
    """When it was used last, give or take some minutes."""


class Batch(SQLModel, table=True):
    """A submission: what the user asked for, where it stands, and its running totals.

    Totals are advanced only in the transactions that write the rows they count.
    """

    __table_args__ = (
        _one_of("state", BatchState),
        _one_of("priority", Priority),
        _one_of("pause_cause", PauseCause, nullable=True),
        CheckConstraint(
            "(state IN ('completed', 'failed', 'cancelled', 'expired')) = (finished_at IS NOT NULL)",
            name="finished_when_final",
        ),
        CheckConstraint("reserved_nanos >= 0", name="reserved_not_negative"),
        CheckConstraint("in_flight >= 0", name="in_flight_not_negative"),
        Index("ix_batch_project", "project_id", "id"),
        Index(
            "ix_batch_untold",
            "project_id",
            sqlite_where=text("told_state <> state"),
            postgresql_where=text("told_state <> state"),
        ),
        Index(
            "ix_batch_unfinished",
            "state",
            sqlite_where=text("finished_at IS NULL"),
            postgresql_where=text("finished_at IS NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    ref: str = Field(sa_type=Text, unique=True)
    """The name that the outside world uses, such as `bat_01jd…`."""
    project_id: int = Field(sa_type=BigInt, foreign_key="project.id")
    name: str | None = Field(default=None, sa_type=Text)
    state: str = Field(sa_type=Text)
    priority: str = Field(sa_type=Text)
    defaults: str = Field(sa_type=Text)
    """JSON of `jobs.defaults.JobDefaults`: fills what a line leaves out; never changed."""
    max_cost_nanos: int | None = Field(default=None, sa_type=BigInt)
    created_at: datetime = Field(sa_type=UtcDateTime)
    touched_at: datetime = Field(sa_type=UtcDateTime)
    """Last sign of life while `receiving`; a batch without one is an upload that died."""
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    waiting_for: str | None = Field(default=None, sa_type=Text)
    """One sentence for the operator, while something holds the batch up."""
    pause_cause: str | None = Field(default=None, sa_type=Text)
    """`PauseCause` while `paused`, else null: who or what may end the pause."""
    needed_nanos: int | None = Field(default=None, sa_type=BigInt)
    """The smallest worst case that no budget had room for since the last call was admitted."""
    no_room_since: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """Since when nothing is reserved and nothing that was asked for fits; null otherwise."""
    served: int = Field(default=0, sa_type=BigInt)
    """Weighted work fed so far; the feed serves the batch with the smallest."""

    total_jobs: int = Field(default=0, sa_type=BigInt)
    total_slices: int = Field(default=0, sa_type=BigInt)
    done_slices: int = Field(default=0, sa_type=BigInt)
    succeeded: int = Field(default=0, sa_type=BigInt)
    failed: int = Field(default=0, sa_type=BigInt)
    cancelled: int = Field(default=0, sa_type=BigInt)
    expired: int = Field(default=0, sa_type=BigInt)
    in_flight: int = Field(default=0, sa_type=BigInt)
    """Attempts that are journaled and not settled."""
    unpriced_jobs: int = Field(default=0, sa_type=BigInt)
    unknown_attempts: int = Field(default=0, sa_type=BigInt)
    """Attempts whose use is not known: no answer came, or one without a credible usage."""
    bad_answers: int = Field(default=0, sa_type=BigInt)
    """Attempts whose answer was not usable, those that decided their job included."""
    bad_nanos: int = Field(default=0, sa_type=BigInt)
    """What those cost: a part of `spent_nanos`."""
    collapsed_jobs: int = Field(default=0, sa_type=BigInt)
    """Jobs that are not called for, as an earlier one asks for the same; set when it is accepted."""
    reused_jobs: int = Field(default=0, sa_type=BigInt)
    """Jobs that were not called for, as an earlier batch has their answer; counted when they get it."""
    saved_nanos: int = Field(default=0, sa_type=BigInt)
    """What the calls for those would have cost, as far as they have their result."""
    offered_results: int = Field(default=0, sa_type=BigInt)
    """Up to which place (`Result.position`) its answers are offered to later batches."""
    retry_of: str | None = Field(default=None, sa_type=Text)
    """The `ref` of the batch whose jobs these are, numbered as there; null for one that was submitted."""
    retry_codes: str | None = Field(default=None, sa_type=Text)
    """Error codes of the jobs of `retry_of` to run again, with commas; null for all that failed."""
    columns: str | None = Field(default=None, sa_type=Text)
    """The columns of the sheet that it was submitted as, as JSON (`jobs.sheets.columns`); null for lines."""
    is_live: bool = Field(default=False, sa_type=Boolean)
    """Whether it was not submitted: it holds the live calls of an API process, as they came."""
    cache_saved_nanos: int | None = Field(default=0, sa_type=BigInt)
    """How much less its calls cost than without the providers' prompt caches; below zero while those
    were written and hardly read. Null of a batch that is older than the figure."""
    input_tokens: int = Field(default=0, sa_type=BigInt)
    cached_input_tokens: int = Field(default=0, sa_type=BigInt)
    cache_write_tokens: int = Field(default=0, sa_type=BigInt)
    output_tokens: int = Field(default=0, sa_type=BigInt)
    reasoning_tokens: int = Field(default=0, sa_type=BigInt)
    spent_nanos: int = Field(default=0, sa_type=BigInt)
    reserved_nanos: int = Field(default=0, sa_type=BigInt)

    told_state: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": ""})
    """The last state that the project's webhooks were told of; it differs until the sweep has looked."""
    told_percent: int = Field(default=0, sa_type=Integer, sa_column_kwargs={"server_default": "0"})
    """The last share of its own budget that they were told of: 0, 50, 80 or 100."""

    @property
    def finished_jobs(self) -> int:
        """How many jobs have their result: also the position of the newest one."""
        return self.succeeded + self.failed + self.cancelled + self.expired


class Progress(SQLModel, table=True):
    """Where a batch stood at a moment of its work, and what was told of its end: a mark of some hundred."""

    batch_id: int = Field(sa_type=BigInt, primary_key=True)
    number: int = Field(sa_type=Integer, primary_key=True)
    """Periods of work before it (`jobs.store.progress.PERIOD_S`)."""
    at: datetime = Field(sa_type=UtcDateTime)
    working_s: float = Field(sa_type=Double)
    """Since the batch began to run, its pauses left out."""
    done_jobs: int = Field(sa_type=BigInt)
    failed_jobs: int = Field(sa_type=BigInt)
    tokens: int = Field(sa_type=BigInt)
    """Of input and output."""
    spent_nanos: int = Field(sa_type=BigInt)
    low_s: float | None = Field(default=None, sa_type=Double)
    """The work that was left, as it was told then; these four are null while nothing was told."""
    high_s: float | None = Field(default=None, sa_type=Double)
    low_nanos: int | None = Field(default=None, sa_type=BigInt)
    """The final cost, as it was told then."""
    high_nanos: int | None = Field(default=None, sa_type=BigInt)


class IdempotencyKey(SQLModel, table=True):
    """A client's key for a submission: it leads to one batch, and goes when that goes."""

    __tablename__: ClassVar[str] = "idempotency_key"

    project_id: int = Field(sa_type=BigInt, primary_key=True)
    key_hash: bytes = Field(sa_type=LargeBinary, primary_key=True)
    batch_id: int = Field(sa_type=BigInt, foreign_key="batch.id", ondelete="CASCADE", unique=True)
    """While that is `receiving` the key is claimed, and goes to another if its upload dies."""
    request_digest: bytes | None = Field(default=None, sa_type=LargeBinary)
    """Of query and body (`api.idempotency`); null until the batch is accepted."""


class File(SQLModel, table=True):
    """A file of the OpenAI surface: uploaded, or what a batch has answered up to now.

    The bytes of an upload are in `jobs.file_store`, under its `ref`; those of a batch's files are made
    of its results when they are read.
    """

    __table_args__ = (
        _one_of("content", FileContent),
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
        _one_of("state", FileBatchState),
        _one_of("priority", Priority),
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
    output_lifetime_s: int | None = Field(default=None, sa_type=BigInt)
    """Of the files with its results, from their making; null for ever."""
    state: str = Field(sa_type=Text)
    claims: int = Field(default=0, sa_type=Integer)
    touched_at: datetime = Field(sa_type=UtcDateTime)
    """Last sign of life of who reads it."""
    faults: str | None = Field(default=None, sa_type=Text)
    """Why it failed, as a JSON list of `jobs.store.file_batches.BatchFault`."""
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


class Slice(SQLModel, table=True):
    """A contiguous range of one batch's jobs of one queue: what a message names and a worker leases."""

    __table_args__ = (
        _one_of("state", SliceState),
        CheckConstraint(
            "(state IN ('leased', 'draining')) = (owner IS NOT NULL)", name="owned_when_leased"
        ),
        Index(
            "ix_slice_open",
            "queue",
            "state",
            "batch_id",
            "no",
            sqlite_where=text("state <> 'done'"),
            postgresql_where=text("state <> 'done'"),
        ),
        Index(
            "ix_slice_owner",
            "owner",
            sqlite_where=text("owner IS NOT NULL"),
            postgresql_where=text("owner IS NOT NULL"),
        ),
    )

    batch_id: int = Field(sa_type=BigInt, primary_key=True)
    no: int = Field(sa_type=Integer, primary_key=True)
    queue: str = Field(sa_type=Text)
    first_seq: int = Field(sa_type=Integer)
    last_seq: int = Field(sa_type=Integer)
    """The range may hold jobs of other queues; those belong to other slices."""
    jobs: int = Field(sa_type=Integer)
    state: str = Field(sa_type=Text)
    fence: int = Field(default=0, sa_type=Integer)
    """Raised by every lease and by whatever voids one; a write with an older fence is void."""
    owner: str | None = Field(default=None, sa_type=Text)
    lease_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    fed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    not_before: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Job(SQLModel, table=True):
    """One request of a batch: written once, never updated."""

    __table_args__ = (UniqueConstraint("batch_id", "custom_id", name="uq_job_custom_id"),)

    batch_id: int = Field(sa_type=BigInt, primary_key=True)
    seq: int = Field(sa_type=Integer, primary_key=True)
    """Position in the submission, from 0."""
    custom_id: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    queue: str = Field(sa_type=Text)
    request: str = Field(sa_type=Text)
    """The line as it was sent; the batch's defaults fill what it leaves out."""
    estimated_tokens: int = Field(sa_type=Integer)
    fingerprint: bytes = Field(sa_type=LargeBinary)
    """The same for jobs that ask the same of the same models; empty where one answer may not serve them."""
    first_seq: int | None = Field(default=None, sa_type=Integer)
    """The job of this batch that asks for the same, and whose result this one gets; null where none does."""


class Attempt(SQLModel, table=True):
    """One call to a provider: journaled before its first byte leaves, settled when its end is known."""

    __table_args__ = (_one_of("outcome", Outcome, nullable=True),)

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


class Result(SQLModel, table=True):
    """The one final answer of a job."""

    __table_args__ = (
        _one_of("status", ResultStatus),
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


class LedgerDay(SQLModel, table=True):
    """Sums of settled attempts by day (UTC), project, pool, model and outcome.

    The day is that of the settlement; of an attempt of unknown use, that of its sending.
    """

    __tablename__: ClassVar[str] = "ledger_day"

    day: date = Field(sa_type=Date, primary_key=True)
    project_id: int = Field(sa_type=BigInt, primary_key=True)
    provider: str = Field(sa_type=Text, primary_key=True)
    pool: str = Field(sa_type=Text, primary_key=True)
    model: str = Field(sa_type=Text, primary_key=True)
    outcome: str = Field(sa_type=Text, primary_key=True)
    attempts: int = Field(sa_type=BigInt)
    unpriced_attempts: int = Field(sa_type=BigInt)
    input_tokens: int = Field(sa_type=BigInt)
    cached_input_tokens: int = Field(sa_type=BigInt)
    cache_write_tokens: int = Field(sa_type=BigInt)
    output_tokens: int = Field(sa_type=BigInt)
    reasoning_tokens: int = Field(sa_type=BigInt)
    cost_nanos: int = Field(sa_type=BigInt)
    cache_saved_nanos: int = Field(default=0, sa_type=BigInt)
    """What prompt caches saved, of batches that have that figure; a part of no cost."""


class ProjectBudget(SQLModel, table=True):
    """The caps of a project that has any; its row is the lock on the project's `spend_day`."""

    __tablename__: ClassVar[str] = "project_budget"

    project_id: int = Field(sa_type=BigInt, primary_key=True, foreign_key="project.id")
    daily_nanos: int | None = Field(default=None, sa_type=BigInt)
    monthly_nanos: int | None = Field(default=None, sa_type=BigInt)


class SpendDay(SQLModel, table=True):
    """What the calls that a capped project sent on a UTC day have cost, and may cost still.

    Unlike `ledger_day`, which goes by the day of the settlement. A month is the sum of its days.
    No foreign key: checking it would lock the project's row behind its batches, which nobody may.
    """

    __tablename__: ClassVar[str] = "spend_day"
    __table_args__ = (CheckConstraint("reserved_nanos >= 0", name="reserved_not_negative"),)

    project_id: int = Field(sa_type=BigInt, primary_key=True)
    day: date = Field(sa_type=Date, primary_key=True)
    spent_nanos: int = Field(sa_type=BigInt)
    reserved_nanos: int = Field(sa_type=BigInt)


class Webhook(SQLModel, table=True):
    """Whom to tell what becomes of a project's batches."""

    __table_args__ = (Index("ix_webhook_project", "project_id"),)

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    ref: str = Field(sa_type=Text, unique=True)
    """`whk_` and more, as users see it."""
    project_id: int = Field(sa_type=BigInt, foreign_key="project.id")
    url: str = Field(sa_type=Text)
    secret: str = Field(sa_type=Text)
    """What its messages are signed with. Needed as it is, unlike a key's."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    gone_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When the receiver said 410: it is told nothing more."""
    trouble: str | None = Field(default=None, sa_type=Text)
    """What became of the last try, if it failed; null after one that succeeded."""


class WebhookMessage(SQLModel, table=True):
    """Something that a webhook is to be told; kept for a week after it was, or was given up."""

    __tablename__: ClassVar[str] = "webhook_message"
    __table_args__ = (
        Index(
            "ix_webhook_message_due",
            "due_at",
            sqlite_where=text("ended_at IS NULL"),
            postgresql_where=text("ended_at IS NULL"),
        ),
        Index("ix_webhook_message_ended", "ended_at"),
    )

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    ref: str = Field(sa_type=Text, unique=True)
    """`msg_` and more: the same with every try, so that a receiver knows what it has."""
    webhook_id: int = Field(sa_type=BigInt, foreign_key="webhook.id", ondelete="CASCADE")
    body: str = Field(sa_type=Text)
    tries: int = Field(default=0, sa_type=Integer)
    due_at: datetime = Field(sa_type=UtcDateTime)
    """When it is to be tried next. A try that has begun puts it off, so that two don't make the same."""
    ended_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When it was delivered, or given up."""


class Worker(SQLModel, table=True):
    """A worker process and its last sign of life."""

    id: str = Field(sa_type=Text, primary_key=True)
    host: str = Field(sa_type=Text)
    pid: int = Field(sa_type=Integer)
    queues: str = Field(sa_type=Text)
    """Names of its queues, separated and surrounded by commas, so that one can be looked for."""
    slots: int = Field(sa_type=Integer)
    """Slices that it may hold open at once."""
    in_flight: int = Field(sa_type=Integer)
    started_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)
