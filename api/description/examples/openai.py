"""Examples of OpenAI's surface, under `/v1`."""

from collections.abc import Mapping
from typing import Any

from api.description.examples.example import Examples

_FILE = {
    "id": "file-06b7j0v3tk4zv8m2c5yq9x1d7w",
    "object": "file",
    "bytes": 1024,
    "created_at": 1_795_813_200,
    "expires_at": 1_798_405_200,
    "filename": "batchinput.jsonl",
    "purpose": "batch",
    "status": "processed",
}

_FILE_BATCH = {
    "id": "batch_06b7j0v3tk4zv8m2c5yq9x1d7w",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "model": None,
    "errors": None,
    "input_file_id": _FILE["id"],
    "completion_window": "24h",
    "status": "in_progress",
    "output_file_id": None,
    "error_file_id": None,
    "created_at": 1_795_813_200,
    "in_progress_at": 1_795_813_201,
    "expires_at": None,
    "finalizing_at": None,
    "completed_at": None,
    "failed_at": None,
    "expired_at": None,
    "cancelling_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 20, "completed": 7, "failed": 0},
    "metadata": {"description": "nightly eval job"},
    "usage": None,
}

_FILE_LINE = (
    '{"id":"batch_req_1","custom_id":"request-1","response":{"status_code":200,"request_id":"req_1",'
    '"body":{"object":"chat.completion","choices":[]}},"error":null}\n'
)

_MODEL = {"id": "cheap", "object": "model", "created": 0, "owned_by": "tidemill"}


_COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_795_813_200,
    "model": "gpt-4o-mini",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}

_COMPLETION_EVENTS = (
    'data: {"id":"chatcmpl-1","object":"chat.completion.chunk",'
    '"choices":[{"index":0,"delta":{"content":"Hello."}}]}\n\ndata: [DONE]\n\n'
)


def _page(*shown: Mapping[str, Any]) -> dict[str, Any]:
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"], "has_more": False}
    return {"object": "list", "data": list(shown), **ends}


OPENAI: Mapping[str, Examples] = {
    "POST /v1/files": Examples({"200": _FILE}),
    "GET /v1/files": Examples({"200": _page(_FILE)}),
    "GET /v1/files/{file_id}": Examples({"200": _FILE}),
    "DELETE /v1/files/{file_id}": Examples(
        {"200": {"id": _FILE["id"], "object": "file", "deleted": True}}
    ),
    "GET /v1/files/{file_id}/content": Examples({"200": _FILE_LINE}),
    "POST /v1/batches": Examples(
        {"200": {**_FILE_BATCH, "status": "validating"}},
        {
            "input_file_id": _FILE["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"description": "nightly eval job"},
        },
    ),
    "GET /v1/batches": Examples({"200": _page(_FILE_BATCH)}),
    "GET /v1/batches/{batch_id}": Examples({"200": _FILE_BATCH}),
    "POST /v1/batches/{batch_id}/cancel": Examples(
        {"200": {**_FILE_BATCH, "status": "cancelling"}}
    ),
    "POST /v1/chat/completions": Examples({"200": _COMPLETION}, events=_COMPLETION_EVENTS),
    "GET /v1/models": Examples({"200": {"object": "list", "data": [_MODEL]}}),
    "GET /v1/models/{model}": Examples({"200": _MODEL}),
}
