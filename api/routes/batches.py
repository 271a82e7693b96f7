"""Batches: listed, watched, changed, paused, resumed, cancelled."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from api.access.audit import note
from api.access.auth import ReaderProject, SubmitterProject
from api.amounts import UsdOrNone, nanos_of
from api.batch_reading import shape_of
from api.intake.bodies import StrictRoute
from api.outlooks import NOTHING, told_of_each
from api.query import WholeNumber
from api.services import Services, ServicesDep
from api.shapes import BatchPage, BatchShape, batch_shape
from jobs.states import BatchState
from jobs.store.batches import batches
from jobs.store.money import budgets

router = APIRouter(tags=["batches"], route_class=StrictRoute)


@router.get("/batches")
def list_batches(
    services: ServicesDep,
    project_id: ReaderProject,
    limit: Annotated[WholeNumber, Query(ge=1, le=1000)] = 50,
    cursor: str | None = None,
) -> BatchPage:
    """List the project's batches, newest first.

    A cursor is the last batch that was seen, so it is worth nothing in another project.
    """
    with services.database.read() as session:
        found = batches.page(session, project_id, before=cursor, limit=limit + 1)
        project = batches.project_name(session, project_id)
        shown = found[:limit]
        told = told_of_each(session, [each for each in shown if each.finished_at is None])
    more = len(found) > limit
    return BatchPage(
        data=[batch_shape(batch, project, told.get(batch.ref, NOTHING)) for batch in shown],
        next_cursor=shown[-1].ref if more else None,
    )


@router.get("/batches/{batch_id}")
def get_batch(services: ServicesDep, project_id: ReaderProject, batch_id: str) -> BatchShape:
    """Return a batch: where it stands, its counts, usage and cost."""
    with services.database.read() as session:
        batch = batches.find(session, project_id, batch_id)
        return shape_of(session, batch, batches.project_name(session, project_id))


class BatchChange(BaseModel):
    """What may be changed of a batch."""

    model_config = ConfigDict(extra="forbid", strict=True)

    max_cost_usd: UsdOrNone


@router.patch("/batches/{batch_id}")
def change(
    services: ServicesDep, project_id: SubmitterProject, batch_id: str, wanted: BatchChange
) -> BatchShape:
    """Change the batch's budget, null for none. If only that kept it, it goes on at once.

    A budget below what is spent is taken: nothing more is sent then.
    """
    with services.database.write() as session:
        batch = budgets.set_max_cost(session, project_id, batch_id, nanos_of(wanted.max_cost_usd))
        shape = batch_shape(batch, batches.project_name(session, project_id))
    note("batch_budget_changed", project_id, batch=shape.id, max_cost_usd=shape.max_cost_usd)
    services.feed_all()
    return shape


@router.post("/batches/{batch_id}/pause")
def pause(services: ServicesDep, project_id: SubmitterProject, batch_id: str) -> BatchShape:
    """Send no more calls; those in flight end."""
    return _move(services, project_id, batch_id, BatchState.PAUSED)


@router.post("/batches/{batch_id}/resume")
def resume(services: ServicesDep, project_id: SubmitterProject, batch_id: str) -> BatchShape:
    """Go on with a paused batch."""
    shape = _move(services, project_id, batch_id, BatchState.RUNNING)
    services.feed_all()
    return shape


@router.post("/batches/{batch_id}/cancel")
def cancel(services: ServicesDep, project_id: SubmitterProject, batch_id: str) -> BatchShape:
    """Send no more calls and give the open jobs the result `cancelled`; those in flight end."""
    return _move(services, project_id, batch_id, BatchState.CANCELLING)


def _move(services: Services, project_id: int, ref: str, target: BatchState) -> BatchShape:
    with services.database.write() as session:
        batch = batches.move(session, project_id, ref, target)
        shape = batch_shape(batch, batches.project_name(session, project_id))
    note("batch_steered", project_id, batch=shape.id, to=target.value)
    return shape
