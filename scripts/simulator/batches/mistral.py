"""Mistral's files and batch jobs: the model is the job's, and a line is a body alone."""

from datetime import datetime
from typing import Any

import msgspec
import orjson

from scripts.simulator.batches.batch import Batch, Order
from scripts.simulator.batches.desk import HOUR_S, Desk
from scripts.simulator.batches.form import Done, Line, Phase, Problem
from scripts.simulator.batches.paging import number_asked, page_of
from scripts.simulator.batches.reading import lines_of, read_line, read_upload
from scripts.simulator.batches.routing import Route
from scripts.simulator.batches.shelf import File
from scripts.simulator.calls import FailureKind, Rejected
from scripts.simulator.dialects import DIALECTS
from scripts.simulator.dialects.reading import decode
from scripts.simulator.faults import Place
from scripts.simulator.replies import Reply, json_reply
from scripts.simulator.requests import Request

PROTOCOL = "mistral"
OK = 200

MOST_BYTES = 512 * 1000 * 1000
MOST_INLINE = 10_000
MOST_LINES = 1_000_000
MOST_HOURS = 7 * 24
DEFAULT_PAGE = 100

STATUSES = {
    Phase.VALIDATING: "QUEUED",
    Phase.RUNNING: "RUNNING",
    Phase.FINALIZING: "RUNNING",
    Phase.CANCELLING: "CANCELLATION_REQUESTED",
    Phase.COMPLETED: "SUCCESS",
    Phase.FAILED: "FAILED",
    Phase.EXPIRED: "TIMEOUT_EXCEEDED",
    Phase.CANCELLED: "CANCELLED",
}


class MistralForm:
    """The form of a batch; see `form.Form`."""

    protocol = PROTOCOL
    id_field = "custom_id"
    expires_s = 24 * HOUR_S
    keeps_expired = True
    checks_tokens_late = False

    def name(self, number: int) -> str:
        """Return its id."""
        return f"00000000-0000-4000-8000-{number:012x}"

    def result(self, custom_id: str, status: int, body: Any, number: int) -> dict[str, Any]:
        """Return a line of the file of results, or, with an error's status, of that of errors."""
        response = {"status_code": status, "body": body}
        name = f"batch-{number:08x}"
        return {"id": name, "custom_id": custom_id, "response": response, "error": None}

    def is_apart(self, status: int) -> bool:
        """Whether it is in the file of errors."""
        return status != OK

    def unrun(self, custom_id: str, phase: Phase) -> dict[str, Any] | None:
        """Return nothing: what was not run is in no file."""
        return None


FORM = MistralForm()


class LineIn(msgspec.Struct):
    """A line that comes in."""

    custom_id: str
    body: dict[str, Any]


class Create(msgspec.Struct):
    """The body that creates a job."""

    endpoint: str
    model: str | None = None
    input_files: list[str] | None = None
    requests: list[LineIn] | None = None
    metadata: dict[str, Any] | None = None
    timeout_hours: int = 24


_line = msgspec.json.Decoder(LineIn)
_create = msgspec.json.Decoder(Create)


def upload(desk: Desk, request: Request) -> Done:
    """Keep a file."""
    sent = read_upload(request)
    if len(sent.data) > (desk.ways.max_bytes or MOST_BYTES):
        raise Rejected("The file is too large.", FailureKind.UNPROCESSABLE)
    purpose = sent.fields.get("purpose", "fine-tune")
    return Done(
        json_reply(200, file_shape(desk.shelf.put(sent.name, purpose, sent.data, int(desk.wall()))))
    )


def file_shape(file: File) -> dict[str, Any]:
    """Return a file as Mistral shows it."""
    is_result = file.purpose == "batch_output"
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.data),
        "created_at": file.created_at,
        "filename": file.name,
        "purpose": "batch",
        "sample_type": "batch_result" if is_result else "batch_request",
        "num_lines": file.data.count(b"\n"),
        "mimetype": "application/jsonl",
        "source": "mistral" if is_result else "upload",
        "signature": None,
        "deleted": False,
    }


def file_look(desk: Desk, request: Request, file_id: str) -> Done:  # noqa: ARG001 - the signature
    """Return what a file is."""
    return Done(json_reply(200, file_shape(_file(desk, file_id))))


def file_content(desk: Desk, request: Request, file_id: str) -> Done:  # noqa: ARG001 - the signature
    """Return what a file holds."""
    file = _file(desk, file_id)
    return Done(Reply(200, {}, "application/octet-stream", file.data), file.rows)


def file_delete(desk: Desk, request: Request, file_id: str) -> Done:  # noqa: ARG001 - the signature
    """Remove a file."""
    desk.shelf.remove(_file(desk, file_id).id)
    return Done(json_reply(200, {"id": file_id, "object": "file", "deleted": True}))


def _file(desk: Desk, file_id: str) -> File:
    file = desk.shelf.get(file_id)
    if file is None:
        raise Rejected(f"No file matches {file_id!r}.", FailureKind.NOT_FOUND)
    return file


def create(desk: Desk, request: Request) -> Done:
    """Create a job, of a file or of requests in the body."""
    wanted = decode(_create, request.body, FailureKind.UNPROCESSABLE)
    _check(wanted, desk.ways.max_lines)
    assert wanted.model is not None
    if wanted.requests is not None:
        lines = [_read(line, wanted.model) for line in wanted.requests]
        problems: list[Problem] = []
    else:
        data = b"\n".join(_file(desk, file_id).data for file_id in wanted.input_files or ())
        lines, problems = read_lines(data, wanted.model, desk.ways.max_lines or MOST_LINES)
    order = Order(
        *(FORM, DIALECTS[PROTOCOL], request.key, wanted.model, wanted.endpoint),
        lines=lines,
        problems=problems,
        words={"metadata": wanted.metadata, "input_files": wanted.input_files or []},
        is_inline=wanted.requests is not None,
        expires_s=wanted.timeout_hours * HOUR_S,
    )
    return Done(json_reply(200, shape(desk.create(order))))


