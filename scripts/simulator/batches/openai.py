"""OpenAI's files and batches."""

from typing import Any
from zlib import crc32

import msgspec

from scripts.simulator.batches.batch import Batch, Order
from scripts.simulator.batches.desk import HOUR_S, Desk
from scripts.simulator.batches.form import Done, Line, Phase, Problem, Refused
from scripts.simulator.batches.paging import page_after
from scripts.simulator.batches.reading import lines_of, read_line, read_upload
from scripts.simulator.batches.routing import Route
from scripts.simulator.batches.shelf import File
from scripts.simulator.calls import Rejected
from scripts.simulator.dialects import DIALECTS, Dialect
from scripts.simulator.dialects.reading import decode
from scripts.simulator.faults import Place
from scripts.simulator.replies import Reply, json_reply
from scripts.simulator.requests import Request

PROTOCOL = "openai"
OK = 200

MOST_LINES = 50_000
MOST_BYTES = 200 * 1024 * 1024
MOST_AN_HOUR = 2000
MOST_PROBLEMS = 100
"""That a failed batch names."""

ENDPOINTS: dict[str, Dialect] = {
    "/v1/chat/completions": DIALECTS["openai"],
    "/v1/responses": DIALECTS["responses"],
}

STATUSES = {
    Phase.VALIDATING: "validating",
    Phase.RUNNING: "in_progress",
    Phase.FINALIZING: "finalizing",
    Phase.CANCELLING: "cancelling",
    Phase.COMPLETED: "completed",
    Phase.FAILED: "failed",
    Phase.EXPIRED: "expired",
    Phase.CANCELLED: "cancelled",
}


class LineIn(msgspec.Struct):
    """A line of the file that comes in."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class Create(msgspec.Struct):
    """The body that creates a batch."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, str] | None = None


class Model(msgspec.Struct):
    """The model that a line's body names."""

    model: str = ""


class OpenAIForm:
    """The form of a batch; see `form.Form`."""

    protocol = PROTOCOL
    id_field = "custom_id"
    expires_s = 24 * HOUR_S
    keeps_expired = True
    checks_tokens_late = True

    def name(self, number: int) -> str:
        """Return its id."""
        return f"batch_{number:08x}"

    def result(self, custom_id: str, status: int, body: Any, number: int) -> dict[str, Any]:
        """Return a line of the file of results, or, with an error's status, of that of errors."""
        response = {"status_code": status, "request_id": f"req_{number:016x}", "body": body}
        return self._line(custom_id, response, None)

    def is_apart(self, status: int) -> bool:
        """Whether it is in the file of errors."""
        return status != OK

    def unrun(self, custom_id: str, phase: Phase) -> dict[str, Any] | None:
        """Return that a line has expired; nothing tells of one that was cancelled."""
        if phase is not Phase.EXPIRED:
            return None
        message = "This request could not be executed before the completion window expired."
        return self._line(custom_id, None, {"code": "batch_expired", "message": message})

    @staticmethod
    def _line(custom_id: str, response: Any, error: Any) -> dict[str, Any]:
        name = f"batch_req_{crc32(custom_id.encode()):08x}"
        return {"id": name, "custom_id": custom_id, "response": response, "error": error}


FORM = OpenAIForm()


_line = msgspec.json.Decoder(LineIn)
_create = msgspec.json.Decoder(Create)
_model = msgspec.json.Decoder(Model)


def upload(desk: Desk, request: Request) -> Done:
    """Keep a file."""
    sent = read_upload(request)
    purpose = sent.fields.get("purpose", "")
    if purpose == "batch" and not sent.name.endswith(".jsonl"):
        raise Rejected("Invalid file format for Batch API. Must be .jsonl")
    if len(sent.data) > (desk.ways.max_bytes or MOST_BYTES):
        raise Rejected(f"The file is too large for the Batch API: {len(sent.data)} bytes.")
    file = desk.shelf.put(sent.name, purpose, sent.data, int(desk.wall()))
    return Done(json_reply(200, file_shape(file)))


