"""Gemini's batches: operations whose counts are strings, and nothing at all when they expire."""

from typing import Any

import msgspec
import orjson

from scripts.simulator.batches.batch import Batch, Order
from scripts.simulator.batches.desk import HOUR_S, Desk
from scripts.simulator.batches.form import Done, Line, Phase, Problem
from scripts.simulator.batches.gemini_files import FILE_ROUTES, find_file, time_of
from scripts.simulator.batches.paging import number_asked, page_of
from scripts.simulator.batches.reading import lines_of, read_line
from scripts.simulator.batches.routing import Route
from scripts.simulator.calls import FailureKind, Rejected
from scripts.simulator.dialects import DIALECTS
from scripts.simulator.dialects.reading import decode
from scripts.simulator.faults import Place
from scripts.simulator.replies import json_reply
from scripts.simulator.requests import Request

PROTOCOL = "gemini"
OK = 200

MOST_INLINE_BYTES = 20 * 1000 * 1000
DEFAULT_PAGE = 50

INVALID_ARGUMENT = 3
INTERNAL = 13
"""Numbers of gRPC's, which an operation's error has."""

STATES = {
    Phase.VALIDATING: "PENDING",
    Phase.RUNNING: "RUNNING",
    Phase.FINALIZING: "RUNNING",
    Phase.CANCELLING: "RUNNING",
    Phase.COMPLETED: "SUCCEEDED",
    Phase.FAILED: "FAILED",
    Phase.EXPIRED: "EXPIRED",
    Phase.CANCELLED: "CANCELLED",
}


class GeminiForm:
    """The form of a batch; see `form.Form`."""

    protocol = PROTOCOL
    id_field = "key"
    expires_s = 48 * HOUR_S
    keeps_expired = False
    checks_tokens_late = False

    def name(self, number: int) -> str:
        """Return its id, without `batches/`."""
        return f"b{number:020x}"

    def result(self, custom_id: str, status: int, body: Any, number: int) -> dict[str, Any]:
        """Return a line of results."""
        if status == OK:
            return {"key": custom_id, "response": body}
        return {"key": custom_id, "error": body["error"]}

    def is_apart(self, status: int) -> bool:
        """All results are in one place."""
        return False

    def unrun(self, custom_id: str, phase: Phase) -> dict[str, Any] | None:
        """Return nothing: what was not run is in no file."""
        return None


FORM = GeminiForm()


class Metadata(msgspec.Struct):
    """What goes with a request in the body."""

    key: str = ""


class InlineRequest(msgspec.Struct):
    """A request in the body."""

    request: msgspec.Raw
    metadata: Metadata | None = None


class InlineRequests(msgspec.Struct):
    """The requests in the body, one level deeper than one would think."""

    requests: list[InlineRequest]


class InputConfig(msgspec.Struct, rename="camel"):
    """Where the requests are."""

    file_name: str | None = None
    requests: InlineRequests | None = None


class BatchIn(msgspec.Struct, rename="camel"):
    """A batch that is to be made."""

    input_config: InputConfig
    display_name: str = ""


class Create(msgspec.Struct):
    """The body that creates a batch."""

    batch: BatchIn


class LineIn(msgspec.Struct):
    """A line of a file."""

    key: str
    request: msgspec.Raw


_create = msgspec.json.Decoder(Create)
_line = msgspec.json.Decoder(LineIn)


def create(desk: Desk, request: Request, version: str, model: str) -> Done:  # noqa: ARG001
    """Create a batch; twice is two."""
    wanted = decode(_create, request.body).batch
    config = wanted.input_config
    problems: list[Problem] = []
    if config.requests is not None:
        if len(request.body) > (desk.ways.max_bytes or MOST_INLINE_BYTES):
            raise Rejected("Request payload size exceeds the limit: 20 MB.")
        lines = [
            _read((found.metadata or Metadata()).key or str(number), found.request, model)
            for number, found in enumerate(config.requests.requests)
        ]
    elif config.file_name is not None:
        lines, problems = read_lines(find_file(desk, config.file_name).data, model)
    else:
        raise Rejected("batch.inputConfig is required")
    if desk.ways.max_lines is not None and len(lines) > desk.ways.max_lines:
        raise Rejected(f"The batch has more than {desk.ways.max_lines} requests.")
    order = Order(
        *(FORM, DIALECTS[PROTOCOL], request.key, model, "generateContent"),
        lines=lines,
        problems=problems,
        words={"displayName": wanted.display_name, "fileName": config.file_name},
        is_inline=config.requests is not None,
    )
    return Done(json_reply(200, shape(desk.create(order))))


def read_lines(data: bytes, model: str) -> tuple[list[Line], list[Problem]]:
    """Return a file's lines, and what is wrong with it."""
    lines: list[Line] = []
    for number, line, error in lines_of(data, _line.decode):
        if error is not None:
            message = f"Failed to parse the input file at line {number}: {error}"
            return [], [Problem("INVALID_ARGUMENT", message, number)]
        lines.append(_read(line.key, line.request, model))
    if not lines:
        return [], [Problem("INVALID_ARGUMENT", "The input file is empty.")]
    return lines, []


