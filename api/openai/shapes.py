"""How files, batches and models look to OpenAI's clients."""

from datetime import datetime
from typing import Any

import msgspec
from pydantic import BaseModel

from jobs.states import FileBatchState
from jobs.store.surfaces.file_batches import Seen, faults_of
from jobs.tables import Batch, File, FileBatch


class FileShape(BaseModel):
    """A file. `bytes` is null where they are made when they are read: of a batch's own files."""

    id: str
    object: str = "file"
    bytes: int | None
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str = "processed"


class Counts(BaseModel):
    """Requests of a batch: all of them, those with an answer, and those that failed or expired."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class LineError(BaseModel):
    """What is wrong with a line of the input file, counted from 1; null for the file as a whole."""

    code: str
    line: int | None
    message: str
    param: str | None


class LineErrors(BaseModel):
    """Up to a hundred of them."""

    object: str = "list"
    data: list[LineError]


class InputDetails(BaseModel):
    """Of the tokens that went in."""

    cached_tokens: int


class OutputDetails(BaseModel):
    """Of the tokens that came out."""

    reasoning_tokens: int


class UsageShape(BaseModel):
    """Tokens of all calls up to now: those of the input hold those of the cache."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class FileBatchShape(BaseModel):
    """A batch. The ids of its files are told once it has ended; before, the list of files has them.

    `expires_at` is null: no batch expires.
    """

    id: str
    object: str = "batch"
    endpoint: str
    model: str | None = None
    errors: LineErrors | None
    input_file_id: str
    completion_window: str
    status: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int | None = None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: Counts
    metadata: dict[str, str] | None
    usage: UsageShape | None


class ModelShape(BaseModel):
    """A model or a route. When it was made nobody knows here, so `created` is 0."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str


class FilePage(BaseModel):
    """A page of files."""

    object: str = "list"
    data: list[FileShape]
    first_id: str | None
    last_id: str | None
    has_more: bool


class BatchPage(BaseModel):
    """A page of batches, newest first."""

    object: str = "list"
    data: list[FileBatchShape]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ModelPage(BaseModel):
    """All models."""

    object: str = "list"
    data: list[ModelShape]


class Deleted(BaseModel):
    """What was deleted."""

    id: str
    object: str = "file"
    deleted: bool = True


STATUSES = {
    "queued": "in_progress",
    "running": "in_progress",
    "paused": "in_progress",
}
"""Of a batch that was accepted; its other states have the same names."""

FINAL_STATUSES = frozenset({"completed", "failed", "cancelled", "expired"})


def file_shape(file: File) -> FileShape:
    """Return a file as it is shown."""
    return FileShape(
        id=file.ref,
        bytes=file.size_bytes,
        created_at=int(file.created_at.timestamp()),
        expires_at=_seconds(file.expires_at),
        filename=file.filename,
        purpose=file.purpose,
    )


def batch_shape(seen: Seen) -> FileBatchShape:
    """Return a batch as it is shown."""
    made, batch = seen
    status = status_of(made, batch)
    ended = {status: made.ended_at if batch is None else batch.finished_at}
    is_final = status in FINAL_STATUSES
    answered = 0 if batch is None else batch.succeeded
    others = 0 if batch is None else batch.finished_jobs - batch.succeeded
    return FileBatchShape(
        id=made.ref,
        endpoint=made.endpoint,
        errors=_errors(made),
        input_file_id=made.file_ref,
        completion_window=made.completion_window,
        status=status,
        output_file_id=made.output_ref if is_final and answered else None,
        error_file_id=made.errors_ref if is_final and others else None,
        created_at=int(made.created_at.timestamp()),
        in_progress_at=_seconds(made.accepted_at),
        finalizing_at=_seconds(ended.get("completed")),
        completed_at=_seconds(ended.get("completed")),
        failed_at=_seconds(ended.get("failed")),
        expired_at=_seconds(ended.get("expired")),
        cancelling_at=_seconds(made.cancelling_at),
        cancelled_at=_seconds(ended.get("cancelled")),
        request_counts=_counts(batch),
        metadata=None if made.labels is None else msgspec.json.decode(made.labels),
        usage=_usage(batch),
    )


def status_of(made: FileBatch, batch: Batch | None) -> str:
    """Return where a batch stands, in OpenAI's words."""
    if batch is None:
        return made.state
    return STATUSES.get(batch.state, batch.state)


def _errors(made: FileBatch) -> LineErrors | None:
    if made.state != FileBatchState.FAILED:
        return None
    faults = [msgspec.structs.asdict(fault) for fault in faults_of(made)]
    return LineErrors(data=[LineError.model_validate(fault) for fault in faults])


def _counts(batch: Batch | None) -> Counts:
    if batch is None:
        return Counts()
    return Counts(
        total=batch.total_jobs, completed=batch.succeeded, failed=batch.failed + batch.expired
    )


def _usage(batch: Batch | None) -> UsageShape | None:
    if batch is None:
        return None
    taken = batch.input_tokens + batch.cached_input_tokens + batch.cache_write_tokens
    return UsageShape(
        input_tokens=taken,
        input_tokens_details=InputDetails(cached_tokens=batch.cached_input_tokens),
        output_tokens=batch.output_tokens,
        output_tokens_details=OutputDetails(reasoning_tokens=batch.reasoning_tokens),
        total_tokens=taken + batch.output_tokens,
    )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def page_of(shown: list[Any], limit: int) -> dict[str, Any]:
    """Return the fields of a page; `shown` are up to one more than its `limit`."""
    data = shown[:limit]
    return {
        "data": data,
        "first_id": data[0].id if data else None,
        "last_id": data[-1].id if data else None,
        "has_more": len(shown) > limit,
    }
