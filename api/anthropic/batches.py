"""Batches of messages: made while their requests arrive, watched, cancelled, read, deleted."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from api.access.audit import note
from api.access.auth import ReaderProject, SubmitterProject
from api.amounts import UsdOrNone, nanos_of
from api.anthropic.lines import lines_of
from api.anthropic.shapes import (
    DeletedMessageBatch,
    MessageBatchPage,
    MessageBatchShape,
    batch_shape,
    page_of,
)
from api.anthropic.tolerated import TOLERATED
from api.etags import etag_of, unchanged
from api.formats import Format
from api.intake.idempotency import Body, Key
from api.intake.json_body import ListForm
from api.intake.upload import BodyForm, form_of, receive
from api.query import WholeNumber
from api.services import Services, ServicesDep
from api.surface_lanes import wish_of
from jobs.defaults import JobDefaults
from jobs.errors import IllegalTransition, UnsupportedMedia
from jobs.ingest import Intake
from jobs.kinds.messages import Messages
from jobs.lines import LineReader
from jobs.states import FINAL_BATCH_STATES, LaneWish, Priority
from jobs.store import Session
from jobs.store.batches import batches, idempotency
from jobs.store.batches.idempotency import AlreadyAccepted, Claim, Receipt
from jobs.store.batches.uploads import BatchDraft
from jobs.store.surfaces import message_batches
from jobs.store.surfaces.message_batches import new_message_batch_ref

router = APIRouter(tags=["anthropic: message batches"], dependencies=[TOLERATED])

REQUESTS = ListForm(
    "request",
    may_be_bare=False,
    expected='expected {"requests": [{"custom_id": ..., "params": {...}}]} and nothing else; what is of '
    "the batch as a whole, such as `max_cost_usd`, is in the query",
)

DESCRIBED = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["requests"],
                    "properties": {
                        "requests": {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "type": "object",
                                "required": ["custom_id", "params"],
                                "properties": {
                                    "custom_id": {
                                        "type": "string",
                                        "pattern": "^[a-zA-Z0-9_-]{1,64}$",
                                    },
                                    "params": {"type": "object"},
                                },
                            },
                        }
                    },
                    "additionalProperties": False,
                },
                "example": {
                    "requests": [
                        {
                            "custom_id": "first",
                            "params": {
                                "model": "cheap",
                                "max_tokens": 300,
                                "messages": [{"role": "user", "content": "Say hello."}],
                            },
                        }
                    ]
                },
            }
        },
    }
}
"""The body of a create, which is read as it arrives and not by FastAPI."""


class OfTheBatch(BaseModel):
    """What is said about a batch as a whole: this server's own (`extra_query` of the clients)."""

    model_config = ConfigDict(extra="forbid")

    beta: str | None = None
    priority: Priority = Priority.NORMAL
    max_cost_usd: UsdOrNone = None
    lane: LaneWish | None = None
    deadline: str | None = None


@router.post("/messages/batches", response_model=MessageBatchShape, openapi_extra=DESCRIBED)
async def create(
    request: Request,
    response: Response,
    services: ServicesDep,
    project_id: SubmitterProject,
    query: Annotated[OfTheBatch, Query()],
    idempotency_key: Key = None,
) -> MessageBatchShape:
    """Make a batch of all requests, or of none: what is wrong with them is told by request.

    Sent again under the same `Idempotency-Key`, or by a client that says that it repeats itself, it is
    the batch that was made before.
    """
    form = _form_of(request, services.settings.max_upload_bytes)
    claim = None if idempotency_key is None else Claim.of(project_id, idempotency_key)
    ref = new_message_batch_ref()
    body = Body(request, is_digested=True, about="batch of messages\n")
    begun = await run_in_threadpool(_begin, services, query, _draft(project_id, ref, query), claim)
    if isinstance(begun, Receipt):
        await body.drain(form.max_bytes)
        begun.check(body.digest())
        response.headers["idempotent-replayed"] = "true"
        return await run_in_threadpool(_replayed, services, project_id, begun)
    is_repeated = request.headers.get("x-stainless-retry-count", "0") != "0"

    def also(session: Session, batch_id: int) -> None:
        if claim is None:
            idempotency.note_keyless(
                session, project_id, batch_id, body.digest() or b"", is_repeated=is_repeated
            )
        message_batches.insert(session, project_id, batch_id, ref)

    try:
        accepted = await receive(body, begun, form, also=also)
    except AlreadyAccepted as earlier:
        response.headers["idempotent-replayed"] = "true"
        return await run_in_threadpool(_made, services, project_id, earlier.batch_id)
    note("batch_submitted", project_id, batch=ref)
    services.feed(accepted.queues)
    return await run_in_threadpool(_read, services, project_id, ref)


