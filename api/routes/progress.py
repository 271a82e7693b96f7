"""How a batch went on: where it stood every few seconds, and how long its calls took."""

from fastapi import APIRouter
from pydantic import BaseModel

from api.access.auth import ReaderProject
from api.services import ServicesDep
from api.shapes import Eta, FinalCost, eta_of, final_cost_of
from jobs.money import format_usd
from jobs.store.batches import batches, progress
from jobs.store.results.samples import sample
from jobs.tables import Batch, Progress

router = APIRouter(tags=["batches"])


class MarkShape(BaseModel):
    """Where a batch stood, and what was told of its end then.

    `working_s` is how long it was worked on, its pauses left out. `cost_usd` is what was known of the cost.
    """

    at: str
    working_s: float
    done_jobs: int
    failed_jobs: int
    tokens: int
    cost_usd: str
    eta: Eta | None
    final_cost_usd: FinalCost | None


class ProgressShape(BaseModel):
    """The marks of a batch, oldest first: some hundred, however long it takes.

    `latencies_ms` are those of the calls of some 480 jobs, evenly spaced among all that ended, in rising
    order.
    """

    data: list[MarkShape]
    latencies_ms: list[int]


@router.get("/batches/{batch_id}/progress")
def get_progress(services: ServicesDep, project_id: ReaderProject, batch_id: str) -> ProgressShape:
    """Return how a batch went on, and how long its calls took."""
    with services.database.read() as session:
        batch = batches.find(session, project_id, batch_id)
        assert batch.id is not None  # it is in the database
        marks = [_mark(batch, row) for row in progress.marks(session, batch.id)]
        calls = sample(session, batch).calls
    latencies = sorted(call.latency_ms for call in calls if call.latency_ms is not None)
    return ProgressShape(data=marks, latencies_ms=latencies)


def _mark(batch: Batch, row: Progress) -> MarkShape:
    told = [look.outlook for look in progress.looks_of([row])]
    return MarkShape(
        at=row.at.isoformat(),
        working_s=round(row.working_s, 1),
        done_jobs=row.done_jobs,
        failed_jobs=row.failed_jobs,
        tokens=row.tokens,
        cost_usd=format_usd(row.spent_nanos),
        eta=eta_of(told[0]) if told else None,
        final_cost_usd=final_cost_of(batch, told[0]) if told else None,
    )
