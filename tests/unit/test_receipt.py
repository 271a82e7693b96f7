"""A receipt's figures: list price less savings is what was paid; deadlines are kept or missed."""

import io
from datetime import datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from jobs.clock import UTC
from jobs.receipt import (
    Deadlines,
    Due,
    Part,
    Work,
    deadline_of_run,
    kept_deadline,
    receipt,
    together,
)
from scripts.command.receipt import receipt_text

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def work(**values: Any) -> Work:
    plain: dict[str, Any] = dict.fromkeys(Work.__slots__, 0)
    due: dict[str, Any] = {"state": "completed", "deadline": None, "finished_at": NOON}
    due |= {name: values.pop(name) for name in due if name in values}
    return Work(**{**plain, **values, "due": Due(**due)})


def part(cost_nanos: int, model: str = "small", **values: Any) -> Part:
    return Part("sim", model, "live", 10, 100, 50, cost_nanos, **values)


def test_list_less_savings_is_what_was_paid() -> None:
    found = receipt(
        together(
            [
                work(jobs=10, succeeded=9, lane_saved_nanos=500, bad_nanos=30, bad_answers=1),
                work(
                    jobs=5, succeeded=5, cache_saved_nanos=-20, reuse_saved_nanos=70, not_called=2
                ),
            ]
        ),
        [part(400), part(600, "large", unknown_calls=1, unknown_nanos=40)],
    )
    assert (found.paid_nanos, found.saved_nanos, found.list_nanos) == (1000, 550, 1550)
    assert (found.wasted_nanos, found.jobs, found.succeeded, found.not_called) == (70, 15, 14, 2)
    assert [each.model for each in found.parts] == ["large", "small"]  # the dearest first
    assert found.saved_share == pytest.approx(550 / 1550)
    assert found.is_final


def test_nothing_has_no_share() -> None:
    found = receipt(together([]), [])
    assert (found.list_nanos, found.saved_share, found.is_final) == (0, None, True)


def test_deadlines_are_kept_missed_or_open() -> None:
    hour = timedelta(hours=1)
    found = receipt(
        together(
            [
                work(deadline=NOON + hour),
                work(deadline=NOON - hour),
                work(deadline=NOON - 2 * hour),
                work(deadline=NOON, state="expired"),
                work(deadline=NOON + hour, state="running", finished_at=None),
                work(deadline=NOON - hour, state="cancelled"),
                work(),
            ]
        ),
        [],
    )
    told = found.deadlines
    assert (told.kept, told.missed, told.open, told.worst_late_s) == (1, 3, 1, 7200.0)
    assert not found.is_final


@pytest.mark.parametrize(
    ("state", "due_in_h", "ended_in_h", "kept", "told"),
    [
        ("running", None, None, None, Deadlines()),
        ("running", 0, None, None, Deadlines(open=1)),
        ("waiting", -1, None, False, Deadlines(missed=1, worst_late_s=3600.0)),
        ("delivering", -2, None, False, Deadlines(missed=1, worst_late_s=7200.0)),
        ("completed", 0, 0, True, Deadlines(kept=1)),
        ("completed", -2, -1, False, Deadlines(missed=1, worst_late_s=3600.0)),
        ("failed", -2, -1, None, Deadlines()),
        ("cancelled", -2, -1, None, Deadlines()),
    ],
)
def test_a_runs_deadline_is_missed_as_soon_as_it_is_over(
    state: str,
    due_in_h: int | None,
    ended_in_h: int | None,
    kept: bool | None,
    told: Deadlines,
) -> None:
    due_at, ended_at = (
        None if hours is None else NOON + timedelta(hours=hours) for hours in (due_in_h, ended_in_h)
    )
    assert kept_deadline(state, due_at, ended_at, NOON) is kept
    assert deadline_of_run(state, due_at, ended_at, NOON) == told


def test_a_receipt_is_printed_with_what_saved_and_what_was_wasted() -> None:
    text = printed(
        {
            "id": "bat_1",
            "month": None,
            "is_final": False,
            "batches": 1,
            "jobs": 1000,
            "succeeded": 998,
            "not_called": 12,
            "list_usd": "2.000000000",
            "paid_usd": "1.000000000",
            "unpriced_calls": 3,
            "saved": {
                "lanes_usd": "1.010000000",
                "caches_usd": "-0.010000000",
                "answers_usd": "0.000000000",
                "total_usd": "1.000000000",
                "share": 0.5,
            },
            "wasted": {
                "bad_answers": 3,
                "bad_answers_usd": "0.000180000",
                "unknown_calls": 0,
                "unknown_calls_usd": "0.000000000",
            },
            "deadlines": {"kept": 0, "missed": 1, "open": 0, "worst_late_s": 90.0},
            "parts": [
                {
                    "provider": "openai",
                    "model": "small",
                    "lane": "batch",
                    "calls": 988,
                    "input_tokens": 25_000,
                    "output_tokens": 61_000,
                    "cost_usd": "1.000000000",
                }
            ],
        }
    )
    for part_of_it in (
        "it has not ended",
        "− $1.01",
        "+ $0.01",
        "$1.00, 50.0% below list",
        "$0.00018 for 3 bad answers",
        "1 missed",
        "openai/small",
    ):
        assert part_of_it in text
    assert "answers that were there" not in text


def printed(found: dict[str, Any]) -> str:
    out = io.StringIO()
    Console(file=out, width=120, markup=False).print(receipt_text(found))
    return out.getvalue()
