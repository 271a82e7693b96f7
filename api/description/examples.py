"""An example of each request's body and of each answer; the tests hold them to their schemas."""

from collections.abc import Mapping
from typing import Any, NamedTuple

_TOKENS = {
    "input_tokens": 25_000,
    "cached_input_tokens": 0,
    "cache_write_tokens": 0,
    "output_tokens": 61_000,
    "reasoning_tokens": 0,
}

_BATCH = {
    "id": "bat_06b7j0v3tk4zv8m2c5yq9x1d7w",
    "name": "titles",
    "project": "default",
    "state": "running",
    "created_at": "2026-11-27T21:00:00+00:00",
    "finished_at": None,
    "priority": "normal",
    "deadline": None,
    "counts": {
        "total": 1000,
        "succeeded": 618,
        "failed": 2,
        "cancelled": 0,
        "expired": 0,
        "running": 50,
        "waiting": 330,
    },
    "usage": _TOKENS,
    "cost_usd": "0.040350000",
    "reserved_usd": "0.008500000",
    "max_cost_usd": "5.000000000",
    "unpriced_jobs": 0,
    "unknown_attempts": 0,
    "bad_answers": 3,
    "bad_answers_cost_usd": "0.000180000",
    "collapsed_jobs": 12,
    "reused_jobs": 0,
    "saved_usd": "0.000780000",
    "cache_saved_usd": "0.000000000",
    "retry_of": None,
    "waiting_for": None,
    "eta": {"low": 31.0, "high": 38.5},
    "final_cost_usd": {"low": "0.064200000", "high": "0.066100000"},
    "forecast": None,
}

_PROGRESS = {
    "data": [
        {
            "at": "2026-11-27T21:00:52+00:00",
            "working_s": 52.0,
            "done_jobs": 620,
            "failed_jobs": 2,
            "tokens": 86_000,
            "cost_usd": "0.040350000",
            "eta": _BATCH["eta"],
            "final_cost_usd": _BATCH["final_cost_usd"],
        }
    ],
    "latencies_ms": [412, 640, 655, 1210],
}

_RESULT = (
    '{"custom_id":"a1","seq":0,"status":"succeeded","output":"Hello.","finish_reason":"stop","error":null,'
    '"usage":{"input_tokens":9,"cached_input_tokens":0,"cache_write_tokens":0,"output_tokens":3,'
    '"reasoning_tokens":0},"cost_usd":"0.000003150","provider":"openai","pool":"main","model":"gpt-4o-mini",'
    '"attempts":1,"source":"live","latency_ms":640,"finished_at":"2026-11-27T21:00:02+00:00",'
    '"cost_is_estimate":false,"mended":null}\n'
)

_TAKINGS = {
    "calls": 1000,
    "estimated_input_tokens": 25_000,
    "input_tokens": {"low": 18_750, "high": 33_334},
    "output_tokens": {"low": 1000, "high": 300_000},
    "cost_usd": {"low": "0.003412500", "high": "0.185000100"},
    "worst_cost_usd": "1.140000000",
    "unpriced_jobs": 0,
}

_QUOTE = {
    **_TAKINGS,
    "jobs": 1012,
    "collapsed_jobs": 12,
    "reused_jobs": 0,
    "targets": [{**_TAKINGS, "model": "cheap", "target": "openai/gpt-4o-mini", "jobs": 1012}],
    "unpriced_models": [],
    "max_cost_usd": "5.000000000",
    "max_cost_suffices": "surely",
    "eta": {"low": 120.0, "high": 135.0},
    "limited_by": "rpm of openai/main (500)",
    "eta_unknown_because": None,
    "fault_count": 0,
    "faults": [],
}

_ATTEMPT = {
    "custom_id": "a1",
    "seq": 0,
    "n": 1,
    "provider": "openai",
    "pool": "main",
    "model": "gpt-4o-mini",
    "sent_at": "2026-11-27T21:00:01+00:00",
    "outcome": "succeeded",
    "usage": {**_TOKENS, "input_tokens": 9, "output_tokens": 3},
    "cost_usd": "0.000003150",
    "cost_is_estimate": False,
    "reserved_usd": "0.000180000",
    "error": None,
    "latency_ms": 640,
    "reconciled_at": None,
}

