"""Every request that the client knows, as a value: what is sent, and what its answer is read as."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import quote as quoted

from .shapes import Batch, BatchPage
from .sums import Budget, Quote, Receipt, UsageReport
from .upload import Upload

T = TypeVar("T")

ANSWER_S = 30.0
SUBMIT_S = 600.0
"""Between the last byte of an upload and the answer: a million jobs are being committed."""

Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ask(Generic[T]):
    """A request. `may_repeat` tells that it is harmless to send again, whatever became of the first."""

    method: str
    path: str
    answer: type[T]
    params: Texts = field(default_factory=dict)
    headers: Texts = field(default_factory=dict)
    body: Upload | Mapping[str, str | None] | None = None
    timeout_s: float = ANSWER_S
    may_repeat: bool = False


def submission(upload: Upload, options: Texts, idempotency_key: str) -> Ask[Batch]:
    """Send jobs as one batch; under the same key it is the same batch."""
    return Ask(
        "POST",
        "/api/batches",
        Batch,
        params=options,
        headers={"idempotency-key": idempotency_key},
        body=upload,
        timeout_s=SUBMIT_S,
        may_repeat=True,
    )


def quote(upload: Upload, options: Texts) -> Ask[Quote]:
    """Ask what a submission would take; nothing of it is stored."""
    return Ask(
        "POST",
        "/api/batches",
        Quote,
        params={**options, "dry_run": "true"},
        body=upload,
        timeout_s=SUBMIT_S,
        may_repeat=True,
    )


def batches(limit: int, cursor: str | None) -> Ask[BatchPage]:
    """Ask for a page of batches, the newest first."""
    params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
    return _get("/api/batches", BatchPage, params)


def batch(batch_id: str) -> Ask[Batch]:
    """Ask for a batch."""
    return _get(of_batch(batch_id), Batch)


def steering(batch_id: str, verb: str) -> Ask[Batch]:
    """Ask for `cancel`, `pause` or `resume`."""
    return Ask("POST", f"{of_batch(batch_id)}/{verb}", Batch)


def retry(batch_id: str, changes: Texts, idempotency_key: str) -> Ask[Batch]:
    """Make a new batch of a batch's jobs; under the same key it is the same batch."""
    return Ask(
        "POST",
        f"{of_batch(batch_id)}/retry",
        Batch,
        params=changes,
        headers={"idempotency-key": idempotency_key},
        timeout_s=SUBMIT_S,
        may_repeat=True,
    )


def batch_change(batch_id: str, changes: Mapping[str, str | None]) -> Ask[Batch]:
    """Change what may be changed of a batch, `max_cost_usd`."""
    return Ask("PATCH", of_batch(batch_id), Batch, body=changes)


def results(batch_id: str, order: str, after: str | None, limit: int) -> Ask[bytes]:
    """Ask for a page of results, lines of JSON."""
    params = {"order": order, "limit": str(limit)} | ({"after": after} if after else {})
    return _get(f"{of_batch(batch_id)}/results", bytes, params)


def usage(query: Texts) -> Ask[UsageReport]:
    """Ask for sums of tokens and cost."""
    return _get("/api/usage", UsageReport, query)


def receipt(of: str) -> Ask[Receipt]:
    """Ask for what a batch, or a run as `run_…`, cost and saved."""
    path = f"/api/runs/{quoted(of, safe='')}" if of.startswith("run_") else of_batch(of)
    return _get(f"{path}/receipt", Receipt)


def receipts(month: str) -> Ask[Receipt]:
    """Ask for what the project's month cost and saved."""
    return _get("/api/receipts", Receipt, {"month": month})


def budget() -> Ask[Budget]:
    """Ask for the project's caps and what is used of them."""
    return _get("/api/budget", Budget)


def _get(path: str, answer: type[T], params: Texts | None = None) -> Ask[T]:
    return Ask("GET", path, answer, params=params or {}, may_repeat=True)


def of_batch(batch_id: str) -> str:
    """Return the path of a batch, whatever its id holds."""
    return f"/api/batches/{quoted(batch_id, safe='')}"
