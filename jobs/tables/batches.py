"""Submissions, how they go on, and what they are made of: slices of jobs."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Double,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)
from sqlmodel import Field, SQLModel

from jobs.deadlines import AfterDeadline
from jobs.states import (
    BatchState,
    LaneWish,
    PauseCause,
    Priority,
    SliceState,
)
from jobs.tables.columns import BigInt, UtcDateTime, one_of


class Batch(SQLModel, table=True):
    """A submission: what the user asked for, where it stands, and its running totals.

    Totals are advanced only in the transactions that write the rows they count.
    """

    __table_args__ = (
        one_of("state", BatchState),
        one_of("priority", Priority),
        one_of("pause_cause", PauseCause, nullable=True),
        one_of("lane", LaneWish),
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
    deadline: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """By when it is wanted."""
    after_deadline: str = Field(
        default=AfterDeadline.FINISH, sa_type=Text, sa_column_kwargs={"server_default": "finish"}
    )
    """`jobs.deadlines.AfterDeadline`: what becomes of its open jobs then."""
    run_window: str | None = Field(default=None, sa_type=Text)
    """The hours in which it may run, as `jobs.deadlines.RunWindow` reads them; null for all."""
    urgency: str | None = Field(default=None, sa_type=Text)
    """The priority that it has by its deadline, while that is above its own; null otherwise."""
    quoted_s: float | None = Field(default=None, sa_type=Double)
    """How long all of it takes at the limits that there were when it was accepted; null where nobody
    can tell, or it has no deadline."""
    clocked_model: str | None = Field(default=None, sa_type=Text)
    """The model, as PROVIDER/NAME, that most of its cost is for, if that has prices by the time of day."""
    held_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """Nothing of it is fed before: its window is closed, or a cheaper hour comes soon enough."""
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
    is_open: bool = Field(default=False, sa_type=Boolean)
    """Whether jobs are still added to it, a stage's of a pipeline: it doesn't end before that is over."""
    cache_saved_nanos: int | None = Field(default=0, sa_type=BigInt)
    """How much less its calls cost than without the providers' prompt caches; below zero while those
    were written and hardly read. Null of a batch that is older than the figure."""
    lane: str = Field(
        default=LaneWish.LIVE, sa_type=Text, sa_column_kwargs={"server_default": "live"}
    )
    """A `LaneWish`: how its calls may reach their providers."""
    lane_due_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When its waiting slices are to be shared out over the lanes, and meanwhile it is not fed; null once
    they are."""
    lane_saved_nanos: int = Field(
        default=0, sa_type=BigInt, sa_column_kwargs={"server_default": "0"}
    )
    """How much less its calls cost than they had live: what native batches saved."""
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
    """Periods of work before it (`jobs.store.batches.progress.PERIOD_S`)."""
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
    """Of query and body (`api.intake.idempotency`); null until the batch is accepted."""


class Slice(SQLModel, table=True):
    """A contiguous range of one batch's jobs of one queue: what a message names and a worker leases."""

    __table_args__ = (
        one_of("state", SliceState),
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