def _form_of(request: Request, max_bytes: int) -> BodyForm:
    form = form_of(request, max_bytes)
    if form.format is not Format.JSON:
        raise UnsupportedMedia("expected a body of content-type application/json")
    return replace(form, document=REQUESTS)


def _draft(project_id: int, ref: str, query: OfTheBatch) -> BatchDraft:
    return BatchDraft(
        project_id=project_id,
        defaults=JobDefaults.from_query({"kind": Messages.name}).to_json(),
        name=ref,
        priority=query.priority,
        max_cost_nanos=nanos_of(query.max_cost_usd),
    )


def _begin(
    services: Services, query: OfTheBatch, draft: BatchDraft, claim: Claim | None
) -> Intake | Receipt:
    with services.database.read() as session:
        if claim is not None and (receipt := idempotency.receipt(session, claim)) is not None:
            return receipt
        prices = services.prices_if_budgeted(session, draft.project_id, draft.max_cost_nanos)
    wish = wish_of(services, query.lane, query.deadline)
    reader = LineReader(
        JobDefaults.from_json(draft.defaults),
        services.catalogue,
        services.count_tokens,
        prices=prices,
        mixes_kinds=False,
    )
    return Intake(
        services.database,
        replace(draft, lane=wish.lane, deadline=wish.deadline),
        reader,
        slice_size=services.settings.slice_size,
        max_jobs=services.settings.max_jobs_per_batch,
        claim=claim,
    )


def _replayed(services: Services, project_id: int, receipt: Receipt) -> MessageBatchShape:
    with services.database.read() as session:
        batch = batches.find(session, project_id, receipt.ref)
        return batch_shape(message_batches.find(session, project_id, batch.name or ""))


def _made(services: Services, project_id: int, batch_id: int) -> MessageBatchShape:
    with services.database.read() as session:
        return batch_shape(message_batches.find_made(session, project_id, batch_id))


@router.get("/messages/batches")
def list_batches(
    services: ServicesDep,
    project_id: ReaderProject,
    limit: Annotated[WholeNumber, Query(ge=1, le=1000)] = 20,
    after_id: str | None = None,
    before_id: str | None = None,
) -> MessageBatchPage:
    """List the batches that were made here, newest first."""
    with services.database.read() as session:
        found = message_batches.page(
            session, project_id, after=after_id, before=before_id, limit=limit + 1
        )
        shown = [batch_shape(seen) for seen in found]
    return MessageBatchPage(**page_of(shown, limit, is_backward=before_id is not None))


@router.get("/messages/batches/{batch_id}")
def get_batch(services: ServicesDep, project_id: ReaderProject, batch_id: str) -> MessageBatchShape:
    """Return a batch: where it stands, and its counts once it has ended."""
    return _read(services, project_id, batch_id)


@router.post("/messages/batches/{batch_id}/cancel")
def cancel(services: ServicesDep, project_id: SubmitterProject, batch_id: str) -> MessageBatchShape:
    """Send no more calls; those in flight end, and what was answered stays."""
    with services.database.write() as session:
        message_batches.cancel(session, project_id, batch_id)
        shape = batch_shape(message_batches.find(session, project_id, batch_id))
    note("batch_steered", project_id, batch=batch_id, to="cancelling")
    return shape


@router.delete("/messages/batches/{batch_id}")
def delete(
    services: ServicesDep, project_id: SubmitterProject, batch_id: str
) -> DeletedMessageBatch:
    """Let this surface not show a batch any more that has ended. Under `/api` it stays, with its costs."""
    with services.database.write() as session:
        message_batches.delete(session, project_id, batch_id)
    note("batch_hidden", project_id, batch=batch_id)
    return DeletedMessageBatch(id=batch_id)


@router.get(
    "/messages/batches/{batch_id}/results",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-jsonl": {}}}},
)
def get_results(
    request: Request, services: ServicesDep, project_id: ReaderProject, batch_id: str
) -> Response:
    """Stream the results of a batch that has ended, in the order in which they came."""
    with services.database.read() as session:
        made, batch = message_batches.find(session, project_id, batch_id)
        if batch.state not in FINAL_BATCH_STATES:
            raise IllegalTransition(
                f"batch {batch_id} has not ended, so it has no results to read yet: wait until its "
                "`processing_status` is `ended`"
            )
        lines = lines_of(services.database, made.batch_id, batch.finished_jobs)
    # What a model wrote is saved by a browser, never shown as a page of ours.
    headers = {"content-disposition": f'attachment; filename="{batch_id}_results.jsonl"'}
    etag = etag_of(batch_id, batch.finished_jobs)
    if (same := unchanged(request, etag, headers)) is not None:
        return same
    headers["etag"] = etag
    return StreamingResponse(lines, media_type="application/x-jsonl", headers=headers)


def _read(services: Services, project_id: int, ref: str) -> MessageBatchShape:
    with services.database.read() as session:
        return batch_shape(message_batches.find(session, project_id, ref))
