"""Examples of pipelines and their runs."""

from collections.abc import Mapping

from api.description.examples.example import Examples

_RECEIPT = {
    "cost_usd": "1.842000000",
    "reserved_usd": "0.000000000",
    "list_usd": "3.610000000",
    "saved": {
        "lane_usd": "1.700000000",
        "prompt_cache_usd": "0.060000000",
        "same_jobs_usd": "0.008000000",
    },
    "unpriced_jobs": 0,
}

_RUN = {
    "id": "run_06b7hzx1n2v0m4k6c8yq3w5d9t",
    "pipeline": "nightly-articles",
    "kind": "scheduled",
    "state": "completed",
    "date": "2026-11-27",
    "due_at": "2026-11-27T21:00:00+00:00",
    "created_at": "2026-11-27T21:00:00+00:00",
    "started_at": "2026-11-27T21:00:01+00:00",
    "finished_at": "2026-11-28T02:10:00+00:00",
    "deadline": "2026-11-28T05:00:00+00:00",
    "kept_deadline": True,
    "deadline_unreachable": None,
    "budget_usd": "20.00",
    "rows": {"taken": 1000, "done_before": 20, "doubled": 0, "failed": 2, "none_came_out": False},
    "retries": 0,
    "backfill": None,
    "trouble": None,
    "receipt": _RECEIPT,
}

_DETAIL = {
    **_RUN,
    "stages": [
        {
            "name": "summary",
            "kind": "generation",
            "model": "cheap",
            "after": [],
            "running": 0,
            "done": 998,
            "failed": 2,
            "left_out": 0,
            "batches": ["bat_06b7hzx1n2v0m4k6c8yq3w5d9t"],
            "receipt": _RECEIPT,
        }
    ],
    "sinks": [
        {
            "kind": "parquet",
            "of": "summary",
            "state": "written",
            "rows": 998,
            "place": "/srv/out/2026-11-27/articles.parquet",
            "tries": 0,
            "trouble": None,
            "next_try_at": None,
            "written_at": "2026-11-28T02:10:00+00:00",
        }
    ],
}

_PIPELINE = {
    "name": "nightly-articles",
    "description": "Summaries of the day's articles",
    "trouble": None,
    "schedule": {
        "cron": "0 22 * * *",
        "zone": "Europe/Paris",
        "overlap": "skip",
        "next_due_at": "2026-11-28T21:00:00+00:00",
    },
    "deadline": "06:00",
    "budget_usd": "20.00",
    "lane": "auto",
    "source": "files",
    "stages": ["summary"],
    "sinks": ["parquet"],
    "last_run": _RUN,
}

_WAITING = {**_RUN, "state": "waiting", "started_at": None, "finished_at": None}

_FAILURE = {"key": "a17", "stage": "summary", "branch": "", "error": "refused"}

_DIFF = {
    "run": "run_06b7hzx1n2v0m4k6c8yq3w5d9t",
    "against": "run_06b7hzx1n2v0m4k6c8yq3w5d9s",
    "stage": "summary",
    "same": 960,
    "new": {"count": 30, "keys": ["a17"]},
    "gone": {"count": 2, "keys": ["a3"]},
    "changed": {"count": 8, "keys": ["a5"]},
}

PIPELINES: Mapping[str, Examples] = {
    "GET /api/pipelines": Examples({"200": {"data": [_PIPELINE]}}),
    "POST /api/pipelines/{pipeline}/runs": Examples(
        {"202": {**_DETAIL, "kind": "manual", "state": "waiting"}}
    ),
    "POST /api/pipelines/{pipeline}/backfill": Examples(
        {"202": {"data": [{**_WAITING, "kind": "backfill"}]}},
        {"first": "2026-11-01", "last": "2026-11-07", "at_once": 2},
    ),
    "GET /api/runs": Examples({"200": {"data": [_RUN], "next_cursor": None}}),
    "GET /api/runs/{run_id}": Examples({"200": _DETAIL}),
    "POST /api/runs/{run_id}/cancel": Examples({"200": {**_DETAIL, "state": "cancelled"}}),
    "POST /api/runs/{run_id}/retry": Examples({"200": {**_DETAIL, "state": "running"}}),
    "GET /api/runs/{run_id}/diff": Examples({"200": _DIFF}),
    "GET /api/runs/{run_id}/failures": Examples({"200": {"data": [_FAILURE]}}),
}
