"""Examples of Anthropic's surface, under `/anthropic/v1`."""

from collections.abc import Mapping
from typing import Any

from api.description.examples.example import Examples

_MESSAGE_BATCH = {
    "id": "msgbatch_06b7j0v3tk4zv8m2c5yq9x1d7w",
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": {
        "processing": 20,
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    },
    "created_at": "2026-11-27T21:00:00Z",
    "expires_at": "2126-11-27T21:00:00Z",
    "ended_at": None,
    "archived_at": None,
    "cancel_initiated_at": None,
    "results_url": None,
}

_MESSAGE_LINE = (
    '{"custom_id":"request-1","result":{"type":"succeeded","message":{"id":"msg_1","type":"message",'
    '"role":"assistant","content":[{"type":"text","text":"Hello."}]}}}\n'
)

_LISTED_MODEL = {
    "id": "cheap",
    "type": "model",
    "display_name": "cheap",
    "created_at": "1970-01-01T00:00:00Z",
}


def _ends(shown: Mapping[str, Any]) -> dict[str, Any]:
    ends = {"first_id": shown["id"], "last_id": shown["id"], "has_more": False}
    return {"data": [shown], **ends}


_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 3},
}

_MESSAGE_EVENTS = 'event: message_stop\ndata: {"type":"message_stop"}\n\n'


ANTHROPIC: Mapping[str, Examples] = {
    "POST /anthropic/v1/messages": Examples({"200": _MESSAGE}, events=_MESSAGE_EVENTS),
    "POST /anthropic/v1/messages/batches": Examples(
        {"200": _MESSAGE_BATCH},
        {
            "requests": [
                {
                    "custom_id": "request-1",
                    "params": {
                        "model": "claude-sonnet-5",
                        "max_tokens": 300,
                        "messages": [{"role": "user", "content": "Hello"}],
                    },
                }
            ]
        },
    ),
    "GET /anthropic/v1/messages/batches": Examples({"200": _ends(_MESSAGE_BATCH)}),
    "GET /anthropic/v1/messages/batches/{batch_id}": Examples({"200": _MESSAGE_BATCH}),
    "POST /anthropic/v1/messages/batches/{batch_id}/cancel": Examples(
        {"200": {**_MESSAGE_BATCH, "processing_status": "canceling"}}
    ),
    "DELETE /anthropic/v1/messages/batches/{batch_id}": Examples(
        {"200": {"id": _MESSAGE_BATCH["id"], "type": "message_batch_deleted"}}
    ),
    "GET /anthropic/v1/messages/batches/{batch_id}/results": Examples({"200": _MESSAGE_LINE}),
    "GET /anthropic/v1/models": Examples({"200": _ends(_LISTED_MODEL)}),
    "GET /anthropic/v1/models/{model}": Examples({"200": _LISTED_MODEL}),
}