def file_shape(file: File) -> dict[str, Any]:
    """Return a file as OpenAI shows it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.data),
        "created_at": file.created_at,
        "expires_at": file.created_at + 30 * 86_400,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def file_list(desk: Desk, request: Request) -> Done:
    """Return a page of the files."""
    files = [file_shape(file) for file in reversed(desk.shelf.all())]
    return Done(json_reply(200, {"object": "list", **page_after(files, request)}))


def file_look(desk: Desk, request: Request, file_id: str) -> Done:  # noqa: ARG001
    """Return what a file is."""
    return Done(json_reply(200, file_shape(_file(desk, file_id))))


def file_content(desk: Desk, request: Request, file_id: str) -> Done:  # noqa: ARG001
    """Return what a file holds."""
    file = _file(desk, file_id)
    return Done(Reply(200, {}, "application/octet-stream", file.data), file.rows)


def file_delete(desk: Desk, request: Request, file_id: str) -> Done:  # noqa: ARG001
    """Remove a file."""
    desk.shelf.remove(_file(desk, file_id).id)
    return Done(json_reply(200, {"id": file_id, "object": "file", "deleted": True}))


def _file(desk: Desk, file_id: str) -> File:
    file = desk.shelf.get(file_id)
    if file is None:
        raise missing("File", file_id)
    return file


def missing(what: str, name: str) -> Refused:
    """Return the error for something that isn't there."""
    detail = {
        "message": f"No such {what} object: {name}",
        "type": "invalid_request_error",
        "param": "id",
        "code": None,
    }
    return Refused(json_reply(404, {"error": detail}))


def create(desk: Desk, request: Request) -> Done:
    """Create a batch; what is wrong with its file is found out later."""
    wanted = decode(_create, request.body)
    if wanted.completion_window != "24h":
        raise Rejected("Invalid value for 'completion_window': must be '24h'.")
    dialect = ENDPOINTS.get(wanted.endpoint)
    if dialect is None:
        raise Rejected(f"Invalid value for 'endpoint': {wanted.endpoint!r}.")
    file = desk.shelf.get(wanted.input_file_id)
    if file is None:
        raise Rejected(f"Invalid 'input_file_id': no such file {wanted.input_file_id!r}.")
    if file.purpose != "batch":
        raise Rejected(f"The file's purpose is {file.purpose!r}, not 'batch'.")
    model, lines, problems = read_lines(file.data, wanted.endpoint, dialect)
    most = desk.ways.max_lines or MOST_LINES
    if len(lines) > most:
        message = f"This file contains {len(lines)} tasks; the most is {most}."
        problems = [Problem("too_many_tasks", message)]
    words = {"metadata": wanted.metadata, "input_file_id": file.id}
    order = Order(
        *(FORM, dialect, request.key, model, wanted.endpoint),
        lines=[] if problems else lines,
        problems=problems[:MOST_PROBLEMS],
        words=words,
    )
    return Done(json_reply(200, shape(desk.create(order, MOST_AN_HOUR))))


def read_lines(
    data: bytes, endpoint: str, dialect: Dialect
) -> tuple[str, list[Line], list[Problem]]:
    """Return the model of a file's first line, its lines, and what is wrong with the file."""
    lines: list[Line] = []
    problems: list[Problem] = []
    model, seen = "", set[str]()
    for number, line, error in lines_of(data, _line.decode):
        if error is not None:
            problems.append(
                Problem("invalid_json_line", f"This line is not valid: {error}", number)
            )
            continue
        named = _model.decode(line.body).model
        model = model or named
        if line.custom_id in seen:
            message = f"The custom_id {line.custom_id!r} is in the file twice."
            problems.append(Problem("duplicate_custom_id", message, number, "custom_id"))
        if line.url != endpoint or line.method != "POST":
            message = (
                f"The URL provided for this request does not match the batch endpoint {endpoint}."
            )
            problems.append(Problem("url_mismatch", message, number, "url"))
        if named != model:
            message = f"The model {named!r} is not that of the first line, {model!r}."
            problems.append(Problem("model_mismatch", message, number, "body.model"))
        seen.add(line.custom_id)
        lines.append(read_line(line.custom_id, bytes(line.body), dialect))
    if not lines and not problems:
        problems.append(Problem("empty_file", "The input file is empty."))
    return model, lines, problems


