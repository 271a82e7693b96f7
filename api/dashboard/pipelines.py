"""Pipelines and their runs: what is due, what is wrong with files, a run from source to sinks, steering."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from api.access.auth import Steerer, Viewer
from api.dashboard.page_route import PageRoute
from api.dashboard.rendering import render
from api.dashboard.run_standing import RunStanding, standings_of_runs
from api.pipelines.telling import failures_of, pipeline_shape, run_detail
from api.routes import runs as steering
from api.services import ServicesDep
from jobs.clock import utcnow
from jobs.errors import NotFound
from jobs.states import RunState
from jobs.store.batches import batches
from jobs.store.runs import runs
from jobs.store.runs.run_totals import totals_of
from jobs.tables import Run

router = APIRouter(route_class=PageRoute, include_in_schema=False)

RUNS_PER_PAGE = 30

SHOWN_FAILURES = 100


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
        now = utcnow()
        standings = standings_of_runs(session, shown, now)
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
        runs=standings,
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
        told = run_detail(session, run, totals_of(session, [run.id])[run.id], now)
        (standing,) = standings_of_runs(session, [run], now)
        failures = failures_of(session, run, SHOWN_FAILURES).data
    return render(
        request,
        visitor,
        "run.html",
        run=run,
        told=told,
        standing=standing,
        sums=standing.totals,
        can=_possible(run, standing),
        failures=failures,
        failed=sum(stage.failed for stage in told.stages),
    )


def _possible(run: Run, standing: RunStanding) -> frozenset[str]:
    """Return what may be done with a run as it stands, and is of use."""
    may_retry = run.state in {RunState.FAILED, RunState.CANCELLED} or standing.failed.count
    can_retry = standing.is_final and run.state != RunState.SKIPPED and may_retry
    return frozenset(
        verb
        for verb, is_able in {"cancel": not standing.is_final, "retry": can_retry}.items()
        if is_able
    )


@router.post("/runs/{run_id}/{verb}")
def steer(services: ServicesDep, visitor: Steerer, run_id: str, verb: str) -> Response:
    """Cancel a run, or take it up again, and show what became of it."""
    project_id = visitor.caller.project_id
    match verb:
        case "cancel":
            steering.cancel(services, project_id, run_id)
        case "retry":
            steering.retry(services, project_id, run_id)
        case _:
            raise NotFound("there is no such page")
    return RedirectResponse(f"/runs/{run_id}", HTTPStatus.SEE_OTHER)
