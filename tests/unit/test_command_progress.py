"""The figures of a running batch, and the lines that a log gets."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from scripts.command.progress import (
    PLAIN_LINE_EVERY_S,
    LiveBar,
    Pace,
    PlainLines,
    Standing,
    display,
    duration,
    figures,
)


def standing(done: int = 0, state: str = "running", failed: int = 0) -> Standing:
    return Standing(
        state=state,
        total=100,
        done=done,
        failed=failed,
        tokens=12345,
        cost_usd="0.000120000",
        unpriced=0,
        waiting_for="",
    )


def test_a_pace_needs_two_moments() -> None:
    pace = Pace()
    pace.add(0.0, 0)
    assert pace.jobs_per_s() is None
    pace.add(2.0, 10)
    assert pace.jobs_per_s() == 5.0


def test_a_pace_forgets_what_is_older_than_its_window() -> None:
    pace = Pace()
    for second in range(60):
        pace.add(float(second), second)
    for second in range(60, 80):
        pace.add(float(second), 60 + 10 * (second - 60))
    assert pace.jobs_per_s() == pytest.approx(10.0)


def test_a_batch_that_stands_still_has_a_pace_of_zero_and_no_time_left() -> None:
    pace = Pace()
    for second in range(30):
        pace.add(float(second), 7)
    assert pace.jobs_per_s() == 0.0
    assert "left" not in figures(standing(7), pace.jobs_per_s())


@pytest.mark.parametrize(
    ("done", "jobs_per_s", "expected"),
    [
        (0, None, "0 failed, 12,345 tokens, $0.00012"),
        (40, 2.0, "0 failed, 2.0 jobs/s, 12,345 tokens, $0.00012, 30 s left"),
        (100, 2.0, "0 failed, 2.0 jobs/s, 12,345 tokens, $0.00012"),
    ],
)
def test_figures_tell_what_is_known(done: int, jobs_per_s: float | None, expected: str) -> None:
    assert figures(standing(done), jobs_per_s) == expected


def test_the_servers_forecast_is_told_instead_of_the_pace() -> None:
    seen = replace(standing(40), time_left="2 to 3 min", in_all="$0.42 to $0.45")
    assert figures(seen, 2.0).endswith(", 2 to 3 min left, $0.42 to $0.45 in all")


def test_at_eighty_columns_a_bar_has_all_figures() -> None:
    out = io.StringIO()
    with display(Console(file=out, force_terminal=True, width=80)) as shown:
        shown.show(replace(standing(40), time_left="2 to 3 min", in_all="$0.42 to $0.45"), 2.0)
    assert "…" not in out.getvalue()
    assert "in all" in out.getvalue()


@pytest.mark.parametrize(
    ("cost_usd", "unpriced", "expected"),
    [
        ("0.010000000", 13, "≥ $0.01 (13 unpriced)"),
        ("0.010000000", 0, "$0.01"),
        (None, 13, "unknown"),
    ],
)
def test_figures_mark_a_cost_that_is_not_all_known(
    cost_usd: str | None, unpriced: int, expected: str
) -> None:
    seen = replace(standing(), cost_usd=cost_usd, unpriced=unpriced)
    assert figures(seen, None).endswith(f"tokens, {expected}")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_a_duration_is_told_in_two_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_a_log_gets_a_line_every_few_seconds_and_at_each_change_of_state() -> None:
    out, now_s = io.StringIO(), [0.0]
    lines = PlainLines(Console(file=out), clock=lambda: now_s[0])
    for second, state in [
        (0.0, "queued"),
        (0.5, "queued"),
        (1.0, "running"),
        (2.0, "running"),
        (1.0 + PLAIN_LINE_EVERY_S, "running"),
        (1.5 + PLAIN_LINE_EVERY_S, "running"),
        (2.0 + PLAIN_LINE_EVERY_S, "completed"),
    ]:
        now_s[0] = second
        lines.show(standing(int(second), state), None)
    said = [line.split(",")[0] for line in out.getvalue().splitlines()]
    assert said == [
        "queued: 0/100 done",
        "running: 1/100 done",
        "running: 6/100 done",
        "completed: 7/100 done",
    ]


def test_a_terminal_gets_a_bar_with_the_figures() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with display(console) as shown:
        assert isinstance(shown, LiveBar)
        shown.show(standing(40, failed=3), 2.0)
        shown.note("the server is back")
    assert "40/100" in out.getvalue()
    assert "3 failed" in out.getvalue()
    assert "30 s left" in out.getvalue()
    assert "the server is back" in out.getvalue()


def test_what_is_no_terminal_gets_lines() -> None:
    with display(Console(file=io.StringIO())) as shown:
        assert isinstance(shown, PlainLines)
