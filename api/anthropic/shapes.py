"""How batches and models look to Anthropic's clients."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel

from jobs.states import FINAL_BATCH_STATES, BatchState
from jobs.store.surfaces.message_batches import Seen
from jobs.tables import Batch

NEVER = timedelta(days=3650)
"""No batch expires, and clients expect a time."""

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Of models, of which nobody knows here when they were made; Anthropic says so in the same way."""


class RequestCounts(BaseModel):
    """Requests of a batch. All are `processing` until it has ended."""

    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0


class MessageBatchShape(BaseModel):
    """A batch. `results_url` is told once it has ended, from this surface's base URL on."""

    id: str
    type: str = "message_batch"
    processing_status: str
    request_counts: RequestCounts
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    archived_at: datetime | None = None
    cancel_initiated_at: datetime | None
    results_url: str | None


class MessageBatchPage(BaseModel):
    """A page of batches, newest first."""

    data: list[MessageBatchShape]
    has_more: bool
    first_id: str | None
    last_id: str | None


class DeletedMessageBatch(BaseModel):
    """What was deleted."""

    id: str
    type: str = "message_batch_deleted"


class ListedModel(BaseModel):
    """A model or a route."""

    id: str
    type: str = "model"
    display_name: str
    created_at: datetime = UNKNOWN_TIME


class ListedModels(BaseModel):
    """A page of models."""

    data: list[ListedModel]
    has_more: bool
    first_id: str | None
    last_id: str | None


def batch_shape(seen: Seen) -> MessageBatchShape:
    """Return a batch as it is shown."""
    made, batch = seen
    has_ended = batch.state in FINAL_BATCH_STATES
    return MessageBatchShape(
        id=made.ref,
        processing_status=_status(batch),
        request_counts=_counts(batch) if has_ended else RequestCounts(processing=batch.total_jobs),
        created_at=made.created_at,
        expires_at=made.created_at + NEVER,
        ended_at=batch.finished_at,
        cancel_initiated_at=made.cancelling_at,
        results_url=f"/v1/messages/batches/{made.ref}/results" if has_ended else None,
    )


def _status(batch: Batch) -> str:
    if batch.state in FINAL_BATCH_STATES:
        return "ended"
    return "canceling" if batch.state == BatchState.CANCELLING else "in_progress"


def _counts(batch: Batch) -> RequestCounts:
    return RequestCounts(
        succeeded=batch.succeeded,
        errored=batch.failed,
        canceled=batch.cancelled,
        expired=batch.expired,
    )


def page_of(shown: list[Any], limit: int, *, is_backward: bool = False) -> dict[str, Any]:
    """Return the fields of a page; `shown` are up to one more than its `limit`.

    The one more is the first where the list `is_backward`, and was read up to a place.
    """
    data = shown[-limit:] if is_backward else shown[:limit]
    return {
        "data": data,
        "has_more": len(shown) > limit,
        "first_id": data[0].id if data else None,
        "last_id": data[-1].id if data else None,
    }
