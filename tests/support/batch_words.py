"""One story of a native batch in the words of the four batch APIs, as the facts tell them.

Four lines: the first two are answered, the third is refused, the fourth was not run (at Gemini, which
has no such line, it failed).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from jobs.configuration import ProtocolName
from jobs.exchange import Message, ModelRequest
from tests.support.recorded import Given, lines
from workers.lanes.wire import NativeBatches, Order

TAG = "nb-7"
NOW = datetime(2026, 11, 28, 1, 0, tzinfo=UTC)
SECONDS = int(NOW.timestamp())

Batch = Callable[..., dict[str, Any]]


def openai_batch(state: str = "running", tag: str = TAG, name: str = "1", **more: Any) -> Any:
    """Return OpenAI's batch object."""
    states = {"running": "in_progress", "cancelling": "cancelling", "done": "completed"}
    done = state == "done"
    return {
        "id": f"batch_{name}",
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "errors": None,
        "input_file_id": "file-in",
        "completion_window": "24h",
        "status": states.get(state, state),
        "output_file_id": "file-out" if done else None,
        "error_file_id": "file-err" if done else None,
        "created_at": SECONDS,
        "expires_at": SECONDS + 86_400,
        "request_counts": {"total": 4, "completed": 2 if done else 1, "failed": 2 if done else 0},
        "metadata": {"tidemill": tag},
    } | more


def anthropic_batch(state: str = "running", name: str = "1", **more: Any) -> Any:
    """Return Anthropic's batch object, which says nothing of a tag."""
    more.pop("tag", None)
    states = {"running": "in_progress", "cancelling": "canceling", "done": "ended"}
    done = state == "done"
    counts = {"processing": 0 if done else 4, "succeeded": 2 if done else 0}
    return {
        "id": f"msgbatch_{name}",
        "type": "message_batch",
        "processing_status": states.get(state, state),
        "request_counts": {
            **counts,
            "errored": 1 if done else 0,
            "canceled": 0,
            "expired": int(done),
        },
        "created_at": NOW.isoformat().replace("+00:00", ".123456Z"),
        "expires_at": (NOW + timedelta(days=1)).isoformat(),
        "ended_at": None,
        "cancel_initiated_at": None,
        "results_url": "http://elsewhere.test/results" if done else None,
    } | more


def gemini_batch(state: str = "running", tag: str = TAG, name: str = "1", **more: Any) -> Any:
    """Return Gemini's operation."""
    states = {"running": "BATCH_STATE_RUNNING", "done": "JOB_STATE_SUCCEEDED"}
    done = state == "done"
    return {
        "name": f"batches/{name}",
        "metadata": {
            "state": states.get(state, state),
            "displayName": tag,
            "createTime": NOW.isoformat().replace("+00:00", "Z"),
            "batchStats": {
                "requestCount": "4",
                "successfulRequestCount": "2" if done else "1",
                "failedRequestCount": "2" if done else "0",
            },
            **({"output": {"responsesFile": "files/out"}} if done else {}),
        },
        "done": done,
    } | more


def mistral_batch(state: str = "running", tag: str = TAG, name: str = "1", **more: Any) -> Any:
    """Return Mistral's batch job."""
    states = {"running": "RUNNING", "cancelling": "CANCELLATION_REQUESTED", "done": "SUCCESS"}
    done = state == "done"
    return {
        "id": f"job-{name}",
        "input_files": ["file-in"],
        "output_file": "file-out" if done else None,
        "error_file": "file-err" if done else None,
        "metadata": {"tidemill": tag},
        "status": states.get(state, state),
        "errors": [],
        "total_requests": 4,
        "completed_requests": 4 if done else 1,
        "succeeded_requests": 2 if done else 1,
        "failed_requests": 2 if done else 0,
        "created_at": SECONDS,
    } | more


