"""The first page: how everything stands, and the batches."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from api.access.auth import Viewer
from api.batch_reading import missing_workers
from api.dashboard.holdups import explained
from api.dashboard.page_route import PageRoute
from api.dashboard.rendering import render
from api.dashboard.run_standing import RunStanding, runs_told, standings_of_runs
from api.dashboard.standing import WORST, Standing, headline
from api.outlooks import told_of_each
from api.services import Services, ServicesDep
from jobs.clock import utcnow
from jobs.states import FED_BATCH_STATES
from jobs.store import Session
from jobs.store.batches import batches
from jobs.store.leases import slices
from jobs.store.results import arrivals, failures
from jobs.store.results.arrivals import Pace
from jobs.store.runs import runs
from jobs.tables import Batch

router = APIRouter(route_class=PageRoute, include_in_schema=False)

LATELY = timedelta(hours=24)
"""What ended longer ago is not told by the headline: a night and a working day."""

SHOWN = 25

SHOWN_RUNS = 10

LOOKED_INTO = 20
"""Batches of a page of whose trouble more is read than their row."""


@router.get("/")
async def batches_page(
    request: Request,
    services: ServicesDep,
    visitor: Viewer,
    before: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Show how everything stands, and a page of batches, newest first."""
    project_id = visitor.caller.project_id
    lately, page, found, ran = await run_in_threadpool(_read, services, project_id, before)
    standings = {each.batch.ref: each for each in await explained(services, found)}
    shown = page[:SHOWN]
    recent = [standings[batch.ref] for batch in lately]
    troubled = [run for run in ran if run.concern is not None]
    runs_tone = max((run.concern_tone for run in troubled), key=WORST.index, default=None)
    return render(
        request,
        visitor,
        "batches.html",
        headline=headline(recent, runs_told(ran), runs_tone),
        concerns=[
            *((f"/runs/{run.row.ref}", run.title, run.concern) for run in troubled),
            *((f"/batches/{b.batch.ref}", b.title, b.concern) for b in recent if b.concern),
        ],
        runs=ran[:SHOWN_RUNS],
        more_runs=len(ran) > SHOWN_RUNS,
        standings=[standings[batch.ref] for batch in shown],
        is_first=before is None,
        next_before=shown[-1].ref if len(page) > SHOWN else None,
    )


def _read(
    services: Services, project_id: int, before: str | None
) -> tuple[list[Batch], list[Batch], list[Standing], list[RunStanding]]:
    """Return what the headline is about, a page of batches and one more, how all of them stand, and runs."""
    now = utcnow()
    with services.database.read() as session:
        page = batches.page(session, project_id, before=before, limit=SHOWN + 1)
        lately = batches.lately(session, project_id, now - LATELY)
        known = {each.ref: each for each in (*lately, *page)}
        ran = runs.lately(session, project_id, now - LATELY)
        standings = standings_of(session, list(known.values()))
        return lately, page, standings, standings_of_runs(session, ran, now)


def standings_of(session: Session, found: Sequence[Batch]) -> list[Standing]:
    """Return how batches stand; of `LOOKED_INTO` in trouble or at work, more than their rows tell."""
    moving = [each for each in found if each.state in FED_BATCH_STATES]
    paces = arrivals.paces(session, moving[:SHOWN])
    told = told_of_each(session, moving[:SHOWN])
    standings = []
    looks = LOOKED_INTO
    for batch in found:
        standing = Standing(batch, paces.get(batch.ref, Pace()), batch.waiting_for)
        if batch.ref in paces:
            standing = replace(standing, outlook=told[batch.ref].outlook)
        is_still = batch in moving and not standing.running and standing.waiting
        is_unexplained = is_still and standing.waits is None
        if looks and (standing.fails or is_unexplained):
            looks -= 1
            if standing.fails:
                reasons = failures.reasons(session, batch)
                standing = replace(standing, top_reason=reasons[0].code if reasons else None)
            if is_unexplained:
                standing = _held_by(session, standing)
        standings.append(standing)
    return standings


def _held_by(session: Session, standing: Standing) -> Standing:
    """Return how a batch stands of which nothing moves, and whose row doesn't tell why."""
    batch = standing.batch
    assert batch.id is not None  # a stored row has its key
    if (waits := missing_workers(session, batch)) is not None:
        return replace(standing, waits=waits)
    if (tried := slices.next_try(session, batch.id)) is None:
        return standing
    queue, due = tried
    return replace(standing, waits=f"its next try, at {due:%H:%M:%S} UTC", tried_at=queue)
