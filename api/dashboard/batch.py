"""One batch: where it stands, how it went on, what it took, what went wrong; and its steering."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from api.access.auth import Steerer, Viewer
from api.access.logins import read_form, token_of
from api.batch_reading import natives_of
from api.dashboard import charts
from api.dashboard.batches import standings_of
from api.dashboard.holdups import explained
from api.dashboard.page_route import PageRoute
from api.dashboard.rendering import render
from api.dashboard.standing import Standing
from api.routes import batches as steering
from api.routes.retries import RetryQuery, retry
from api.services import Services, ServicesDep
from jobs.clock import utcnow
from jobs.errors import NotFound
from jobs.states import BatchState, sources
from jobs.store.batches import batches
from jobs.store.results import arrivals, failures
from jobs.store.results.arrivals import Arrival
from jobs.store.results.failures import Reason
from jobs.store.results.samples import Sample, SampledCall, sample
from jobs.tables import Batch, NativeBatch

router = APIRouter(route_class=PageRoute, include_in_schema=False)

POINTS = 120
"""Of a curve; more than a screen tells apart."""


@dataclass(frozen=True, slots=True)
class ModelShare:
    """What a model took of a batch; estimated from a sample where that is not all."""

    model: str
    pool: str
    calls: int
    input_tokens: int
    output_tokens: int
    cost_nanos: int


@router.get("/batches/{batch_id}")
async def batch_page(
    request: Request, services: ServicesDep, visitor: Viewer, batch_id: str
) -> Response:
    """Show a batch."""
    course = await run_in_threadpool(_course, services, visitor.caller.project_id, batch_id)
    standing, curve, calls, reasons, natives = course
    (standing,) = await explained(services, [standing])
    batch = standing.batch
    began = batch.started_at or batch.created_at
    points = [(began, 0), *((each.at, each.finished_jobs) for each in curve)]
    outputs = [float(call.output_tokens) for call in calls.calls if call.output_tokens is not None]
    inputs = [float(call.input_tokens) for call in calls.calls if call.input_tokens is not None]
    latencies = [float(call.latency_ms) for call in calls.calls if call.latency_ms is not None]
    return render(
        request,
        visitor,
        "batch.html",
        standing=standing,
        batch=batch,
        charts=[
            chart
            for chart in (
                charts.progress(points, batch.total_jobs),
                charts.pace(points),
                charts.histogram("Latency of calls", latencies, "ms"),
                charts.histogram("Output of calls", outputs, "tokens"),
                charts.histogram("Input of calls", inputs, "tokens"),
            )
            if chart is not None
        ],
        sample=calls,
        models=_by_model(batch, calls),
        outcomes=_outcomes(calls.calls),
        reasons=reasons,
        natives=natives,
        can=_possible(batch),
        once=_once(request, batch),
    )


def _course(
    services: Services, project_id: int, ref: str
) -> tuple[Standing, list[Arrival], Sample, list[Reason], Sequence[NativeBatch]]:
    """Return how a batch stands, how it went on, a sample of its calls, what went wrong, what is away."""
    with services.database.read() as session:
        batch = batches.find(session, project_id, ref)
        (standing,) = standings_of(session, [batch])
        return (
            standing,
            arrivals.curve(session, batch, POINTS),
            sample(session, batch),
            failures.reasons(session, batch),
            natives_of(session, batch),
        )


def _by_model(batch: Batch, calls: Sample) -> list[ModelShare]:
    """Return what each model took: the sample's shares of the totals that the batch has."""
    groups: dict[tuple[str, str, str], list[SampledCall]] = defaultdict(list)
    for call in calls.calls:
        groups[call.provider, call.model, call.pool].append(call)
    cost = sum(call.cost_nanos or 0 for call in calls.calls)
    inputs = sum(call.input_tokens or 0 for call in calls.calls)
    outputs = sum(call.output_tokens or 0 for call in calls.calls)
    all_inputs = batch.input_tokens + batch.cached_input_tokens + batch.cache_write_tokens
    shares = [
        ModelShare(
            model=f"{provider}/{model}",
            pool=pool,
            calls=round(len(group) * calls.weight),
            input_tokens=_part(sum(c.input_tokens or 0 for c in group), inputs, all_inputs),
            output_tokens=_part(
                sum(c.output_tokens or 0 for c in group), outputs, batch.output_tokens
            ),
            cost_nanos=_part(sum(c.cost_nanos or 0 for c in group), cost, batch.spent_nanos),
        )
        for (provider, model, pool), group in groups.items()
    ]
    return sorted(shares, key=lambda share: -share.cost_nanos)


def _part(part: int, of: int, total: int) -> int:
    return total * part // of if of else 0


def _outcomes(calls: Sequence[SampledCall]) -> list[tuple[str, int]]:
    numbers: dict[str, int] = defaultdict(int)
    for call in calls:
        numbers[call.outcome or "in flight"] += 1
    return sorted(numbers.items(), key=lambda pair: -pair[1])


def _possible(batch: Batch) -> frozenset[str]:
    """Return what may be done with a batch as it stands."""
    state = batch.state
    able = {
        "pause": state in sources(BatchState.PAUSED),
        "resume": state == BatchState.PAUSED,
        "cancel": state in sources(BatchState.CANCELLING),
        "retry": batch.finished_at is not None and batch.succeeded < batch.total_jobs,
    }
    return frozenset(verb for verb, is_able in able.items() if is_able)


def _once(request: Request, batch: Batch) -> str:
    """Return what a form carries so that sending it twice makes one batch: the same for a minute."""
    minute = int(utcnow().timestamp()) // 60
    words = f"{token_of(request)} {batch.ref} {minute}"
    return hashlib.sha256(words.encode()).hexdigest()[:32]


@router.post("/batches/{batch_id}/{verb}")
async def steer(
    request: Request, services: ServicesDep, visitor: Steerer, batch_id: str, verb: str
) -> Response:
    """Pause, resume, cancel or retry a batch, and show what became of it."""
    project_id = visitor.caller.project_id
    match verb:
        case "pause" | "resume" | "cancel":
            act = getattr(steering, verb)
            shown = (await run_in_threadpool(act, services, project_id, batch_id)).id
        case "retry":
            form = await read_form(request)
            code = form.get("code") or None
            query = RetryQuery() if code is None else RetryQuery(code=code)
            key = f"page:{form.get('once', '')[:40]}:{code or ''}"[:255]
            again = await retry(
                request, Response(), services, project_id, batch_id, query, idempotency_key=key
            )
            shown = again.id
        case _:
            raise NotFound("there is no such page")
    return RedirectResponse(f"/batches/{shown}", HTTPStatus.SEE_OTHER)
