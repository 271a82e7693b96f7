"""Many batches at once: a board that fits eighty columns and the lines there are, and lines for a log."""

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from scripts.command.board import Board, Paces, drawn, plain_lines

ENDINGS = ("succeeded", "failed", "cancelled", "expired")

POOL = {
    "provider": "openai",
    "pool": "main",
    "models": None,
    "dimensions": [
        {"name": "rpm", "configured": 500, "learned": None, "rate": 450.0, "share_used": 0.9}
    ],
    "in_flight": 3,
    "in_flight_limit": None,
    "binding": "rpm",
    "breaker": "open",
    "reason": "the quota is used up",
    "blocked_until": None,
}


def batch(name: str, state: str = "running", **more: Any) -> dict[str, Any]:
    counts = dict.fromkeys(ENDINGS, 0) | {"succeeded": 617_123, "failed": 1234}
    usage = dict.fromkeys(
        ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens"), 1
    )
    return {
        "id": f"bat_{name:x<26}",
        "name": name,
        "state": state,
        "counts": {"total": 1_000_000, **counts, "running": 0, "waiting": 0},
        "usage": usage,
        "cost_usd": "1234.560000000",
        "unpriced_jobs": 0,
        "waiting_for": None,
        "eta": {"low": 7140.0, "high": 7199.0},
        "final_cost_usd": {"low": "2000.000000000", "high": "2100.000000000"},
        **more,
    }


def shown(batches: Sequence[dict[str, Any]], height: int = 30, pools: bool = True) -> list[str]:
    paces = Paces()
    for second in range(3):
        paces.add(float(second), batches)
    out = io.StringIO()
    board = Board(batches, [POOL] if pools else [], paces)
    Console(file=out, width=80, color_system=None).print(drawn(board, height))
    return out.getvalue().splitlines()


def test_at_eighty_columns_every_figure_is_whole() -> None:
    lines = shown([batch("night shift", "cancelling", waiting_for="the limit of a pool " * 5)])
    assert max(map(len, lines)) <= 80
    (row,) = (line for line in lines if "cancelling" in line)
    assert row.endswith("618k/1M  1.23k      0   $1,235 119 to 120 min")
    assert any("$2,000 to $2,100 in all" in line for line in lines)


def test_what_is_unfinished_comes_first_and_only_it_has_a_second_line() -> None:
    lines = shown([batch("done", "completed", eta=None), batch("open")])
    assert lines[0].startswith("1 of 2 batches unfinished")
    places = [
        next(i for i, line in enumerate(lines) if line.startswith(n)) for n in ("open", "done")
    ]
    assert places == sorted(places)
    assert sum("bat_" in line for line in lines) == 1


@pytest.mark.parametrize("height", [20, 30, 50])
def test_a_board_is_never_higher_than_the_terminal(height: int) -> None:
    lines = shown([batch(f"b{number}") for number in range(100)], height)
    assert len(lines) <= height
    assert "below have no room" in lines[0]


def test_pools_are_below_with_the_share_that_is_used_and_why_they_wait() -> None:
    lines = shown([batch("a")])
    (pool,) = (line for line in lines if "openai/main" in line and "90.0%" in line)
    assert "━" in pool
    assert any("the quota is used up" in line for line in lines)


def test_a_log_gets_a_line_for_each_batch_whose_end_it_was_not_told() -> None:
    batches = [batch("a", waiting_for="a worker"), batch("b"), batch("c", "completed")]
    lines = plain_lines(Board(batches, [], Paces()), {batches[2]["id"]})
    assert len(lines) == 2
    assert lines[0].startswith(f"bat_{'a':x<26} running: 618,357/1,000,000 done, 1,234 failed")
    assert lines[0].endswith("119 to 120 min left, $2,000 to $2,100 in all; waiting for: a worker")