CHAT = {
    "id": "chatcmpl-1",
    "model": "m",
    "choices": [{"index": 0, "message": {"content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
MESSAGE = {
    "id": "msg_1",
    "model": "m",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
CONTENT = {
    "candidates": [{"content": {"parts": [{"text": "hello"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
    "modelVersion": "m",
}


def _envelope(kind: str) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "req_9"}


@dataclass(frozen=True)
class Api:
    """One provider's words for the story."""

    protocol: ProtocolName
    batch: Batch
    create: str
    listing: str
    page: Callable[[list[Any], bool], dict[str, Any]]
    one: str
    results: dict[str, Given]
    unanswered: frozenset[str]
    """Of the four lines, those that were not run and say so."""
    uploads: bool = True
    tells_progress: bool = True
    tags: bool = True

    @property
    def id(self) -> str:
        """The provider's name for the batch."""
        batch = self.batch()
        return str(batch.get("id", batch.get("name")))

    def other(self, name: str) -> dict[str, Any]:
        """Return somebody else's batch: it has another tag, or where there is none another size."""
        size = {} if self.tags else {"request_counts": {"processing": 3}}
        return self.batch(tag="other", name=name, **size)


def _response(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {"status_code": status, "request_id": "req-1", "body": body}


OPENAI = Api(
    ProtocolName.OPENAI,
    openai_batch,
    "POST /v1/batches",
    "GET /v1/batches",
    lambda batches, more: {"object": "list", "data": batches, "has_more": more},
    "/v1/batches/batch_1",
    {
        "GET /v1/files/file-out/content": lines(
            {"id": "r2", "custom_id": f"{TAG}-1", "response": _response(200, CHAT), "error": None},
            {"id": "r1", "custom_id": f"{TAG}-0", "response": _response(200, CHAT), "error": None},
        ),
        "GET /v1/files/file-err/content": lines(
            {
                "custom_id": f"{TAG}-2",
                "response": _response(400, {"error": {"message": "no", "code": "invalid_prompt"}}),
                "error": None,
            },
            {
                "custom_id": f"{TAG}-3",
                "response": None,
                "error": {"code": "batch_expired", "message": "too late"},
            },
        ),
    },
    frozenset({f"{TAG}-3"}),
)
ANTHROPIC = Api(
    ProtocolName.ANTHROPIC,
    anthropic_batch,
    "POST /v1/messages/batches",
    "GET /v1/messages/batches",
    lambda batches, more: {"data": batches, "has_more": more, "last_id": "x"},
    "/v1/messages/batches/msgbatch_1",
    {
        "GET /v1/messages/batches/msgbatch_1/results": lines(
            {"custom_id": f"{TAG}-1", "result": {"type": "succeeded", "message": MESSAGE}},
            {"custom_id": f"{TAG}-0", "result": {"type": "succeeded", "message": MESSAGE}},
            {
                "custom_id": f"{TAG}-2",
                "result": {"type": "errored", "error": _envelope("invalid_request_error")},
            },
            {"custom_id": f"{TAG}-3", "result": {"type": "expired"}},
        )
    },
    frozenset({f"{TAG}-3"}),
    uploads=False,
    tells_progress=False,
    tags=False,
)
GEMINI = Api(
    ProtocolName.GEMINI,
    gemini_batch,
    "POST /v1/models/m:batchGenerateContent",
    "GET /v1/batches",
    lambda batches, more: {"operations": batches} | ({"nextPageToken": "t/2"} if more else {}),
    "/v1/batches/1",
    {
        "GET /download/v1/files/out:download": lines(
            {"key": f"{TAG}-1", "response": CONTENT},
            {"key": f"{TAG}-0", "response": CONTENT},
            {"key": f"{TAG}-2", "error": {"code": 400, "message": "no"}},
            {"key": f"{TAG}-3", "status": {"code": 13, "message": "broke"}},
        )
    },
    frozenset(),
)
MISTRAL = Api(
    ProtocolName.MISTRAL,
    mistral_batch,
    "POST /v1/batch/jobs",
    "GET /v1/batch/jobs",
    # A full page is not the last one, and that is all there is to tell.
    lambda batches, more: {
        "data": batches + [mistral_batch(tag="x", name=f"x{n}") for n in range(100 if more else 0)]
    },
    "/v1/batch/jobs/job-1",
    {
        "GET /v1/files/file-out/content": lines(
            {"custom_id": f"{TAG}-1", "response": _response(200, CHAT), "error": None},
            {"custom_id": f"{TAG}-0", "response": _response(200, CHAT), "error": None},
        ),
        "GET /v1/files/file-err/content": lines(
            {"custom_id": f"{TAG}-2", "response": _response(422, {"detail": "no"}), "error": None},
            {"custom_id": f"{TAG}-3", "response": None, "error": {"message": "batch cancelled"}},
        ),
    },
    frozenset({f"{TAG}-3"}),
)
APIS = {api.protocol.value: api for api in (OPENAI, ANTHROPIC, GEMINI, MISTRAL)}

UPLOADS: dict[str, Given | list[Given]] = {
    "POST /v1/files": {"id": "file-in"},
    "POST /upload/v1/files": httpx.Response(
        200, headers={"x-goog-upload-url": "http://provider.test/upload/7?id=8"}
    ),
    "POST /upload/7": {"file": {"name": "files/in", "state": "ACTIVE"}},
}


HI = ModelRequest((Message("user", "hi\nthere"),), 10)


def order_of(batches: NativeBatches, folder: Path, count: int = 4) -> Order:
    """Return an order of as many lines, spooled."""
    spool = folder / f"{TAG}.lines"
    spool.write_bytes(b"".join(batches.line(f"{TAG}-{no}", "m", HI) + b"\n" for no in range(count)))
    return Order(TAG, "m", batches.endpoint(HI), spool, count, spool.stat().st_size)
