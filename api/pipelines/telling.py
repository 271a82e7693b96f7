"""Pipelines and runs told: their shapes, made of files and rows."""

from datetime import datetime

from api.pipelines.shapes import (
    DiffRows,
    DiffShape,
    FailureList,
    FailureShape,
    PipelineShape,
    ReceiptShape,
    RunDetail,
    RunRows,
    RunShape,
    SavedShape,
    ScheduleShape,
    SinkShape,
    StageShape,
)
from jobs.money import format_usd
from jobs.pipelines.cron import next_due, zone_named
from jobs.pipelines.files import Pipeline
from jobs.pipelines.folder import Found
from jobs.receipt import kept_deadline
from jobs.store import Session
from jobs.store.runs import run_items, runs
from jobs.store.runs.run_diffs import Diff
from jobs.store.runs.run_totals import (
    NO_FAILURES,
    Failures,
    StageTotals,
    Totals,
    failures_in,
    sum_of,
)
from jobs.tables import Run, RunSink, RunStage


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
        deadline_unreachable=run.unreachable,
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
