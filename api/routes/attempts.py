"""The attempts of a batch: every call that was made for its jobs, and what it is charged."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.access.auth import ReaderProject
from api.cursors import decode_pair, encode_pair
from api.query import WholeNumber
from api.services import COUNTING_S, ServicesDep
from api.shapes import Tokens
from jobs.money import format_usd
from jobs.states import Outcome
from jobs.store.attempts.attempt_pages import AttemptDetail, attempt_page
from jobs.store.batches import batches

router = APIRouter(tags=["attempts"])


class AttemptError(BaseModel):
    """Why an attempt ended as it did."""

    code: str


class AttemptShape(BaseModel):
    """An attempt; `outcome` is null while it is in flight.

    `cost_usd` is null where nothing was billed or the cost is not known, and a worst case where
    `cost_is_estimate`. `reconciled_at` tells when the provider's own account settled it.
    """

    custom_id: str
    seq: int
    n: int
    provider: str
    pool: str
    model: str
    sent_at: str
    outcome: str | None
    usage: Tokens | None
    cost_usd: str | None
    cost_is_estimate: bool
    reserved_usd: str
    error: AttemptError | None
    latency_ms: int | None
    reconciled_at: str | None


class AttemptPage(BaseModel):
    """Some of a batch's attempts."""

    data: list[AttemptShape]
    next_cursor: str | None


@router.get("/batches/{batch_id}/attempts")
def list_attempts(
    services: ServicesDep,
    project_id: ReaderProject,
    batch_id: str,
    outcome: Annotated[
        Outcome | None,
        Query(description="`unknown`: all whose use is not known, as the batch counts them"),
    ] = None,
    limit: Annotated[WholeNumber, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> AttemptPage:
    """List the attempts of a batch, in the order of its jobs."""
    after = (-1, 0) if cursor is None else decode_pair(cursor)
    with services.database.with_patience(COUNTING_S).read() as session:
        batch = batches.find(session, project_id, batch_id)
        assert batch.id is not None
        found = attempt_page(session, batch.id, outcome=outcome, after=after, limit=limit + 1)
    shown = found[:limit]
    return AttemptPage(
        data=[_shape(attempt) for attempt in shown],
        next_cursor=encode_pair(shown[-1].seq, shown[-1].n) if len(found) > limit else None,
    )


def _shape(attempt: AttemptDetail) -> AttemptShape:
    usage, cost_nanos, code = attempt.usage, attempt.cost_nanos, attempt.error_code
    return AttemptShape(
        custom_id=attempt.custom_id,
        seq=attempt.seq,
        n=attempt.n,
        provider=attempt.provider,
        pool=attempt.pool,
        model=attempt.model,
        sent_at=attempt.sent_at.isoformat(),
        outcome=attempt.outcome,
        usage=None
        if usage is None
        else Tokens.model_validate({name: getattr(usage, name) for name in Tokens.model_fields}),
        cost_usd=None if cost_nanos is None else format_usd(cost_nanos),
        cost_is_estimate=attempt.is_unknown and cost_nanos is not None,
        reserved_usd=format_usd(attempt.reserved_nanos),
        error=None if code is None else AttemptError(code=code),
        latency_ms=attempt.latency_ms,
        reconciled_at=attempt.reconciled_at.isoformat() if attempt.reconciled_at else None,
    )