def look(desk: Desk, request: Request, batch_id: str) -> Done:  # noqa: ARG001
    """Return how a batch stands."""
    return Done(json_reply(200, shape(_batch(desk, batch_id))))


def listing(desk: Desk, request: Request) -> Done:
    """Return a page of the batches, newest first."""
    batches = list(map(shape, desk.listed(PROTOCOL)))
    return Done(json_reply(200, {"object": "list", **page_after(batches, request)}))


def cancel(desk: Desk, request: Request, batch_id: str) -> Done:  # noqa: ARG001
    """Begin to cancel a batch."""
    batch = _batch(desk, batch_id)
    if batch.has_ended:
        raise Rejected(f"Cannot cancel a batch with status '{STATUSES[batch.phase]}'.")
    batch.cancel(desk.now())
    return Done(json_reply(200, shape(batch)))


def _batch(desk: Desk, batch_id: str) -> Batch:
    batch = desk.find(PROTOCOL, batch_id)
    if batch is None:
        raise missing("Batch", batch_id)
    return batch


def shape(batch: Batch) -> dict[str, Any]:
    """Return a batch as OpenAI shows it; its counts are 0 until it was validated."""
    counted = Phase.RUNNING in batch.at
    at = {f"{STATUSES[phase]}_at": int(moment) for phase, moment in batch.at.items()}
    usage = batch.usage
    problems = [problem._asdict() for problem in batch.problems]
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.order.endpoint,
        "model": batch.order.model or None,
        "errors": {"object": "list", "data": problems} if batch.phase is Phase.FAILED else None,
        "input_file_id": batch.order.words["input_file_id"],
        "completion_window": "24h",
        "status": STATUSES[batch.phase],
        "output_file_id": None if batch.output is None else batch.output.id,
        "error_file_id": None if batch.errors is None else batch.errors.id,
        "created_at": int(batch.created_at),
        "expires_at": int(batch.created_at + batch.expires_in_s),
        **{f"{STATUSES[phase]}_at": None for phase in STATUSES if phase is not Phase.VALIDATING},
        **{name: moment for name, moment in at.items() if name != "validating_at"},
        "request_counts": {
            "total": batch.told_total if counted else 0,
            "completed": batch.counts["succeeded"],
            "failed": batch.counts["failed"],
        },
        "metadata": batch.order.words["metadata"],
        "usage": {
            "input_tokens": usage["input"],
            "input_tokens_details": {"cached_tokens": usage["cached"]},
            "output_tokens": usage["output"],
            "output_tokens_details": {"reasoning_tokens": usage["reasoning"]},
            "total_tokens": usage["input"] + usage["output"],
        },
    }


ROUTES = (
    Route("POST", "/v1/files", Place.UPLOAD, upload),
    Route("GET", "/v1/files", Place.LIST, file_list),
    Route("GET", "/v1/files/{}", Place.LOOK, file_look),
    Route("GET", "/v1/files/{}/content", Place.RESULTS, file_content),
    Route("DELETE", "/v1/files/{}", Place.DELETE, file_delete),
    Route("POST", "/v1/batches", Place.CREATE, create),
    Route("GET", "/v1/batches", Place.LIST, listing),
    Route("GET", "/v1/batches/{}", Place.LOOK, look),
    Route("POST", "/v1/batches/{}/cancel", Place.CANCEL, cancel),
)
