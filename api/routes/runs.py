"""Runs of pipelines: what they are, what became of their rows, and how they are steered."""

from typing import Annotated

from fastapi import APIRouter, Query

from api.access.audit import note
from api.access.auth import ReaderProject, SubmitterProject
from api.intake.bodies import StrictRoute
from api.pipelines.shapes import DiffShape, FailureList, RunDetail, RunPage
from api.pipelines.telling import diff_shape, failures_of, run_detail, run_shape
from api.query import Flag, WholeNumber
from api.routes.pipelines import named
from api.services import COUNTING_S, ServicesDep
from jobs.clock import utcnow
from jobs.errors import NotFound
from jobs.store import Session
from jobs.store.batches import batches
from jobs.store.runs import run_diffs, run_endings, runs
from jobs.store.runs.run_totals import NO_FAILURES, failures_in, totals_of
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
        ids = [run.id for run in shown if run.id is not None]
        totals, failures = totals_of(session, ids), failures_in(session, shown)
    now = utcnow()
    return RunPage(
        data=[
            run_shape(run, totals.get(run.id or 0, {}), now, failures.get(run.id or 0, NO_FAILURES))
            for run in shown
        ],
        next_cursor=shown[-1].ref if len(found) > limit else None,
    )


@router.get("/runs/{run_id}")
def get_run(services: ServicesDep, project_id: ReaderProject, run_id: str) -> RunDetail:
    """Return a run with its stages, its sinks, and its receipt."""
    with services.database.read() as session:
        return _detail(session, runs.find(session, project_id, run_id))


@router.post("/runs/{run_id}/cancel")
def cancel(services: ServicesDep, project_id: SubmitterProject, run_id: str) -> RunDetail:
    """Cancel a run: nothing more is sent for it, and what is in flight still counts."""
    with services.database.write() as session:
        shape = _detail(session, run_endings.cancel(session, project_id, run_id))
    note("run_cancelled", project_id, run=run_id)
    return shape


@router.post("/runs/{run_id}/retry")
def retry(
    services: ServicesDep,
    project_id: SubmitterProject,
    run_id: str,
    stage: Annotated[
        str | None,
        Query(alias="from", description="only rows that failed in this stage or in a later one"),
    ] = None,
    as_now: Annotated[
        Flag, Query(description="by the pipeline's file as it is now, not as it was")
    ] = False,
) -> RunDetail:
    """Take up a run that has ended: rows that failed are asked for again, and its sinks written anew."""
    with services.database.write() as session:
        run = runs.find(session, project_id, run_id)
        project = batches.project_name(session, project_id)
        said = named(services, project, run.pipeline) if as_now else None
        taken_up = run_endings.retry(session, project_id, run_id, from_stage=stage, pipeline=said)
        shape = _detail(session, taken_up)
    note("run_retried", project_id, run=run_id)
    return shape


@router.get("/runs/{run_id}/failures")
def list_failures(
    services: ServicesDep,
    project_id: ReaderProject,
    run_id: str,
    limit: Annotated[WholeNumber, Query(ge=1, le=1000)] = 100,
) -> FailureList:
    """List rows that failed, in the order of the source: where, and of what."""
    with services.database.read() as session:
        run = runs.find(session, project_id, run_id)
        return failures_of(session, run, limit)


@router.get("/runs/{run_id}/diff")
def get_diff(
    services: ServicesDep,
    project_id: ReaderProject,
    run_id: str,
    against: Annotated[
        str | None, Query(description="an earlier run; default: the one completed before it")
    ] = None,
    stage: Annotated[
        str | None, Query(description="whose outputs are compared; default: the last one's")
    ] = None,
    limit: Annotated[WholeNumber, Query(ge=0, le=1000, description="keys of each sort")] = 20,
) -> DiffShape:
    """Return which rows are new, gone and changed since an earlier run of the same pipeline."""
    with services.database.with_patience(COUNTING_S).read() as session:
        run = runs.find(session, project_id, run_id)
        before = (
            run_diffs.run_before(session, run)
            if against is None
            else runs.find(session, project_id, against)
        )
        if before is None or before.pipeline != run.pipeline:
            raise NotFound(f"there is no earlier run of {run.pipeline} to compare {run_id} with")
        found = run_diffs.diff(session, run, before, stage=stage, keys=limit)
    if found is None:
        raise NotFound("one of the two runs has no such stage")
    return diff_shape(run, before, found)


def _detail(session: Session, run: Run) -> RunDetail:
    assert run.id is not None  # it is in the database
    return run_detail(session, run, totals_of(session, [run.id])[run.id], utcnow())
