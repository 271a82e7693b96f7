"""Pipelines: what their files say, and runs that somebody asks for."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.access.audit import note
from api.access.auth import ReaderProject, SubmitterProject
from api.intake.bodies import StrictRoute
from api.intake.idempotency import Key
from api.pipelines.shapes import PipelineList, RunDetail, RunList
from api.pipelines.telling import pipeline_shape, run_detail, run_shape
from api.query import Day
from api.services import Services, ServicesDep
from jobs.clock import utcnow
from jobs.errors import Conflict, NotFound
from jobs.pipelines.files import Pipeline
from jobs.store.batches import batches
from jobs.store.runs import run_requests
from jobs.store.runs.run_totals import NO_FAILURES, failures_in, newest, totals_of

router = APIRouter(tags=["pipelines"], route_class=StrictRoute)


class BackfillWish(BaseModel):
    """The days of which each gets a run, and how many of these go on at the same time."""

    model_config = ConfigDict(extra="forbid")

    first: date
    last: date
    at_once: Annotated[int, Field(ge=1, le=run_requests.MOST_AT_ONCE, strict=True)] = 1


@router.get("/pipelines")
def list_pipelines(services: ServicesDep, project_id: ReaderProject) -> PipelineList:
    """List the pipelines of the project, and files in which something is wrong."""
    with services.database.read() as session:
        project = batches.project_name(session, project_id)
        last = newest(session, project_id)
        ids = [run.id for run in last.values() if run.id is not None]
        totals, failures = totals_of(session, ids), failures_in(session, last.values())
    now = utcnow()
    shown = {
        name: run_shape(
            run, totals.get(run.id or 0, {}), now, failures.get(run.id or 0, NO_FAILURES)
        )
        for name, run in last.items()
    }
    return PipelineList(
        data=[
            pipeline_shape(found, shown.get(found.name), now)
            for found in services.pipelines.files()
            if found.pipeline is None or found.pipeline.project == project
        ]
    )


@router.post("/pipelines/{pipeline}/runs", status_code=202)
def begin_run(
    services: ServicesDep,
    project_id: SubmitterProject,
    pipeline: str,
    day: Annotated[
        Day | None, Query(alias="date", description="what `{date}` stands for; default: today")
    ] = None,
    idempotency_key: Key = None,
) -> RunDetail:
    """Begin a run of a pipeline; it waits for its turn if the pipeline says so.

    Under the same `Idempotency-Key` it is the same run.
    """
    with services.database.write() as session:
        said = named(services, batches.project_name(session, project_id), pipeline)
        run, is_new = run_requests.ask(session, project_id, said, day=day, key=idempotency_key)
        assert run.id is not None  # it is in the database
        shape = run_detail(session, run, totals_of(session, [run.id])[run.id], utcnow())
    if is_new:
        note("run_begun", project_id, run=shape.id)
    return shape


@router.post("/pipelines/{pipeline}/backfill", status_code=202)
def backfill(
    services: ServicesDep, project_id: SubmitterProject, pipeline: str, wanted: BackfillWish
) -> RunList:
    """Make a run for each day of the past, in their order; runs of the schedule go on beside them."""
    with services.database.write() as session:
        said = named(services, batches.project_name(session, project_id), pipeline)
        made = run_requests.backfill(
            session,
            project_id,
            said,
            first=wanted.first,
            last=wanted.last,
            at_once=wanted.at_once,
        )
        shapes = [run_shape(run, {}, utcnow()) for run in made]
    note("backfill_begun", project_id, pipeline=pipeline, runs=len(shapes))
    return RunList(data=shapes)


def named(services: Services, project: str, name: str) -> Pipeline:
    """Return a pipeline of a project as its file is now.

    Raises:
        NotFound: there is none of that name.
        Conflict: its file is broken.
    """
    found = services.pipelines.find(name)
    if found is None or (found.pipeline is not None and found.pipeline.project != project):
        raise NotFound(f"there is no pipeline {name[:64]!r} in this project")
    if found.pipeline is None:
        raise Conflict(f"the file of pipeline {name} is broken: `tidemill pipelines` tells of what")
    return found.pipeline
