"""The first page: how everything stands, and the batches."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.auth import Viewer
from api.batch_reading import missing_workers
from api.dashboard.page_route import PageRoute
from api.dashboard.rendering import render
from api.dashboard.standing import Standing, headline
from api.services import ServicesDep
from jobs.clock import utcnow
from jobs.states import FED_BATCH_STATES
from jobs.store import Session, arrivals, batches, failures, slices
from jobs.store.arrivals import Pace
from jobs.tables import Batch

router = APIRouter(route_class=PageRoute, include_in_schema=False)

LATELY = timedelta(hours=24)
"""What ended longer ago is not told by the headline: a night and a working day."""

SHOWN = 25

LOOKED_INTO = 20
"""Batches of a page of whose trouble more is read than their row."""


@router.get("/")
def batches_page(
    request: Request,
    services: ServicesDep,
    visitor: Viewer,
    before: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Show how everything stands, and a page of batches, newest first."""
    project_id = visitor.caller.project_id
    with services.database.read() as session:
        page = batches.page(session, project_id, before=before, limit=SHOWN + 1)
        lately = batches.lately(session, project_id, utcnow() - LATELY)
        known = {each.ref: each for each in (*lately, *page)}
        standings = {each.batch.ref: each for each in standings_of(session, list(known.values()))}
    shown = page[:SHOWN]
    recent = [standings[batch.ref] for batch in lately]
    return render(
        request,
        visitor,
        "batches.html",
        headline=headline(recent),
        concerns=[each for each in recent if each.concern is not None],
        standings=[standings[batch.ref] for batch in shown],
        is_first=before is None,
        next_before=shown[-1].ref if len(page) > SHOWN else None,
    )


def standings_of(session: Session, found: Sequence[Batch]) -> list[Standing]:
    """Return how batches stand; of `LOOKED_INTO` in trouble or at work, more than their rows tell."""
    moving = [each for each in found if each.state in FED_BATCH_STATES]
    paces = arrivals.paces(session, moving[:SHOWN])
    standings = []
    looks = LOOKED_INTO
    for batch in found:
        standing = Standing(batch, paces.get(batch.ref, Pace()), batch.waiting_for)
        waits, top_reason = standing.waits, None
        is_still = batch in moving and not standing.running and standing.waiting
        if looks and (standing.fails or (is_still and waits is None)):
            looks -= 1
            if is_still and waits is None:
                waits = missing_workers(session, batch) or _next_try(session, batch)
            if standing.fails:
                reasons = failures.reasons(session, batch)
                top_reason = reasons[0].code if reasons else None
            standing = Standing(batch, standing.moves, waits, top_reason)
        standings.append(standing)
    return standings


def _next_try(session: Session, batch: Batch) -> str | None:
    """Say when a batch is looked at again whose reason to wait is not told at this moment."""
    assert batch.id is not None  # a stored row has its key
    due = slices.next_try(session, batch.id)
    return None if due is None else f"its next try, at {due:%H:%M:%S} UTC"