def _read(key: str, request: msgspec.Raw, model: str) -> Line:
    return read_line(key, bytes(request), DIALECTS[PROTOCOL], model)


def look(desk: Desk, request: Request, version: str, name: str) -> Done:  # noqa: ARG001
    """Return how a batch stands, with its results if it came without a file."""
    batch = _batch(desk, name)
    has_results = batch.order.is_inline and batch.output is not None
    rows = batch.output.rows if batch.output is not None and has_results else ()
    return Done(json_reply(200, shape(batch, with_responses=True)), rows)


def listing(desk: Desk, request: Request, version: str) -> Done:  # noqa: ARG001 - the signature
    """Return a page of the batches, without the responses that they hold."""
    size = number_asked(request, "pageSize", DEFAULT_PAGE)
    start = number_asked(request, "pageToken", 0)
    page, following = page_of(desk.listed(PROTOCOL), start, size)
    found: dict[str, Any] = {"operations": [shape(batch) for batch in page]} if page else {}
    if following is not None:
        found["nextPageToken"] = str(following)
    return Done(json_reply(200, found))


def cancel(desk: Desk, request: Request, version: str, name: str) -> Done:  # noqa: ARG001
    """Begin to cancel a batch."""
    batch = _batch(desk, name)
    if batch.has_ended:
        raise Rejected(f"Batch {name} is in a final state and cannot be cancelled.")
    batch.cancel(desk.now())
    return Done(json_reply(200, {}))


def delete(desk: Desk, request: Request, version: str, name: str) -> Done:  # noqa: ARG001
    """Forget a batch; one that runs goes on unseen, and is billed."""
    desk.remove(_batch(desk, name))
    return Done(json_reply(200, {}))


def _batch(desk: Desk, name: str) -> Batch:
    batch = desk.find(PROTOCOL, name)
    if batch is None:
        raise Rejected("Requested entity was not found.", FailureKind.NOT_FOUND)
    return batch


def shape(batch: Batch, *, with_responses: bool = False) -> dict[str, Any]:
    """Return a batch as an operation; every other one tells of its output in the other place."""
    words, ended_at = batch.order.words, batch.at[batch.phase]
    metadata: dict[str, Any] = {
        "@type": "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
        "name": f"batches/{batch.id}",
        "state": f"BATCH_STATE_{STATES[batch.phase]}",
        "model": f"models/{batch.order.model}",
        "displayName": words["displayName"],
        "createTime": time_of(batch.created_at),
        "updateTime": time_of(ended_at),
        "batchStats": _stats(batch),
    }
    if words["fileName"]:
        metadata["inputConfig"] = {"fileName": words["fileName"]}
    operation: dict[str, Any] = {"name": f"batches/{batch.id}", "metadata": metadata}
    if not batch.has_ended:
        return operation
    metadata["endTime"] = time_of(ended_at)
    operation["done"] = True
    if batch.phase is Phase.FAILED:
        operation["error"] = _error(batch.problems)
    output = _output(batch, with_responses=with_responses)
    if output and batch.number % 2:
        operation["response"] = output
    elif output:
        metadata["output"] = output
    return operation


def _output(batch: Batch, *, with_responses: bool) -> dict[str, Any]:
    if batch.output is None:
        return {}
    if not batch.order.is_inline:
        return {"responsesFile": f"files/{batch.output.id}"}
    if not with_responses:
        return {}
    responses = []
    for line in batch.output.data.splitlines():
        found = orjson.loads(line)
        responses.append({"metadata": {"key": found.pop("key")}, **found})
    return {"inlinedResponses": {"inlinedResponses": responses}}


def _stats(batch: Batch) -> dict[str, str]:
    """Return the counts: strings, and without those that are 0."""
    succeeded, failed = batch.counts["succeeded"], batch.counts["failed"]
    counts = {
        "requestCount": batch.told_total,
        "successfulRequestCount": succeeded,
        "failedRequestCount": failed,
        "pendingRequestCount": batch.total - succeeded - failed,
    }
    return {name: str(count) for name, count in counts.items() if count}


def _error(problems: list[Problem]) -> dict[str, Any]:
    problem = problems[0]
    code = INVALID_ARGUMENT if problem.code == "INVALID_ARGUMENT" else INTERNAL
    return {"code": code, "message": problem.message}


ROUTES = (
    *FILE_ROUTES,
    Route("POST", "/gemini/{}/models/{}:batchGenerateContent", Place.CREATE, create),
    Route("GET", "/gemini/{}/batches", Place.LIST, listing),
    Route("GET", "/gemini/{}/batches/{}", Place.LOOK, look),
    Route("POST", "/gemini/{}/batches/{}:cancel", Place.CANCEL, cancel),
    Route("DELETE", "/gemini/{}/batches/{}", Place.DELETE, delete),
)