_NOTHING = {"attempts": 0, "cost_usd": "0.000000000"}

_RECONCILIATION: dict[str, Any] = {
    "batch": _BATCH["id"],
    "state": "completed",
    "balances": True,
    "jobs": {"accepted": 1000, "finished": 1000, "waiting": 0, "lost": 0},
    "attempts": {"succeeded": 1000, "limited": 4},
    "unknown": _NOTHING,
    "wasted": _NOTHING,
    "bad": {"attempts": 3, "cost_usd": "0.000180000"},
    "money": {
        "attempts_usd": "0.065080000",
        "batch_usd": "0.065080000",
        "batch_drift_usd": "0.000000000",
        "project_batches_usd": "0.065080000",
        "project_ledger_usd": "0.065080000",
        "ledger_drift_usd": "0.000000000",
        "reserved_usd": "0.000000000",
        "unpriced_attempts": 0,
        "ledger_days_compared": True,
    },
    "violations": [],
    "account": None,
}

_SUMS = {
    "attempts": 1004,
    "unpriced_attempts": 0,
    **_TOKENS,
    "cost_usd": "0.065080000",
    "cache_saved_usd": "0.000000000",
}

_PERIOD = {
    "spent_usd": "0.065080000",
    "reserved_usd": "0.000000000",
    "resets_at": "2026-11-28T00:00:00+00:00",
}

_BUDGET = {
    "project": "default",
    "daily_usd": "20.000000000",
    "monthly_usd": None,
    "day": _PERIOD,
    "month": {**_PERIOD, "resets_at": "2026-12-01T00:00:00+00:00"},
}

_POOL = {
    "provider": "openai",
    "pool": "main",
    "models": None,
    "dimensions": [
        {"name": "rpm", "configured": 500, "learned": 500, "rate": 498.0, "share_used": 0.996}
    ],
    "in_flight": 12,
    "in_flight_limit": None,
    "binding": "rpm",
    "breaker": "closed",
    "blocked_until": None,
    "reason": None,
    "trust": 1.0,
    "found_per_s": None,
    "found_in_flight": None,
}

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


_EVENTS = (
    'event: progress\ndata: {"id":"bat_06b7j0v3tk4zv8m2c5yq9x1d7w","state":"running"}\n\n'
    'id: 1000-end\nevent: end\ndata: {"state":"completed"}\n\n'
)

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

_WEBHOOK = {
    "id": "whk_06b7j0v3tk4zv8m2c5yq9x1d7w",
    "url": "https://example.org/tidemill",
    "created_at": "2026-11-27T21:00:00+00:00",
    "gone_at": None,
    "trouble": None,
}


def _page(*shown: Mapping[str, Any]) -> dict[str, Any]:
    ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"], "has_more": False}
    return {"object": "list", "data": list(shown), **ends}


class Examples(NamedTuple):
    """Of one operation: its answers by status, its body if that is JSON, its answer in events."""

    answers: Mapping[str, Any]
    body: Any = None
    events: str | None = None


