"""What a person sees: figures and tables, whatever a server or a model wrote."""

import io
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from jobs.errors import LineFault
from scripts.command.render import dollars, local_time, printable
from scripts.command.tables import (
    LONGEST_OUTPUT,
    batch_summary,
    fault_table,
    result_table,
    usage_table,
)

TOKENS = {
    "input_tokens": 1000,
    "cached_input_tokens": 200,
    "cache_write_tokens": 30,
    "output_tokens": 400,
    "reasoning_tokens": 5,
}


def text_of(table: Table) -> str:
    out = io.StringIO()
    Console(file=out, width=200, markup=False).print(table)
    return out.getvalue()


def batch(**changes: Any) -> dict[str, Any]:
    counts = {"total": 10, "succeeded": 7, "failed": 2, "cancelled": 0, "expired": 0}
    return {
        "id": "bat_1",
        "name": "night shift",
        "state": "running",
        "created_at": "2026-03-01T12:00:00+00:00",
        "finished_at": None,
        "deadline": None,
        "counts": counts | {"running": 1, "waiting": 0},
        "usage": TOKENS,
        "cost_usd": "0.000123400",
        "reserved_usd": "0.000000000",
        "max_cost_usd": None,
        "unpriced_jobs": 0,
        "unknown_attempts": 0,
        "waiting_for": None,
        **changes,
    }


