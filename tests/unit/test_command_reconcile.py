"""`tidemill reconcile` and `attempts`, against a server that answers what the test says."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_command_line import StubServer, Tidemill, one_line, server, tidemill

__all__ = ["server", "tidemill"]  # fixtures

NOTHING = {"attempts": 0, "cost_usd": "0.000000000"}
BALANCE: dict[str, Any] = {
    "batch": "bat_1",
    "state": "completed",
    "balances": True,
    "jobs": {"accepted": 1200, "finished": 1200, "waiting": 0, "lost": 0},
    "attempts": {"succeeded": 1200, "limited": 0, "unknown": 3, "in_flight": 0},
    "unknown": {"attempts": 3, "cost_usd": "0.000003000"},
    "wasted": NOTHING,
    "bad": NOTHING,
    "money": {
        "attempts_usd": "0.120003000",
        "batch_usd": "0.120003000",
        "batch_drift_usd": "0.000000000",
        "project_batches_usd": "7.000000000",
        "project_ledger_usd": "7.000000000",
        "ledger_drift_usd": "0.000000000",
        "reserved_usd": "0.000000000",
        "unpriced_attempts": 0,
        "ledger_days_compared": True,
    },
    "violations": [],
    "account": None,
}
ACCOUNT: dict[str, Any] = {
    "lines": 1203,
    "unbilled": 0,
    "foreign": NOTHING,
    "provider": {"attempts": 1202, "cost_usd": "0.120000500"},
    "agreed": 1200,
    "drifted": 0,
    "drift_usd": "0.000000000",
    "learned": {"attempts": 2, "cost_usd": "0.000002000"},
    "learned_usd": "0.000000500",
    "unseen": {"attempts": 1, "cost_usd": "0.000001000"},
    "in_flight": 0,
    "overcharged": NOTHING,
    "unrecorded": NOTHING,
    "corrected": 0,
    "agrees": True,
    "findings": [],
}
ROUTE = "/api/batches/bat_1/reconciliation"


@pytest.fixture
def account_file(tmp_path: Path) -> str:
    path = tmp_path / "account.ndjson"
    path.write_bytes(b'{"job_id":"a"}\n')
    return str(path)


def test_a_batch_that_balances_is_told_and_ends_with_0(
    server: StubServer, tidemill: Tidemill
) -> None:
    server.on(f"GET {ROUTE}", BALANCE)
    ended = tidemill("reconcile", "bat_1")
    assert ended.exit_code == 0
    assert "1,200 accepted, 1,200 finished" in ended.stdout
    assert "3, $0.000003, at the worst case" in ended.stdout
    assert "Everything balances." in ended.stdout


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_books_that_do_not_balance_end_with_7_and_say_what(
    server: StubServer, tidemill: Tidemill, options: tuple[str, ...]
) -> None:
    violation = {"code": "lost_jobs", "message": "2 jobs have no result"}
    server.on(f"GET {ROUTE}", BALANCE | {"balances": False, "violations": [violation]})
    ended = tidemill("reconcile", "bat_1", *options)
    assert ended.exit_code == 7
    assert "lost_jobs" in ended.stdout
    if options:
        assert json.loads(ended.stdout)["violations"] == [violation]
    else:
        assert "don't balance" in one_line(ended.stderr)


def test_an_account_is_sent_and_what_it_shows_is_told(
    server: StubServer, tidemill: Tidemill, account_file: str
) -> None:
    finding = {"code": "drifted", "custom_id": "a\x1b[2J", "attempt": 2, "message": "cost 1, 2"}
    account = ACCOUNT | {"drifted": 1, "agrees": False, "findings": [finding]}
    server.on(f"POST {ROUTE}", BALANCE | {"balances": False, "account": account})
    given = ("--provider-account", account_file, "--provider", "openai", "--apply", "--complete")
    ended = tidemill("reconcile", "bat_1", *given)
    assert ended.exit_code == 7
    ((_, query, _, body),) = server.requests
    assert query == {"provider": ["openai"], "apply": ["true"], "complete": ["true"]}
    assert body == b'{"job_id":"a"}\n'
    assert "2, $0.000002, billed $0.0000005" in ended.stdout
    assert "a\\x1b[2J #2" in ended.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("--apply",),
        ("--complete",),
        ("--provider", "openai"),
        ("--provider-account", "no-such-file"),
    ],
)
def test_wrong_usage_ends_with_2_and_sends_nothing(
    server: StubServer, tidemill: Tidemill, arguments: tuple[str, ...]
) -> None:
    ended = tidemill("reconcile", "bat_1", *arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert server.requests == []


def test_attempts_are_listed_with_where_to_go_on(server: StubServer, tidemill: Tidemill) -> None:
    row = {
        "custom_id": "a1",
        "n": 2,
        "provider": "openai",
        "model": "small",
        "sent_at": "2026-03-01T12:00:00+00:00",
        "outcome": "unknown",
        "cost_usd": "0.000001000",
        "cost_is_estimate": True,
        "error": {"code": "connection_lost"},
        "reconciled_at": None,
    }
    settled = row | {"outcome": "failed", "cost_usd": None, "reconciled_at": row["sent_at"]}
    server.on("GET /api/batches/bat_1/attempts", {"data": [row, settled], "next_cursor": "c2"})
    ended = tidemill("attempts", "bat_1", "--outcome", "unknown", "--cursor", "c1", "--limit", "2")
    assert ended.exit_code == 0
    assert server.requests[-1][1] == {"outcome": ["unknown"], "cursor": ["c1"], "limit": ["2"]}
    for said in ("openai/small", "≤ $0.000001", "connection_lost", "failed, reconciled", "c2"):
        assert said in ended.stdout