def _check(wanted: Create, most_lines: int | None) -> None:
    kind = FailureKind.UNPROCESSABLE
    if not wanted.model:
        raise Rejected("model is required", kind)
    if bool(wanted.input_files) == bool(wanted.requests):
        raise Rejected("exactly one of input_files and requests is required", kind)
    if wanted.endpoint != "/v1/chat/completions":
        raise Rejected(f"endpoint {wanted.endpoint!r} is not supported", kind)
    if not 1 <= wanted.timeout_hours <= MOST_HOURS:
        raise Rejected("timeout_hours must be less than 7 days", kind)
    if len(wanted.requests or ()) > (most_lines or MOST_INLINE):
        raise Rejected(f"at most {most_lines or MOST_INLINE} requests can be inline", kind)


def read_lines(data: bytes, model: str, most: int) -> tuple[list[Line], list[Problem]]:
    """Return a file's lines, and what is wrong with it."""
    lines: list[Line] = []
    for number, line, error in lines_of(data, _line.decode):
        if error is not None:
            message = f"line {number} is not a valid request: {error}"
            return [], [Problem("invalid_file", message, number)]
        lines.append(_read(line, model))
    if not lines:
        return [], [Problem("invalid_file", "the file is empty")]
    if len({line.custom_id for line in lines}) != len(lines):
        return [], [Problem("invalid_file", "a custom_id is in the file twice")]
    if len(lines) > most:
        return [], [Problem("invalid_file", f"the file has more than {most} requests")]
    return lines, []


def _read(line: LineIn, model: str) -> Line:
    body = orjson.dumps({**line.body, "model": model})
    return read_line(line.custom_id, body, DIALECTS[PROTOCOL])


def look(desk: Desk, request: Request, batch_id: str) -> Done:
    """Return how a job stands; with `inline`, the results of one that came so."""
    batch = _batch(desk, batch_id)
    found = shape(batch)
    if not batch.order.is_inline or not batch.has_ended or request.asked("inline") != "true":
        return Done(json_reply(200, found))
    files = [file for file in (batch.output, batch.errors) if file is not None]
    found["outputs"] = [orjson.loads(line) for file in files for line in file.data.splitlines()]
    return Done(json_reply(200, found), [row for file in files for row in file.rows])


def listing(desk: Desk, request: Request) -> Done:
    """Return a page of the jobs that the query asks for."""
    jobs = [shape(batch) for batch in desk.listed(PROTOCOL)]
    for name in ("status", "model"):
        asked = request.asked(name)
        jobs = [job for job in jobs if asked in {"", job[name]}]
    after = request.asked("created_after")
    if after:
        since = datetime.fromisoformat(after).timestamp()
        jobs = [job for job in jobs if job["created_at"] >= since]
    size = number_asked(request, "page_size", DEFAULT_PAGE)
    page, _ = page_of(jobs, number_asked(request, "page", 0) * size, size)
    return Done(json_reply(200, {"object": "list", "data": page, "total": len(jobs)}))


def cancel(desk: Desk, request: Request, batch_id: str) -> Done:  # noqa: ARG001 - the signature
    """Begin to cancel a job; one that has ended stays as it is."""
    batch = _batch(desk, batch_id)
    batch.cancel(desk.now())
    return Done(json_reply(200, shape(batch)))


def _batch(desk: Desk, batch_id: str) -> Batch:
    batch = desk.find(PROTOCOL, batch_id)
    if batch is None:
        raise Rejected(f"No batch job matches {batch_id!r}.", FailureKind.NOT_FOUND)
    return batch


def shape(batch: Batch) -> dict[str, Any]:
    """Return a job as Mistral shows it."""
    succeeded, failed = batch.counts["succeeded"], batch.counts["failed"]
    started_at = batch.at.get(Phase.RUNNING)
    words = batch.order.words
    has_files = not batch.order.is_inline
    return {
        "id": batch.id,
        "object": "batch",
        "input_files": words["input_files"],
        "metadata": words["metadata"],
        "endpoint": batch.order.endpoint,
        "model": batch.order.model,
        "agent_id": None,
        "output_file": batch.output.id if batch.output and has_files else None,
        "error_file": batch.errors.id if batch.errors and has_files else None,
        "errors": [{"message": problem.message, "count": 1} for problem in batch.problems],
        "outputs": None,
        "status": STATUSES[batch.phase],
        "created_at": int(batch.created_at),
        "started_at": None if started_at is None else int(started_at),
        "completed_at": int(batch.at[batch.phase]) if batch.has_ended else None,
        "total_requests": batch.told_total,
        "completed_requests": succeeded + failed,
        "succeeded_requests": succeeded,
        "failed_requests": failed,
    }


ROUTES = (
    Route("POST", "/mistral/v1/files", Place.UPLOAD, upload),
    Route("GET", "/mistral/v1/files/{}", Place.LOOK, file_look),
    Route("GET", "/mistral/v1/files/{}/content", Place.RESULTS, file_content),
    Route("DELETE", "/mistral/v1/files/{}", Place.DELETE, file_delete),
    Route("POST", "/mistral/v1/batch/jobs", Place.CREATE, create),
    Route("GET", "/mistral/v1/batch/jobs", Place.LIST, listing),
    Route("GET", "/mistral/v1/batch/jobs/{}", Place.LOOK, look),
    Route("POST", "/mistral/v1/batch/jobs/{}/cancel", Place.CANCEL, cancel),
)
