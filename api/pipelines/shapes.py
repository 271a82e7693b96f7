"""The shapes of pipelines and of their runs."""

from pydantic import BaseModel


class ScheduleShape(BaseModel):
    """When runs are due, by a cron expression; `overlap` is what becomes of one if another goes on."""

    cron: str
    zone: str
    overlap: str
    next_due_at: str


class PipelineShape(BaseModel):
    """A pipeline's file. `trouble` is why it isn't run, a line for each fault; null of a good one."""

    name: str
    description: str | None
    trouble: str | None
    schedule: ScheduleShape | None
    deadline: str | None
    budget_usd: str | None
    lane: str | None
    source: str | None
    stages: list[str]
    sinks: list[str]
    last_run: "RunShape | None"


class PipelineList(BaseModel):
    """The pipelines of a project, in the order of their files."""

    data: list[PipelineShape]


class SavedShape(BaseModel):
    """How much less was paid than at list price: by lanes, prompt caches, jobs that ask for the same."""

    lane_usd: str
    prompt_cache_usd: str
    same_jobs_usd: str


class ReceiptShape(BaseModel):
    """What was paid and saved. `list_usd` is what it had cost live, without caches, each job for itself."""

    cost_usd: str
    reserved_usd: str
    list_usd: str
    saved: SavedShape
    unpriced_jobs: int


class RunRows(BaseModel):
    """Rows of the source: taken, left out as done before, with a key twice; those that failed.

    `none_came_out` tells of a completed run that it has no output, for rows have failed.
    """

    taken: int
    done_before: int
    doubled: int
    failed: int
    none_came_out: bool


class RunShape(BaseModel):
    """A run. `kept_deadline` is null while that is open, and where there is no deadline.

    `deadline_unreachable` says why that surely can't be met, as it was reckoned when the source was read.
    """

    id: str
    pipeline: str
    kind: str
    state: str
    date: str
    due_at: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    deadline: str | None
    kept_deadline: bool | None
    deadline_unreachable: str | None
    budget_usd: str | None
    rows: RunRows
    retries: int
    backfill: str | None
    trouble: str | None
    receipt: ReceiptShape


class StageShape(BaseModel):
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
    receipt: ReceiptShape


class SinkShape(BaseModel):
    """A sink of a run; `trouble` is why it could not be written the last time."""

    kind: str
    of: str
    state: str
    rows: int | None
    place: str | None
    tries: int
    trouble: str | None
    next_try_at: str | None
    written_at: str | None


class RunDetail(RunShape):
    """A run with its stages and sinks."""

    stages: list[StageShape]
    sinks: list[SinkShape]


class RunPage(BaseModel):
    """A page of runs, newest first."""

    data: list[RunShape]
    next_cursor: str | None


class FailureShape(BaseModel):
    """A row that failed: its key, the stage and branch in which it did, and why."""

    key: str
    stage: str
    branch: str
    error: str


class FailureList(BaseModel):
    """Rows of a run that failed, in the order of the source."""

    data: list[FailureShape]


class DiffRows(BaseModel):
    """How many rows there are of a sort, and the keys of the first ones."""

    count: int
    keys: list[str]


class DiffShape(BaseModel):
    """What a stage has made otherwise than in an earlier run, `against`."""

    run: str
    against: str
    stage: str
    same: int
    new: DiffRows
    gone: DiffRows
    changed: DiffRows


class RunList(BaseModel):
    """Runs that were made together."""

    data: list[RunShape]
