"""Pipelines and their runs: what is due, what is wrong with files, and one run from source to sinks."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.access.auth import Viewer
from api.dashboard.page_route import PageRoute
from api.dashboard.rendering import render
from api.pipelines.telling import failures_of, pipeline_shape, run_detail
from api.services import ServicesDep
from jobs.clock import utcnow
from jobs.receipt import kept_deadline
from jobs.states import RunState
from jobs.store import batches, runs
from jobs.store.run_totals import NO_FAILURES, Failures, failures_in, sum_of, totals_of
from jobs.tables import Run

router = APIRouter(route_class=PageRoute, include_in_schema=False)

RUNS_PER_PAGE = 30

SHOWN_FAILURES = 100

TONES = {
    RunState.COMPLETED: "good",
    RunState.FAILED: "bad",
    RunState.CANCELLED: "caution",
    RunState.SKIPPED: "quiet",
    RunState.WAITING: "quiet",
    RunState.RUNNING: "busy",
    RunState.DELIVERING: "busy",
}


@router.get("/pipelines")
def pipelines_page(
    request: Request,
    services: ServicesDep,
    visitor: Viewer,
    before: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """Show the project's pipelines and their runs, newest first."""
    project_id = visitor.caller.project_id
    with services.database.read() as session:
        project = batches.project_name(session, project_id)
        found = runs.page(
            session, project_id, pipeline=None, before=before, limit=RUNS_PER_PAGE + 1
        )
        shown = found[:RUNS_PER_PAGE]
        ids = [run.id for run in shown if run.id is not None]
        totals, failures = totals_of(session, ids), failures_in(session, shown)
    now = utcnow()
    files = [
        pipeline_shape(each, None, now)
        for each in services.pipelines.files()
        if each.pipeline is None or each.pipeline.project == project
    ]
    return render(
        request,
        visitor,
        "pipelines.html",
        pipelines=files,
        due={
            each.name: datetime.fromisoformat(each.schedule.next_due_at)
            for each in files
            if each.schedule is not None
        },
        broken=sum(each.trouble is not None for each in files),
        runs=[
            {
                "row": run,
                "tone": _tone(run, failed := failures.get(run.id or 0, NO_FAILURES)),
                "failed": failed,
                "kept": kept_deadline(run.state, run.deadline, run.finished_at, now),
                "totals": sum_of(totals.get(run.id or 0, {})),
            }
            for run in shown
        ],
        next_before=shown[-1].ref if len(found) > RUNS_PER_PAGE else None,
        is_first=before is None,
    )


@router.get("/runs/{run_id}")
def run_page(request: Request, services: ServicesDep, visitor: Viewer, run_id: str) -> Response:
    """Show a run: its stages as they flow, its sinks, its receipt, and the rows that failed."""
    now = utcnow()
    with services.database.read() as session:
        run = runs.find(session, visitor.caller.project_id, run_id)
        assert run.id is not None  # it is in the database
        totals = totals_of(session, [run.id])[run.id]
        told = run_detail(session, run, totals, now)
        failures = failures_of(session, run, SHOWN_FAILURES).data
    return render(
        request,
        visitor,
        "run.html",
        run=run,
        told=told,
        tone=_tone(run, Failures(nothing_left=told.rows.none_came_out)),
        sums=sum_of(totals),
        failures=failures,
        failed=sum(stage.failed for stage in told.stages),
    )


def _tone(run: Run, failures: Failures) -> str:
    return "bad" if failures.nothing_left else TONES[RunState(run.state)]
