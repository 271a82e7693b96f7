"""Anthropic's message batches: no files, no names, and no counts until the end."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from scripts.simulator.batches.batch import Batch, Order
from scripts.simulator.batches.desk import HOUR_S, Desk
from scripts.simulator.batches.form import Done, Line, Phase
from scripts.simulator.batches.paging import page_after
from scripts.simulator.batches.reading import read_line
from scripts.simulator.batches.routing import Route
from scripts.simulator.calls import FailureKind, Rejected
from scripts.simulator.dialects import DIALECTS
from scripts.simulator.dialects.reading import decode
from scripts.simulator.faults import Place
from scripts.simulator.replies import Reply, json_reply
from scripts.simulator.requests import Request

PROTOCOL = "anthropic"
OK = 200

MOST_REQUESTS = 100_000
MOST_BYTES = 256 * 1000 * 1000
CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")

ROOT = "/anthropic/v1/messages/batches"


class AnthropicForm:
    """The form of a batch; see `form.Form`."""

    protocol = PROTOCOL
    id_field = "custom_id"
    expires_s = 24 * HOUR_S
    keeps_expired = True
    checks_tokens_late = False

    def name(self, number: int) -> str:
        """Return its id."""
        return f"msgbatch_{number:024x}"

    def result(self, custom_id: str, status: int, body: Any, number: int) -> dict[str, Any]:
        """Return a line of results; a refusal is a success."""
        if status == OK:
            return {"custom_id": custom_id, "result": {"type": "succeeded", "message": body}}
        return {"custom_id": custom_id, "result": {"type": "errored", "error": body}}

    def is_apart(self, status: int) -> bool:
        """All results are in one place."""
        return False

    def unrun(self, custom_id: str, phase: Phase) -> dict[str, Any] | None:
        """Return that a line was canceled, or has expired."""
        kind = "expired" if phase is Phase.EXPIRED else "canceled"
        return {"custom_id": custom_id, "result": {"type": kind}}


FORM = AnthropicForm()


class RequestIn(msgspec.Struct, forbid_unknown_fields=True):
    """One request of a batch; its params are looked at once the batch runs."""

    custom_id: str
    params: msgspec.Raw


class Create(msgspec.Struct, forbid_unknown_fields=True):
    """The body that creates a batch."""

    requests: list[RequestIn]


_create = msgspec.json.Decoder(Create)


def create(desk: Desk, request: Request) -> Done:
    """Create a batch."""
    if len(request.body) > (desk.ways.max_bytes or MOST_BYTES):
        raise Rejected("Request exceeds the maximum size", FailureKind.UNPROCESSABLE)
    wanted = decode(_create, request.body).requests
    _check(wanted, desk.ways.max_lines or MOST_REQUESTS)
    version = request.version or "2023-06-01"
    lines = [_line(found, version) for found in wanted]
    model = next((line.call.model for line in lines if line.call), "")
    batch = desk.create(Order(FORM, DIALECTS[PROTOCOL], request.key, model, "/v1/messages", lines))
    return Done(json_reply(200, shape(batch, request)))


def _check(wanted: list[RequestIn], most: int) -> None:
    if not wanted:
        raise Rejected("requests: List should have at least 1 item after validation")
    if len(wanted) > most:
        raise Rejected(f"requests: List should have at most {most} items after validation")
    seen = set[str]()
    for number, found in enumerate(wanted):
        if not CUSTOM_ID.fullmatch(found.custom_id):
            raise Rejected(f"requests.{number}.custom_id: String should match pattern")
        if found.custom_id in seen:
            raise Rejected(f"requests: custom_id {found.custom_id!r} is not unique")
        seen.add(found.custom_id)


def _line(found: RequestIn, version: str) -> Line:
    return read_line(found.custom_id, bytes(found.params), DIALECTS[PROTOCOL], "", version)


def look(desk: Desk, request: Request, batch_id: str) -> Done:
    """Return how a batch stands."""
    return Done(json_reply(200, shape(_batch(desk, batch_id), request)))


def listing(desk: Desk, request: Request) -> Done:
    """Return a page of the batches, newest first; `before_id` goes the other way."""
    batches = [shape(batch, request) for batch in desk.listed(PROTOCOL)]
    before = request.asked("before_id")
    if before:
        batches = batches[: [batch["id"] for batch in batches].index(before)]
    return Done(json_reply(200, page_after(batches, request, "after_id")))


def cancel(desk: Desk, request: Request, batch_id: str) -> Done:
    """Begin to cancel a batch."""
    batch = _batch(desk, batch_id)
    if batch.has_ended:
        raise Rejected(f"Batch {batch_id} has already ended and cannot be canceled.")
    batch.cancel(desk.now())
    return Done(json_reply(200, shape(batch, request)))


def delete(desk: Desk, request: Request, batch_id: str) -> Done:  # noqa: ARG001 - the signature
    """Forget a batch that has ended."""
    batch = _batch(desk, batch_id)
    if not batch.has_ended:
        raise Rejected(f"Batch {batch_id} must be canceled before it can be deleted.")
    desk.remove(batch)
    return Done(json_reply(200, {"id": batch_id, "type": "message_batch_deleted"}))


def results(desk: Desk, request: Request, batch_id: str) -> Done:  # noqa: ARG001 - the signature
    """Return the results of a batch that has ended."""
    batch = _batch(desk, batch_id)
    if not batch.has_ended:
        raise Rejected(f"Batch {batch_id} has no results yet.", FailureKind.NOT_FOUND)
    data, rows = (b"", ()) if batch.output is None else (batch.output.data, batch.output.rows)
    return Done(Reply(200, {}, "application/x-jsonl", data), rows)


def _batch(desk: Desk, batch_id: str) -> Batch:
    batch = desk.find(PROTOCOL, batch_id)
    if batch is None:
        raise Rejected(f"Message batch {batch_id} not found.", FailureKind.NOT_FOUND)
    return batch


def shape(batch: Batch, request: Request) -> dict[str, Any]:
    """Return a batch as Anthropic shows it."""
    ended_at = batch.at[batch.phase] if batch.has_ended else None
    has_results = batch.has_ended and batch.phase is not Phase.FAILED
    status = "canceling" if batch.phase is Phase.CANCELLING else "in_progress"
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": "ended" if batch.has_ended else status,
        "request_counts": _counts(batch),
        "created_at": _time(batch.created_at),
        "expires_at": _time(batch.created_at + batch.expires_in_s),
        "ended_at": _time(ended_at),
        "archived_at": None,
        "cancel_initiated_at": _time(batch.at.get(Phase.CANCELLING)),
        "results_url": f"{request.root}{ROOT}/{batch.id}/results" if has_results else None,
    }


def _counts(batch: Batch) -> dict[str, int]:
    """Return the counts; what has succeeded is told when all is over."""
    ended = batch.has_ended
    unrun = batch.counts["unrun"]
    return {
        "processing": 0 if ended else batch.told_total,
        "succeeded": batch.counts["succeeded"] + batch.is_miscounted if ended else 0,
        "errored": batch.counts["failed"] if ended else 0,
        "canceled": unrun if batch.phase is Phase.CANCELLED else 0,
        "expired": unrun if batch.phase is Phase.EXPIRED else 0,
    }


def _time(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


ROUTES = (
    Route("POST", ROOT, Place.CREATE, create),
    Route("GET", ROOT, Place.LIST, listing),
    Route("GET", f"{ROOT}/{{}}", Place.LOOK, look),
    Route("DELETE", f"{ROOT}/{{}}", Place.DELETE, delete),
    Route("POST", f"{ROOT}/{{}}/cancel", Place.CANCEL, cancel),
    Route("GET", f"{ROOT}/{{}}/results", Place.RESULTS, results),
)
