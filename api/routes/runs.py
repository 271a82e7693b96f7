"""Runs of pipelines: what they are, what became of their rows, and how they are steered."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.access.auth import ReaderProject
from api.intake.bodies import StrictRoute
from api.pipelines.shapes import RunDetail, RunPage, run_detail, run_shape
from api.query import WholeNumber
from api.services import ServicesDep
from jobs.clock import utcnow
from jobs.store import Session, runs
from jobs.store.run_totals import totals_of
from jobs.tables import Run

router = APIRouter(tags=["pipelines"], route_class=StrictRoute)


@router.get("/runs")
def list_runs(
    services: ServicesDep,
    project_id: ReaderProject,
    pipeline: Annotated[str | None, Query(description="of this pipeline; default: of all")] = None,
    limit: Annotated[WholeNumber, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> RunPage:
    """List the project's runs, newest first."""
    with services.database.read() as session:
        found = runs.page(session, project_id, pipeline=pipeline, before=cursor, limit=limit + 1)
        shown = found[:limit]
        totals = totals_of(session, [run.id for run in shown if run.id is not None])
    now = utcnow()
    return RunPage(
        data=[run_shape(run, totals.get(run.id or 0, {}), now) for run in shown],
        next_cursor=shown[-1].ref if len(found) > limit else None,
    )


@router.get("/runs/{run_id}")
def get_run(services: ServicesDep, project_id: ReaderProject, run_id: str) -> RunDetail:
    """Return a run with its stages, its sinks, and its receipt."""
    with services.database.read() as session:
        return _detail(session, runs.find(session, project_id, run_id))


def _detail(session: Session, run: Run) -> RunDetail:
    assert run.id is not None  # it is in the database
    return run_detail(session, run, totals_of(session, [run.id])[run.id], utcnow())
