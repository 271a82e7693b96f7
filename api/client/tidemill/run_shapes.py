"""Pipelines and their runs as values. What a newer server adds is left out, what it lacks is None."""

from datetime import date, datetime
from decimal import Decimal

from .shapes import Shape

Day = date
"""By its other name, as a run has a field that is called so."""

FINAL_RUN_STATES = frozenset({"completed", "failed", "cancelled", "skipped"})
"""States in which a run changes no more, unless it is retried."""


class Schedule(Shape, frozen=True, kw_only=True):
    """When runs are due, by a cron expression; `overlap` is what becomes of one if another goes on."""

    cron: str
    zone: str
    overlap: str
    next_due_at: datetime


class Saved(Shape, frozen=True, kw_only=True):
    """How much less was paid than at list price: by lanes, prompt caches, jobs that ask for the same."""

    lane_usd: Decimal
    prompt_cache_usd: Decimal
    same_jobs_usd: Decimal


class RunReceipt(Shape, frozen=True, kw_only=True):
    """What was paid and saved, of the batches' rows; `client.pipelines.receipt` has the whole."""

    cost_usd: Decimal
    reserved_usd: Decimal
    list_usd: Decimal
    saved: Saved
    unpriced_jobs: int = 0


class RunRows(Shape, frozen=True, kw_only=True):
    """Rows of the source: taken, left out as done before, with a key twice; those that failed.

    `none_came_out` tells of a completed run that it has no output, for rows have failed.
    """

    taken: int
    done_before: int = 0
    doubled: int = 0
    failed: int = 0
    none_came_out: bool = False


class Stage(Shape, frozen=True, kw_only=True):
    """A stage of a run: where its rows stand, its batches, and what it has cost."""

    name: str
    kind: str
    model: str
    after: list[str]
    running: int
    done: int
    failed: int
    left_out: int
    batches: list[str]
    receipt: RunReceipt


class Sink(Shape, frozen=True, kw_only=True):
    """A sink of a run; `trouble` is why it could not be written the last time."""

    kind: str
    of: str
    state: str
    rows: int | None = None
    place: str | None = None
    tries: int = 0
    trouble: str | None = None
    next_try_at: datetime | None = None
    written_at: datetime | None = None


class Run(Shape, frozen=True, kw_only=True):
    """A run where it stood when it was asked for.

    `state` is `waiting`, `running`, `delivering`, or one of the final: `completed`, `failed`, `cancelled`,
    `skipped`. `trouble` says what it waits for, or why it has failed. `kept_deadline` is None while that is
    open; `deadline_unreachable` says why it surely can't be met. `stages` and `sinks` are empty in lists.
    """

    id: str
    pipeline: str
    state: str
    rows: RunRows
    receipt: RunReceipt
    kind: str = ""
    date: Day | None = None
    due_at: datetime | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    deadline: datetime | None = None
    kept_deadline: bool | None = None
    deadline_unreachable: str | None = None
    budget_usd: Decimal | None = None
    retries: int = 0
    backfill: str | None = None
    trouble: str | None = None
    stages: tuple[Stage, ...] = ()
    sinks: tuple[Sink, ...] = ()

    @property
    def is_final(self) -> bool:
        """Whether it has ended, and its sinks are written."""
        return self.state in FINAL_RUN_STATES

    @property
    def has_succeeded(self) -> bool:
        """Whether it is completed, and not without any output because rows failed."""
        return self.state == "completed" and not self.rows.none_came_out


class RunPage(Shape, frozen=True, kw_only=True):
    """A page of runs, newest first."""

    data: list[Run]
    next_cursor: str | None = None


class Pipeline(Shape, frozen=True, kw_only=True):
    """A pipeline's file. `trouble` is why it isn't run, a line for each fault; None of a good one."""

    name: str
    description: str | None = None
    trouble: str | None = None
    schedule: Schedule | None = None
    deadline: str | None = None
    budget_usd: Decimal | None = None
    lane: str | None = None
    source: str | None = None
    stages: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()
    last_run: Run | None = None


class PipelineList(Shape, frozen=True, kw_only=True):
    """The pipelines of a project, in the order of their files."""

    data: list[Pipeline]


class Failure(Shape, frozen=True, kw_only=True):
    """A row that failed: its key, the stage and branch in which it did, and why."""

    key: str
    stage: str
    branch: str
    error: str


class FailureList(Shape, frozen=True, kw_only=True):
    """Rows of a run that failed, in the order of the source."""

    data: list[Failure]
