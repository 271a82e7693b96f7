"""Examples of Tidemill's own surface, and of what it tells about itself."""

from collections.abc import Mapping
from typing import Any

from api.description.examples.example import Examples

_TOKENS = {
    "input_tokens": 25_000,
    "cached_input_tokens": 0,
    "cache_write_tokens": 0,
    "output_tokens": 61_000,
    "reasoning_tokens": 0,
}

_BATCH: dict[str, Any] = {
    "id": "bat_06b7j0v3tk4zv8m2c5yq9x1d7w",
    "name": "titles",
    "project": "default",
    "state": "running",
    "created_at": "2026-11-27T21:00:00+00:00",
    "finished_at": None,
    "priority": "normal",
    "lane": "live",
    "deadline": "2026-11-28T05:00:00+00:00",
    "after_deadline": "finish",
    "run_window": None,
    "urgency": "normal",
    "timing": {
        "prospect": "in_time",
        "ready_low": "2026-11-27T21:01:23+00:00",
        "ready_high": "2026-11-27T21:01:31+00:00",
        "late_s": 0,
    },
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
    "lane_saved_usd": "0.000000000",
    "native_batches": [],
    "retry_of": None,
    "waiting_for": None,
    "eta": {"low": 31.0, "high": 38.5},
    "final_cost_usd": {"low": "0.064200000", "high": "0.066100000"},
    "forecast": None,
}

_RECEIPT = {
    "id": _BATCH["id"],
    "month": None,
    "is_final": True,
    "batches": 1,
    "jobs": 1000,
    "succeeded": 998,
    "not_called": 12,
    "list_usd": "0.128400000",
    "paid_usd": "0.064200000",
    "unpriced_calls": 0,
    "saved": {
        "lanes_usd": "0.063420000",
        "caches_usd": "0.000000000",
        "answers_usd": "0.000780000",
        "total_usd": "0.064200000",
        "share": 0.5,
    },
    "wasted": {
        "bad_answers": 3,
        "bad_answers_usd": "0.000180000",
        "unknown_calls": 0,
        "unknown_calls_usd": "0.000000000",
        "total_usd": "0.000180000",
    },
    "deadlines": {"kept": 1, "missed": 0, "open": 0, "worst_late_s": 0.0, "unreachable": None},
    "parts": [
        {
            "provider": "openai",
            "model": "gpt-4o-mini",
            "lane": "batch",
            "calls": 988,
            "input_tokens": 25_000,
            "output_tokens": 61_000,
            "cost_usd": "0.064200000",
        }
    ],
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
    "deadline": "2026-11-28T05:00:00+00:00",
    "earliest": "2026-11-28T03:12:10+00:00",
    "deadline_reachable": True,
    "would_meet_deadline": None,
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
    "native": {"batches": 0, "unexpected_lines": 0},
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
    "enqueued": [
        {
            "model": "gpt-4o-mini",
            "native_batches": 2,
            "lines": 60_000,
            "input_tokens": 3_100_000,
            "limit": 20_000_000,
        }
    ],
}

_EVENTS = (
    'event: progress\ndata: {"id":"bat_06b7j0v3tk4zv8m2c5yq9x1d7w","state":"running"}\n\n'
    'id: 1000-end\nevent: end\ndata: {"state":"completed"}\n\n'
)

_WEBHOOK = {
    "id": "whk_06b7j0v3tk4zv8m2c5yq9x1d7w",
    "url": "https://example.org/tidemill",
    "created_at": "2026-11-27T21:00:00+00:00",
    "gone_at": None,
    "trouble": None,
}


OWN: Mapping[str, Examples] = {
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
    "GET /api/batches/{batch_id}/receipt": Examples({"200": _RECEIPT}),
    "GET /api/runs/{run_id}/receipt": Examples(
        {"200": {**_RECEIPT, "id": "run_06b7hzx1n2v0m4k6c8yq3w5d9t"}}
    ),
    "GET /api/receipts": Examples({"200": {**_RECEIPT, "id": None, "month": "2026-11"}}),
    "GET /api/usage": Examples({"200": {"data": [{"day": "2026-11-27", **_SUMS}], "total": _SUMS}}),
    "GET /api/budget": Examples({"200": _BUDGET}),
    "PATCH /api/budget": Examples({"200": _BUDGET}, {"daily_usd": "20.00"}),
    "GET /api/pools": Examples({"200": {"data": [_POOL]}}),
}