EXAMPLES: Mapping[str, Examples] = {
    "GET /healthz": Examples({"200": {"status": "alive"}}),
    "GET /readyz": Examples({"200": {"status": "ready"}}),
    "GET /metrics": Examples(
        {"200": "# TYPE tidemill_in_flight_jobs gauge\ntidemill_in_flight_jobs 50.0\n"}
    ),
    "GET /openapi.json": Examples({"200": {"openapi": "3.1.0", "info": {}, "paths": {}}}),
    "POST /api/batches": Examples({"202": {**_BATCH, "state": "queued"}, "200": _QUOTE}),
    "GET /api/batches": Examples({"200": {"data": [_BATCH], "next_cursor": None}}),
    "GET /api/batches/{batch_id}": Examples({"200": _BATCH}),
    "PATCH /api/batches/{batch_id}": Examples({"200": _BATCH}, {"max_cost_usd": "5.00"}),
    "POST /api/batches/{batch_id}/pause": Examples({"200": {**_BATCH, "state": "paused"}}),
    "POST /api/batches/{batch_id}/resume": Examples({"200": _BATCH}),
    "POST /api/batches/{batch_id}/cancel": Examples({"200": {**_BATCH, "state": "cancelling"}}),
    "GET /api/batches/{batch_id}/results": Examples({"200": _RESULT}),
    "GET /api/batches/{batch_id}/attempts": Examples(
        {"200": {"data": [_ATTEMPT], "next_cursor": "Mjo5OjE"}}
    ),
    "GET /api/batches/{batch_id}/progress": Examples({"200": _PROGRESS}),
    "GET /api/batches/{batch_id}/reconciliation": Examples({"200": _RECONCILIATION}),
    "POST /api/batches/{batch_id}/reconciliation": Examples({"200": _RECONCILIATION}),
    "POST /api/batches/{batch_id}/retry": Examples(
        {"202": {**_BATCH, "state": "queued", "retry_of": "bat_06b7hzx1n2v0m4k6c8yq3w5d9t"}}
    ),
    "GET /api/batches/{batch_id}/events": Examples({"200": ""}, events=_EVENTS),
    "GET /api/webhooks": Examples({"200": {"data": [_WEBHOOK]}}),
    "POST /api/webhooks": Examples(
        {"201": {**_WEBHOOK, "secret": "whsec_…"}}, {"url": _WEBHOOK["url"]}
    ),
    "GET /api/usage": Examples({"200": {"data": [{"day": "2026-11-27", **_SUMS}], "total": _SUMS}}),
    "GET /api/budget": Examples({"200": _BUDGET}),
    "PATCH /api/budget": Examples({"200": _BUDGET}, {"daily_usd": "20.00"}),
    "GET /api/pools": Examples({"200": {"data": [_POOL]}}),
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
    "POST /anthropic/v1/messages": Examples({"200": _MESSAGE}, events=_MESSAGE_EVENTS),
    "GET /v1/models": Examples({"200": {"object": "list", "data": [_MODEL]}}),
    "GET /v1/models/{model}": Examples({"200": _MODEL}),
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


def _problem(status: int, title: str, code: str, detail: str, **more: Any) -> dict[str, Any]:
    head = {"type": "about:blank", "title": title, "status": status}
    return {**head, "code": code, "detail": detail, **more}


PROBLEMS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "4XX": {
        problem["code"]: problem
        for problem in (
            _problem(
                *(400, "Bad Request", "invalid_jobs"),
                "1 of 5 lines is not a valid job; nothing was accepted",
                error_count=1,
                errors=[
                    {
                        "line": 4,
                        "field": "max_tokens",
                        "code": "wrong_type",
                        "message": "expected `int`, got `str`",
                    }
                ],
            ),
            _problem(
                *(400, "Bad Request", "invalid_parameter"),
                "limit: expected a whole number",
                errors=[
                    {
                        "field": "limit",
                        "code": "invalid_value",
                        "message": "expected a whole number",
                    }
                ],
            ),
            _problem(401, "Unauthorized", "unauthorised", "There is no valid API key."),
            _problem(403, "Forbidden", "insufficient_scope", "this needs the scope `submit`"),
            _problem(404, "Not Found", "not_found", "There is no such thing in this project."),
            _problem(409, "Conflict", "illegal_transition", "a completed batch can't be paused"),
        )
    },
    "5XX": {
        problem["code"]: problem
        for problem in (
            _problem(
                *(503, "Service Unavailable", "service_unavailable"), "the database does not answer"
            ),
            _problem(
                *(500, "Internal Server Error", "internal_error"),
                "Tidemill failed; its log says why.",
            ),
        )
    },
}
"""Problem documents, by the class of their status and by their code."""
