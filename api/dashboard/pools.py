"""The pools: how much of each is used, what holds it up, what its provider has told."""

from collections.abc import Sequence
from datetime import timedelta

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api.access.auth import Viewer
from api.dashboard import charts
from api.dashboard.page_route import PageRoute
from api.dashboard.rendering import render
from api.dashboard.standing import Tone
from api.gate import enqueued_by_pool, pools_of_gate
from api.services import Services, ServicesDep
from jobs.clock import utcnow
from jobs.errors import ServiceUnavailable
from jobs.pools import PoolState
from jobs.states import Outcome
from jobs.store.batches import batches
from jobs.store.money.ledger import UsageQuery, usage
from jobs.store.results.samples import sample

router = APIRouter(route_class=PageRoute, include_in_schema=False)

DAYS = 14
"""Of use that are drawn."""

HOURS = 12
"""Of use that are drawn more closely: a night."""

STEP = timedelta(minutes=15)

SAMPLED_BATCHES, SAMPLED_JOBS = 20, 100
"""From which that is drawn: the newest batches, and jobs of each; some 4,000 looks into indexes."""

NEARLY_FULL = 0.95

DIMENSIONS = {
    "rps": "requests per second",
    "rpm": "requests per minute",
    "rph": "requests per hour",
    "rpd": "requests per day",
    "tpm": "tokens per minute",
    "itpm": "input tokens per minute",
    "otpm": "output tokens per minute",
    "tpd": "tokens per day",
}


def tone_of(pool: PoolState) -> Tone:
    """Return how a pool stands."""
    if pool.blocked_until is not None or pool.breaker != "closed":
        return Tone.BAD
    if any((each.share_used or 0.0) >= NEARLY_FULL for each in pool.dimensions):
        return Tone.CAUTION
    return Tone.BUSY if pool.in_flight else Tone.QUIET


@router.get("/pools")
async def pools_page(request: Request, services: ServicesDep, visitor: Viewer) -> Response:
    """Show every pool, each followed by those of its models that were used lately."""
    fault = ""
    try:
        pools = await pools_of_gate(services)
    except ServiceUnavailable as error:
        pools, fault = [], error.message
    project_id = visitor.caller.project_id
    enqueued = await run_in_threadpool(enqueued_by_pool, services)
    days, calls, refused = await run_in_threadpool(_by_day, services, project_id)
    times, lately = await run_in_threadpool(_lately, services, project_id, list(calls))
    return render(
        request,
        visitor,
        "pools.html",
        pools=[(pool, tone_of(pool), models) for pool, models in _grouped(pools)],
        fault=fault,
        enqueued=enqueued,
        dimensions=DIMENSIONS,
        refused_today={name: numbers[-1] for name, numbers in refused.items()},
        calls_today={name: numbers[-1] for name, numbers in calls.items()},
        charts=[
            chart
            for chart in (
                charts.columns("Calls by pool, last 12 hours", times, lately, "calls"),
                charts.columns("Calls by pool and day", days, list(calls.items()), "calls"),
                charts.columns(
                    "Answers of 429 by pool and day", days, list(refused.items()), "answers"
                ),
            )
            if chart is not None
        ],
    )


def _grouped(states: Sequence[PoolState]) -> list[tuple[PoolState, list[PoolState]]]:
    """Return each pool with those of its models of which there is something to say."""
    grouped: list[tuple[PoolState, list[PoolState]]] = []
    for state in states:
        if state.models is None:
            grouped.append((state, []))
        elif tone_of(state) is not Tone.QUIET or state.dimensions:
            grouped[-1][1].append(state)
    return grouped


def _by_day(
    services: Services, project_id: int
) -> tuple[list[str], dict[str, list[float]], dict[str, list[float]]]:
    """Return the days, and by pool the project's calls and those that were refused for their pace."""
    today = utcnow().date()
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    query = UsageQuery(project_id, ("day", "provider", "pool", "outcome"), days[0], today)
    with services.database.read() as session:
        rows = usage(session, query)
    calls: dict[str, list[float]] = {}
    refused: dict[str, list[float]] = {}
    for row in rows:
        name, place = f"{row['provider']}/{row['pool']}", days.index(row["day"])
        for kind in (calls, refused):
            kind.setdefault(name, [0.0] * DAYS)
        calls[name][place] += row["attempts"]
        if row["outcome"] == Outcome.LIMITED:
            refused[name][place] += row["attempts"]
    return [day.isoformat() for day in days], calls, refused


def _lately(
    services: Services, project_id: int, pools: Sequence[str]
) -> tuple[list[str], list[tuple[str, list[float]]]]:
    """Return times of the last hours, and by pool how many calls left in each stretch, by a sample."""
    now = utcnow()
    began = now - timedelta(hours=HOURS)
    steps = timedelta(hours=HOURS) // STEP
    series = {pool: [0.0] * steps for pool in pools}
    with services.database.read() as session:
        found = batches.lately(session, project_id, began)
        sampled = [
            sample(session, batch, SAMPLED_JOBS)
            for batch in found[:SAMPLED_BATCHES]
            if batch.finished_jobs
        ]
    for part in sampled:
        for call in part.calls:
            if began <= call.sent_at < now:
                own = series.setdefault(f"{call.provider}/{call.pool}", [0.0] * steps)
                own[(call.sent_at - began) // STEP] += part.weight
    return [f"{began + step * STEP:%H:%M}" for step in range(steps)], list(series.items())
