"""Batches of a file's lines: made at once, read in the background, watched, cancelled."""

import hashlib
from dataclasses import replace
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.access.audit import note
from api.access.auth import ReaderProject, SubmitterProject
from api.amounts import UsdOrNone, nanos_of
from api.intake.bodies import StrictRoute
from api.intake.idempotency import Key
from api.openai.readers import Readers
from api.openai.shapes import BatchPage, FileBatchShape, batch_shape, page_of
from api.query import WholeNumber
from api.services import Services, ServicesDep
from api.surface_lanes import wish_of
from jobs.defaults import JobDefaults
from jobs.errors import InvalidParameter, NotFound
from jobs.states import FileContent, LaneWish, Priority
from jobs.store import Session
from jobs.store.surfaces import file_batches, files
from jobs.store.surfaces.file_batches import FileBatchDraft

router = APIRouter(tags=["openai: batches"], route_class=StrictRoute)

KINDS = {"/v1/chat/completions": "chat", "/v1/responses": "responses"}
"""The kind of jobs that the lines for an endpoint are."""

WINDOW = "24h"
"""The one window that OpenAI knows; here it is a deadline where the batch may take a batch lane."""

USUAL_MAX_TOKENS = 4096
"""Of an answer whose line has no bound, which OpenAI's own batches don't ask for: money is reserved for so
many. It is what every model in use can write."""

Label = Annotated[str, Field(max_length=64)]
LabelText = Annotated[str, Field(max_length=512)]


class ExpiresAfter(BaseModel):
    """How long files are kept."""

    model_config = ConfigDict(extra="forbid", strict=True)

    anchor: str
    seconds: Annotated[int, Field(ge=3600, le=2_592_000)]

    @field_validator("anchor")
    @classmethod
    def _is_the_one(cls, text: str) -> str:
        if text != "created_at":
            raise ValueError("expected `created_at`")
        return text


class BatchRequest(BaseModel):
    """What makes a batch. The last five are this server's own (`extra_body` of the clients).

    `max_tokens` bounds the answers to lines without a bound.
    """

    model_config = ConfigDict(extra="forbid")

    input_file_id: Annotated[str, Field(max_length=100)]
    endpoint: str
    completion_window: str
    metadata: Annotated[dict[Label, LabelText] | None, Field(max_length=16)] = None
    output_expires_after: ExpiresAfter | None = None
    priority: Priority = Priority.NORMAL
    max_cost_usd: UsdOrNone = None
    lane: LaneWish | None = None
    deadline: str | None = None
    max_tokens: Annotated[int | None, Field(ge=1, le=1_000_000, strict=True)] = None

    @field_validator("endpoint")
    @classmethod
    def _is_served(cls, text: str) -> str:
        if text not in KINDS:
            raise ValueError(f"expected {' or '.join(KINDS)}")
        return text

    @field_validator("completion_window")
    @classmethod
    def _is_the_one(cls, text: str) -> str:
        if text != WINDOW:
            raise ValueError(f"expected `{WINDOW}`")
        return text


@router.post("/batches")
def create(
    request: Request,
    response: Response,
    services: ServicesDep,
    project_id: SubmitterProject,
    wanted: BatchRequest,
    idempotency_key: Key = None,
) -> FileBatchShape:
    """Make a batch of an uploaded file. Its lines are read after the answer: `status` tells of it.

    Sent again under the same `Idempotency-Key`, or by a client that says that it repeats itself, it is
    the batch that was made before.
    """
    draft = _draft(services, project_id, wanted, idempotency_key)
    is_repeated = request.headers.get("x-stainless-retry-count", "0") != "0"
    with services.database.write() as session:
        ref = file_batches.made_before(session, draft, is_repeated=is_repeated)
        if ref is not None:
            response.headers["idempotent-replayed"] = "true"
        else:
            _require_input(session, project_id, wanted.input_file_id)
            wish = wish_of(services, wanted.lane, wanted.deadline)
            ref = file_batches.begin(session, replace(draft, wish=wish))
        shape = batch_shape(file_batches.find(session, project_id, ref))
    note("batch_created", project_id, batch=ref, file=wanted.input_file_id)
    readers: Readers = request.app.state.readers
    readers.wake()
    return shape


def _draft(
    services: Services, project_id: int, wanted: BatchRequest, key: str | None
) -> FileBatchDraft:
    usual = max(USUAL_MAX_TOKENS, services.configuration.default_max_tokens)
    max_tokens = usual if wanted.max_tokens is None else wanted.max_tokens
    defaults = JobDefaults.from_query(
        {"kind": KINDS[wanted.endpoint], "max_tokens": str(max_tokens)}
    )
    expires = wanted.output_expires_after
    return FileBatchDraft(
        project_id=project_id,
        file_ref=wanted.input_file_id,
        endpoint=wanted.endpoint,
        completion_window=wanted.completion_window,
        defaults=defaults.to_json(),
        labels=None if wanted.metadata is None else _json(wanted.metadata).decode(),
        priority=wanted.priority,
        max_cost_nanos=nanos_of(wanted.max_cost_usd),
        output_lifetime_s=None if expires is None else expires.seconds,
        key_hash=None if key is None else hashlib.sha256(key.encode()).digest(),
        request_digest=hashlib.sha256(_json(_what_was_said(wanted))).digest(),
    )


def _what_was_said(wanted: BatchRequest) -> dict[str, Any]:
    """Return what makes two requests the same: they were so before there were the newest fields."""
    said = wanted.model_dump()
    return {
        name: value
        for name, value in said.items()
        if value is not None or name not in {"lane", "deadline"}
    }


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def _require_input(session: Session, project_id: int, ref: str) -> None:
    """Check that there is such a file, and that it is one for this.

    Raises:
        InvalidParameter: there is none.
    """
    try:
        file = files.find(session, project_id, ref)
    except NotFound as error:
        raise InvalidParameter(error.message, field="input_file_id") from None
    if file.content != FileContent.UPLOAD:
        raise InvalidParameter("expected a file that was uploaded", field="input_file_id")


@router.get("/batches")
def list_batches(
    services: ServicesDep,
    project_id: ReaderProject,
    after: str | None = None,
    limit: Annotated[WholeNumber, Query(ge=1, le=100)] = 20,
) -> BatchPage:
    """List the batches that were made here, newest first."""
    with services.database.read() as session:
        found = file_batches.page(session, project_id, after=after, limit=limit + 1)
        shown = [batch_shape(seen) for seen in found]
    return BatchPage(**page_of(shown, limit))


@router.get("/batches/{batch_id}")
def get_batch(services: ServicesDep, project_id: ReaderProject, batch_id: str) -> FileBatchShape:
    """Return a batch: where it stands, its counts and usage."""
    with services.database.read() as session:
        return batch_shape(file_batches.find(session, project_id, batch_id))


@router.post("/batches/{batch_id}/cancel")
def cancel(services: ServicesDep, project_id: SubmitterProject, batch_id: str) -> FileBatchShape:
    """Send no more calls; those in flight end, and what was answered stays."""
    with services.database.write() as session:
        file_batches.cancel(session, project_id, batch_id)
        shape = batch_shape(file_batches.find(session, project_id, batch_id))
    note("batch_steered", project_id, batch=batch_id, to="cancelling")
    return shape
