"""The shapes of pipelines and of their runs."""

from datetime import datetime

from pydantic import BaseModel

from jobs.money import format_usd
from jobs.pipelines.cron import next_due, zone_named
from jobs.pipelines.files import Pipeline
from jobs.pipelines.folder import Found
from jobs.receipt import kept_deadline
from jobs.store import Session, run_items, runs
from jobs.store.run_diffs import Diff
from jobs.store.run_totals import NO_FAILURES, Failures, StageTotals, Totals, failures_in, sum_of
from jobs.tables import Run, RunSink, RunStage


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
    """A run. `kept_deadline` is null while that is open, and where there is no deadline."""

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


def pipeline_shape(found: Found, last_run: RunShape | None, now: datetime) -> PipelineShape:
    """Return what a file says."""
    pipeline = found.pipeline
    if pipeline is None:
        folder = f"{found.path.parent}/"
        trouble = (found.trouble or "").replace(folder, "")
        return PipelineShape(
            **dict.fromkeys(PipelineShape.model_fields)
            | {"name": found.name, "trouble": trouble, "stages": [], "sinks": []}
        )
    return PipelineShape(
        name=pipeline.name,
        description=pipeline.description,
        trouble=None,
        schedule=_schedule(pipeline, now),
        deadline=pipeline.deadline,
        budget_usd=pipeline.budget_usd,
        lane=pipeline.lane,
        source=pipeline.source.what,
        stages=[stage.name for stage in pipeline.stages],
        sinks=[sink.what for sink in pipeline.sinks],
        last_run=last_run,
    )


def run_shape(
    run: Run, totals: Totals, now: datetime, failures: Failures = NO_FAILURES
) -> RunShape:
    """Return a run as it is in lists."""
    return RunShape(
        id=run.ref,
        pipeline=run.pipeline,
        kind=run.kind,
        state=run.state,
        date=run.day.isoformat(),
        due_at=run.due_at.isoformat(),
        created_at=run.created_at.isoformat(),
        started_at=_moment(run.started_at),
        finished_at=_moment(run.finished_at),
        deadline=_moment(run.deadline),
        kept_deadline=kept_deadline(run.state, run.deadline, run.finished_at, now),
        budget_usd=None if run.budget_nanos is None else format_usd(run.budget_nanos),
        rows=RunRows(
            taken=run.rows,
            done_before=run.old_rows,
            doubled=run.double_rows,
            failed=failures.count,
            none_came_out=failures.nothing_left,
        ),
        retries=run.round,
        backfill=run.group_ref,
        trouble=run.trouble,
        receipt=_receipt(sum_of(totals)),
    )


def run_detail(session: Session, run: Run, totals: Totals, now: datetime) -> RunDetail:
    """Return a run with its stages and sinks."""
    assert run.id is not None  # it is in the database
    pipeline = Pipeline.from_json(run.definition)
    failures = failures_in(session, [run]).get(run.id, NO_FAILURES)
    return RunDetail(
        **run_shape(run, totals, now, failures).model_dump(),
        stages=[
            _stage(pipeline, stage, totals.get(stage.stage_no, StageTotals()))
            for stage in runs.stages(session, run.id)
        ],
        sinks=[_sink(pipeline, sink) for sink in runs.sinks(session, run.id)],
    )


def failures_of(session: Session, run: Run, limit: int) -> FailureList:
    """Return rows of a run that failed."""
    assert run.id is not None  # it is in the database
    pipeline = Pipeline.from_json(run.definition)
    return FailureList(
        data=[
            FailureShape(
                key=key,
                stage=pipeline.stages[stage_no].name,
                branch=branch,
                error=error or "unknown",
            )
            for key, stage_no, branch, error in run_items.failures(session, run.id, limit)
        ]
    )


def diff_shape(run: Run, before: Run, found: Diff) -> DiffShape:
    """Return a run beside an earlier one."""
    sorts = {"new": found.new, "gone": found.gone, "changed": found.changed}
    return DiffShape(
        run=run.ref,
        against=before.ref,
        stage=found.stage,
        same=found.same,
        **{name: DiffRows(count=rows.count, keys=list(rows.keys)) for name, rows in sorts.items()},
    )


def _schedule(pipeline: Pipeline, now: datetime) -> ScheduleShape | None:
    schedule = pipeline.schedule
    if schedule is None:
        return None
    due_at = next_due(schedule.cron, zone_named(schedule.zone), now)
    return ScheduleShape(
        cron=schedule.cron,
        zone=schedule.zone,
        overlap=schedule.overlap,
        next_due_at=due_at.isoformat(),
    )


def _stage(pipeline: Pipeline, stage: RunStage, totals: StageTotals) -> StageShape:
    said = pipeline.stages[stage.stage_no]
    inputs = pipeline.flow.inputs[stage.stage_no]
    return StageShape(
        name=stage.name,
        kind=said.kind,
        model=pipeline.model_of(said),
        after=[pipeline.stages[number].name for number in inputs],
        running=stage.sent + stage.again,
        done=stage.done,
        failed=stage.failed,
        left_out=stage.left_out,
        batches=totals.batches,
        receipt=_receipt(totals),
    )


def _sink(pipeline: Pipeline, sink: RunSink) -> SinkShape:
    said = pipeline.sinks[sink.sink_no]
    return SinkShape(
        kind=said.what,
        of=pipeline.stages[pipeline.stage_number(said.of)].name,
        state=sink.state,
        rows=sink.rows,
        place=sink.place,
        tries=sink.tries,
        trouble=sink.trouble,
        next_try_at=_moment(sink.next_try_at),
        written_at=_moment(sink.written_at),
    )


def _receipt(totals: StageTotals) -> ReceiptShape:
    return ReceiptShape(
        cost_usd=format_usd(totals.spent),
        reserved_usd=format_usd(totals.reserved),
        list_usd=format_usd(totals.list_price),
        saved=SavedShape(
            lane_usd=format_usd(totals.saved.lane_nanos),
            prompt_cache_usd=format_usd(totals.saved.cache_nanos),
            same_jobs_usd=format_usd(totals.saved.reuse_nanos),
        ),
        unpriced_jobs=totals.unpriced_jobs,
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