def result(**changes: Any) -> dict[str, Any]:
    return {
        "custom_id": "a1",
        "status": "succeeded",
        "output": "hello",
        "error": None,
        "usage": TOKENS,
        "cost_usd": "0.000000100",
        "attempts": 1,
        "latency_ms": 1234,
        **changes,
    }


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        ("0.000000000", "$0.00"),
        ("0.000012345", "$0.000012345"),
        ("0.000012300", "$0.0000123"),
        ("1.500000000", "$1.50"),
        ("1234567.000000000", "$1,234,567.00"),
        ("100.000000000", "$100.00"),
        (None, "unknown"),
    ],
)
def test_dollars_are_exact_with_two_places_at_least(amount: str | None, expected: str) -> None:
    assert dollars(amount) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, ünïcödé 日本", "plain, ünïcödé 日本"),
        ("two\nlines", "two⏎lines"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\rb\x07\x9b", "a\\rb\\x07\\x9b"),
        ("\u202eright to left", "\\u202eright to left"),
    ],
)
def test_no_text_can_move_the_cursor(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_a_time_is_shown_in_this_machines_zone() -> None:
    assert local_time(None) == ""
    assert local_time("2026-03-01T12:00:00+00:00").startswith("2026-0")


def test_a_summary_tells_what_there_is_and_nothing_else() -> None:
    text = text_of(batch_summary(batch()))
    assert "10: 7 succeeded, 2 failed, 1 running\n" in text.replace("  \n", "\n").replace(
        " \n", "\n"
    )
    assert "1,230 in, 400 out" in text
    assert "$0.0001234" in text
    for absent in ("without price", "unknown", "waiting for", "deadline", "finished", "at most"):
        assert absent not in text


def test_a_summary_tells_what_is_missing_from_the_cost() -> None:
    text = text_of(
        batch_summary(
            batch(
                unpriced_jobs=3,
                unknown_attempts=2,
                waiting_for="the budget",
                max_cost_usd="5.000000000",
                reserved_usd="0.250000000",
            )
        )
    )
    assert "3 jobs, which the cost leaves out" in text
    assert "2 calls whose use is not known, charged at the worst case" in text
    assert "of at most $5.00, $0.25 reserved for calls in flight" in text
    assert "the budget" in text


def test_a_summary_tells_what_bad_answers_cost() -> None:
    text = text_of(batch_summary(batch(bad_answers=1280, bad_answers_cost_usd="0.011433400")))
    assert "1,280, $0.0114334 of the cost" in text
    assert "bad answers" not in text_of(batch_summary(batch(bad_answers=0)))


def test_results_are_told_by_their_answer_or_their_error() -> None:
    error = {"code": "invalid_json", "message": "expected \x1b[31mJSON"}
    rows = [
        result(),
        result(custom_id="a2", output={"mood": "happy", "ü": [1]}),
        result(custom_id="a3", output="x" * 500),
        result(custom_id="a4", status="failed", output=None, error=error),
        result(
            custom_id="a5",
            status="cancelled",
            output=None,
            error={"code": "cancelled", "message": "by its owner"},
            usage=None,
            cost_usd=None,
            attempts=0,
            latency_ms=None,
        ),
        result(custom_id="a6", output="[bold]not markup[/bold]", cost_usd=None),
    ]
    text = text_of(result_table(rows))
    assert "1.2 s" in text
    assert '{"mood": "happy", "ü": [1]}' in text
    assert text.count("x") - text.count("\\x") < LONGEST_OUTPUT + 5
    assert "invalid_json: expected \\x1b[31mJSON" in text
    assert "\x1b" not in text
    assert "[bold]not markup[/bold]" in text
    assert text.count("unknown") == 1


def test_usage_has_a_row_per_combination_and_a_total() -> None:
    sums = {**TOKENS, "attempts": 12, "cost_usd": "0.100000000", "unpriced_attempts": 4}
    rows = [{"day": "2026-03-01", "model": f"m{number}", **sums} for number in (1, 2)]
    total = {**sums, "attempts": 24, "cost_usd": "0.200000000"}
    text = text_of(usage_table(rows, total, ["day", "model"]))
    lines = [line.split() for line in text.splitlines() if "$" in line]
    assert [line[:2] for line in lines[:2]] == [["2026-03-01", "m1"], ["2026-03-01", "m2"]]
    assert lines[2][0] == "total"
    assert "24" in lines[2]
    assert lines[2][-2:] == ["≥", "$0.20"]
    unknown = usage_table([], {**total, "cost_usd": None}, ["model"])
    assert text_of(unknown).split()[-1] == "unknown"


def test_faults_are_told_by_line_field_and_what_was_expected() -> None:
    faults = [LineFault(3, "missing", "messages[0].role", "expected user or assistant")]
    text = text_of(fault_table([*faults, LineFault(4000, "too_deep", "", "")]))
    assert "messages[0].role" in text
    assert "expected user or assistant" in text
    assert "4,000" in text
    assert "too_deep" in text


@pytest.mark.parametrize(
    ("saved_usd", "said"),
    [
        ("1.500000000", "prompt caches  saved $1.50\n"),
        ("-0.002000000", "prompt caches  cost $0.002 more than they saved\n"),
    ],
)
def test_what_prompt_caches_saved_is_told(saved_usd: str, said: str) -> None:
    lines = text_of(batch_summary(batch(cache_saved_usd=saved_usd))).splitlines()
    assert [f"{line.rstrip()}\n" for line in lines if line.startswith("prompt caches")] == [said]


@pytest.mark.parametrize("saved_usd", ["0.000000000", None])
def test_nothing_is_said_of_caches_that_saved_nothing(saved_usd: str | None) -> None:
    assert "caches" not in text_of(batch_summary(batch(cache_saved_usd=saved_usd)))


def test_usage_has_a_column_for_what_caches_saved_where_they_did() -> None:
    sums = {**TOKENS, "attempts": 1, "unpriced_attempts": 0, "cost_usd": "2.00"}
    saved = {**sums, "cache_saved_usd": "0.250000000"}
    text = text_of(usage_table([{"model": "m", **saved}], saved, ["model"]))
    assert text.count("$0.25") == 2
    none = {**sums, "cache_saved_usd": "0.000000000"}
    assert "caches" not in text_of(usage_table([{"model": "m", **none}], none, ["model"]))


def test_native_batches_that_are_open_are_told() -> None:
    of = {
        "id": "nat_1",
        "provider": "openai",
        "pool": "main",
        "model": "gpt-4o-mini",
        "state": "running",
        "lines": 12_000,
        "done": 3_720,
        "submitted_at": "2026-11-27T21:04:00+00:00",
        "rescue_at": None,
        "trouble": None,
    }
    waiting = {**of, "id": "nat_2", "state": "packing", "done": None, "submitted_at": None}
    text = text_of(batch_summary(batch(native_batches=[of, {**waiting, "trouble": "no room"}])))
    assert "running at openai/main, gpt-4o-mini, 12,000 lines, 31% done, since" in text
    assert "packing at openai/main, gpt-4o-mini, 12,000 lines: no room" in text
    assert "nat_" not in text_of(batch_summary(batch(native_batches=None)))
