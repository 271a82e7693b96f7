"""Retrying a batch: its jobs as a new one, in which what is good already is kept."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api.access.audit import note
from api.access.auth import SubmitterProject
from api.amounts import nanos_of
from api.intake.bodies import StrictRoute
from api.intake.idempotency import Body, Key, signs_of_life
from api.routes.batches import get_batch
from api.routes.submissions import OF_THE_BATCH, SubmissionQuery
from api.services import COUNTING_S, Services, ServicesDep
from api.shapes import BatchShape
from jobs.deadlines import Deadline
from jobs.errors import InvalidParameter
from jobs.ingest import Accepted, Intake
from jobs.lines import LineReader
from jobs.retry import Prepared, Retry, prepare, read_again
from jobs.store.batches import idempotency
from jobs.store.batches.idempotency import Claim, Receipt

router = APIRouter(tags=["batches"], route_class=StrictRoute)

FIXED = frozenset({"kind", "dry_run", "from_url", "id_column", "delimiter", "accept_late"})
"""Parameters of a submission that a retry has not: lines of another kind are other jobs, and the lines
are those that the rows of a sheet have become."""


class RetryQuery(SubmissionQuery):
    """What is to be otherwise than in the batch before; the rest is as there."""

    code: Annotated[
        str | None,
        Field(description="error codes of the jobs to run again, with commas; all that failed"),
    ] = None


@router.post("/batches/{batch_id}/retry", status_code=202)
async def retry(  # noqa: PLR0913 - each is a part of the request
    request: Request,
    response: Response,
    services: ServicesDep,
    project_id: SubmitterProject,
    batch_id: str,
    query: Annotated[RetryQuery, Query()],
    idempotency_key: Key = None,
) -> BatchShape:
    """Make a new batch of the jobs of one that has ended; that one stays as it is.

    Answers that succeeded are kept, and cost nothing. Jobs that failed are run again: all, or those with
    one of the error codes. Where defaults are changed, stored answers are judged again first: one that
    is not good any more is asked for, and an unusable one that is good now is taken as it is.

    An `Idempotency-Key` makes one batch of the same request, as at a submission.
    """
    wanted = _wanted(project_id, batch_id, query)
    claim = None if idempotency_key is None else Claim.of(project_id, idempotency_key)
    body = Body(request, is_digested=claim is not None, about=f"retry of {batch_id}\n")
    begun = await run_in_threadpool(_begin, services, wanted, claim)
    if isinstance(begun, Receipt):
        begun.check(body.digest())
        response.headers["idempotent-replayed"] = "true"
        return await run_in_threadpool(get_batch, services, project_id, begun.ref)
    accepted = await _accept(services, body, *begun)
    note("batch_retried", project_id, batch=accepted.ref, of=batch_id)
    services.feed(accepted.queues)
    return await run_in_threadpool(get_batch, services, project_id, accepted.ref)


def _wanted(project_id: int, batch_id: str, query: RetryQuery) -> Retry:
    given = query.model_dump(exclude_unset=True, exclude_none=True, by_alias=True)
    for name in FIXED & given.keys():
        raise InvalidParameter(f"`{name}`: a retry can't have that")
    changes = {
        name: text for name, text in given.items() if name not in OF_THE_BATCH and name != "code"
    }
    codes = [] if query.code is None else [code.strip() for code in query.code.split(",")]
    return Retry(
        project_id=project_id,
        ref=batch_id,
        changes=changes,
        codes=codes,
        name=query.name,
        priority=given.get("priority"),
        max_cost_nanos=nanos_of(query.max_cost_usd),
        after_deadline=given.get("after_deadline"),
        run_window=query.window,
        lane=given.get("lane"),
        deadline=None if query.deadline is None else Deadline.of(query.deadline),
    )


def _begin(
    services: Services, wanted: Retry, claim: Claim | None
) -> tuple[Prepared, Intake] | Receipt:
    patient = services.database.with_patience(COUNTING_S)
    with patient.read() as session:
        if claim is not None and (receipt := idempotency.receipt(session, claim)) is not None:
            return receipt
        prepared = prepare(session, wanted)
        max_cost_nanos = prepared.draft.max_cost_nanos
        prices = services.prices_if_budgeted(session, wanted.project_id, max_cost_nanos)
    reader = LineReader(prepared.defaults, services.catalogue, services.count_tokens, prices=prices)
    return prepared, Intake(
        services.database,
        prepared.draft,
        reader,
        slice_size=services.settings.slice_size,
        max_jobs=max(prepared.jobs, services.settings.max_jobs_per_batch),
        claim=claim,
    )


async def _accept(services: Services, body: Body, prepared: Prepared, intake: Intake) -> Accepted:
    """Read the jobs into the new batch and accept it; whatever goes wrong, nothing stays behind."""

    def read_all() -> Accepted:
        read_again(services.database, prepared, intake)
        return intake.accept(body.digest())

    try:
        async with signs_of_life(intake.touch, body):
            return await run_in_threadpool(read_all)
    except BaseException:
        await asyncio.shield(run_in_threadpool(intake.abandon))
        raise
