"""Runs of pipelines: what became of each, its stages, their batches, its rows in them, its sinks."""

from datetime import date, datetime
from typing import ClassVar

from sqlalchemy import Date, Double, Index, Integer, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from jobs.states import ItemState, RunKind, RunState, SinkState
from jobs.tables.columns import BigInt, UtcDateTime, one_of


class Run(SQLModel, table=True):
    """One execution of a pipeline."""

    __table_args__ = (
        one_of("state", RunState),
        one_of("kind", RunKind),
        UniqueConstraint("project_id", "pipeline", "slot", name="uq_run_slot"),
        Index("ix_run_pipeline", "project_id", "pipeline", "id"),
        Index(
            "ix_run_unfinished",
            "state",
            sqlite_where=text("finished_at IS NULL"),
            postgresql_where=text("finished_at IS NULL"),
        ),
    )

    id: int | None = Field(default=None, sa_type=BigInt, primary_key=True)
    ref: str = Field(sa_type=Text, unique=True)
    """The name that the outside world uses, such as `run_01jd…`."""
    project_id: int = Field(sa_type=BigInt, foreign_key="project.id")
    pipeline: str = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    slot: str = Field(sa_type=Text)
    """What there is one run for: a due time of the schedule, a day of a backfill, a request."""
    state: str = Field(sa_type=Text)
    definition: str = Field(sa_type=Text)
    """JSON of `jobs.pipelines.files.Pipeline` as it was when the run was made, or last retried."""
    digest: str = Field(sa_type=Text)
    """Of the definition: runs with the same one did the same."""
    day: date = Field(sa_type=Date)
    """What `{date}` stands for."""
    due_at: datetime = Field(sa_type=UtcDateTime)
    deadline: datetime | None = Field(default=None, sa_type=UtcDateTime)
    budget_nanos: int | None = Field(default=None, sa_type=BigInt)
    group_ref: str | None = Field(default=None, sa_type=Text)
    """What the runs of one backfill share; null otherwise."""
    at_once: int = Field(default=1, sa_type=Integer)
    """Of that backfill, how many runs may go on at the same time."""
    round: int = Field(default=0, sa_type=Integer)
    """How often it was retried."""
    created_at: datetime = Field(sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    read_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When its source was wholly read; null before."""
    judged_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    """When it was reckoned whether its deadline can be met, which is soon after its source was read."""
    unreachable: str | None = Field(default=None, sa_type=Text)
    """One sentence: why its deadline surely can't be met; null where it may be, or nobody can tell."""
    quoted_jobs: int = Field(default=0, sa_type=BigInt, sa_column_kwargs={"server_default": "0"})
    """How many of its jobs were to come then, in all stages, if no row is left out or fails."""
    quoted_s: float | None = Field(default=None, sa_type=Double)
    """How long those take at the limits that there were; null where nobody can tell."""
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    rows: int = Field(default=0, sa_type=BigInt)
    """Rows of the source that were taken; the last one's number."""
    old_rows: int = Field(default=0, sa_type=BigInt)
    """Rows that were left out, as an earlier run has done them."""
    double_rows: int = Field(default=0, sa_type=BigInt)
    """Rows that were left out, as another row of the source has their key."""
    tries: int = Field(default=0, sa_type=Integer)
    """How often its source could not be read, one time after the other."""
    next_try_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    trouble: str | None = Field(default=None, sa_type=Text)
    """One sentence: what it waits for, or why it has failed."""


class RunClaim(SQLModel, table=True):
    """Who does a duty of a run; whoever takes it over raises the number, and older ones are void."""

    __tablename__: ClassVar[str] = "run_claim"

    run_id: int = Field(sa_type=BigInt, primary_key=True)
    duty: str = Field(sa_type=Text, primary_key=True)
    number: int = Field(sa_type=Integer)
    until: datetime = Field(sa_type=UtcDateTime)


class RunStage(SQLModel, table=True):
    """A stage of a run, and how many of its rows are where. Changed with the items that it counts."""

    __tablename__: ClassVar[str] = "run_stage"

    run_id: int = Field(sa_type=BigInt, primary_key=True)
    stage_no: int = Field(sa_type=Integer, primary_key=True)
    """From 0, in the order of the file."""
    name: str = Field(sa_type=Text)
    sent: int = Field(default=0, sa_type=BigInt)
    again: int = Field(default=0, sa_type=BigInt)
    done: int = Field(default=0, sa_type=BigInt)
    failed: int = Field(default=0, sa_type=BigInt)
    left_out: int = Field(default=0, sa_type=BigInt)


class RunBatch(SQLModel, table=True):
    """A batch of a stage: one, and another one for each retry of the run that has jobs in it."""

    __tablename__: ClassVar[str] = "run_batch"

    run_id: int = Field(sa_type=BigInt, primary_key=True)
    batch_id: int = Field(sa_type=BigInt, primary_key=True)
    stage_no: int = Field(sa_type=Integer)
    round: int = Field(sa_type=Integer)
    """`Run.round` when it was begun."""
    handed_over: int = Field(default=0, sa_type=BigInt)
    """Up to which place (`Result.position`) its results were handed to the stages after it."""


class RunItem(SQLModel, table=True):
    """A row of a run in a stage, and in its branch; of stage -1 as its source gave it."""

    __tablename__: ClassVar[str] = "run_item"
    __table_args__ = (
        one_of("state", ItemState),
        Index(
            "ix_run_item_key",
            "run_id",
            "key",
            unique=True,
            sqlite_where=text("key IS NOT NULL"),
            postgresql_where=text("key IS NOT NULL"),
        ),
        Index("ix_run_item_job", "batch_id", "seq"),
        Index("ix_run_item_stage", "run_id", "stage_no", "state", "number"),
    )

    run_id: int = Field(sa_type=BigInt, primary_key=True)
    number: int = Field(sa_type=Integer, primary_key=True)
    """Of the source's row, from 1."""
    stage_no: int = Field(sa_type=Integer, primary_key=True)
    branch: str = Field(sa_type=Text, primary_key=True)
    """Empty, or the value of `for_each`, such as `fr`; of branches of branches `fr/formal`."""
    state: str = Field(sa_type=Text)
    batch_id: int | None = Field(default=None, sa_type=BigInt)
    seq: int | None = Field(default=None, sa_type=Integer)
    """Its job; null for a source's row, and for one that got no job."""
    key: str | None = Field(default=None, sa_type=Text)
    """The row's name, of the source's row only."""
    document: str | None = Field(default=None, sa_type=Text)
    """JSON of the source's row; null in stages, whose outputs are results."""
    digest: str | None = Field(default=None, sa_type=Text)
    """Of the document."""
    error: str | None = Field(default=None, sa_type=Text)
    """Why it failed where its job doesn't tell: it got none, or its answer didn't meet `check`."""


class RunSink(SQLModel, table=True):
    """A sink of a run."""

    __tablename__: ClassVar[str] = "run_sink"
    __table_args__ = (one_of("state", SinkState),)

    run_id: int = Field(sa_type=BigInt, primary_key=True)
    sink_no: int = Field(sa_type=Integer, primary_key=True)
    """From 0, in the order of the file."""
    state: str = Field(sa_type=Text)
    tries: int = Field(default=0, sa_type=Integer)
    next_try_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    rows: int | None = Field(default=None, sa_type=BigInt)
    """How many it got; null before it was written."""
    place: str | None = Field(default=None, sa_type=Text)
    trouble: str | None = Field(default=None, sa_type=Text)
    """One sentence: why it could not be written the last time."""
    written_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class RunSchedule(SQLModel, table=True):
    """Since when a pipeline's schedule is known: what was due before is not caught up."""

    __tablename__: ClassVar[str] = "run_schedule"

    project_id: int = Field(sa_type=BigInt, primary_key=True)
    pipeline: str = Field(sa_type=Text, primary_key=True)
    schedule: str = Field(sa_type=Text)
    """Its expression and zone; when they change, it is known anew."""
    since: datetime = Field(sa_type=UtcDateTime)
