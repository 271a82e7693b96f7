"""How rows look in answers. Tables are never returned as they are."""

from typing import Any

import msgspec
from pydantic import BaseModel

from jobs.exchange import Usage
from jobs.money import format_usd
from jobs.store.results import ResultRow
from jobs.tables import Batch


class Counts(BaseModel):
    """Jobs of a batch by where they stand; `running` are in flight, `waiting` is the rest."""

    total: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    running: int
    waiting: int


class Tokens(BaseModel):
    """Tokens; the three input counts are disjoint, reasoning is part of the output."""

    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int


class Eta(BaseModel):
    """Seconds that are left, as a range."""

    low: float
    high: float


class BatchShape(BaseModel):
    """A batch, as it is read."""

    id: str
    name: str | None
    project: str
    state: str
    created_at: str
    finished_at: str | None
    priority: str
    deadline: str | None
    counts: Counts
    usage: Tokens
    cost_usd: str
    reserved_usd: str
    max_cost_usd: str | None
    unpriced_jobs: int
    unknown_attempts: int
    waiting_for: str | None
    eta: Eta | None


class BatchPage(BaseModel):
    """A page of batches, newest first."""

    data: list[BatchShape]
    next_cursor: str | None


def batch_shape(batch: Batch, project: str) -> BatchShape:
    """Return a batch as it is read. Nothing is forecast yet, so `eta` is null."""
    finished = batch.succeeded + batch.failed + batch.cancelled + batch.expired
    running = min(batch.in_flight, batch.total_jobs - finished)
    return BatchShape(
        id=batch.ref,
        name=batch.name,
        project=project,
        state=batch.state,
        created_at=batch.created_at.isoformat(),
        finished_at=batch.finished_at.isoformat() if batch.finished_at else None,
        priority=batch.priority,
        deadline=None,
        counts=Counts(
            total=batch.total_jobs,
            succeeded=batch.succeeded,
            failed=batch.failed,
            cancelled=batch.cancelled,
            expired=batch.expired,
            running=running,
            waiting=batch.total_jobs - finished - running,
        ),
        usage=Tokens.model_validate({name: getattr(batch, name) for name in Tokens.model_fields}),
        cost_usd=format_usd(batch.spent_nanos),
        reserved_usd=format_usd(batch.reserved_nanos),
        max_cost_usd=None if batch.max_cost_nanos is None else format_usd(batch.max_cost_nanos),
        unpriced_jobs=batch.unpriced_jobs,
        unknown_attempts=batch.unknown_attempts,
        waiting_for=batch.waiting_for,
        eta=None,
    )


def result_line(row: ResultRow) -> bytes:
    """Return a result as a line of NDJSON."""
    return _encode(_result(row)) + b"\n"


_encode = msgspec.json.Encoder().encode


def _result(row: ResultRow) -> dict[str, Any]:
    error = None
    if row.error_code is not None:
        error = {"code": row.error_code, "message": row.error_message}
    return {
        "custom_id": row.custom_id,
        "seq": row.seq,
        "status": row.status,
        "output": None if row.output is None else msgspec.Raw(row.output.encode()),
        "finish_reason": row.finish_reason,
        "error": error,
        "usage": None if row.usage is None else _tokens(row.usage),
        "cost_usd": None if row.cost_nanos is None else format_usd(row.cost_nanos),
        "provider": row.provider,
        "pool": row.pool,
        "model": row.model,
        "attempts": row.attempt or 0,
        "source": row.source,
        "latency_ms": row.latency_ms,
        "finished_at": row.finished_at.isoformat(),
    }


def _tokens(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
