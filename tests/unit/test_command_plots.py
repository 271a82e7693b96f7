"""Plots of characters: what is high is high, and what is little known is not drawn."""

import io
from typing import Any

from rich.console import Console

from scripts.command.plots import bars, plots


def shown(marks: list[tuple[float, int]], latencies_ms: list[int]) -> str:
    data = [{"working_s": at_s, "done_jobs": done} for at_s, done in marks]
    progress: dict[str, Any] = {"data": data, "latencies_ms": latencies_ms}
    out = io.StringIO()
    Console(file=out, width=80, color_system=None).print(plots(progress))
    return out.getvalue()


def test_a_bar_is_as_high_as_its_share_of_the_highest() -> None:
    assert bars([0.0, 1.0, 4.0, 8.0]) == " ▂▅█"
    assert bars([0.0, 0.0]) == bars([]) == ""


def test_the_pace_is_drawn_in_stretches_of_the_same_length() -> None:
    text = shown([(4.0, 20), (8.0, 20), (12.0, 100)], [])
    assert "▃ █" in text
    assert "jobs over 12 s of work, 20/s at most" in text
    assert "latency" not in text


def test_latencies_are_drawn_with_the_median_and_the_tail() -> None:
    text = shown([], [100] * 95 + [10_000] * 5)
    assert "100 ms to 10 s; half take up to 100 ms, 95% up to 100 ms" in text
    assert "pace" not in text


def test_of_a_batch_that_has_just_begun_nothing_is_drawn() -> None:
    assert shown([(4.0, 3)], []).strip() == ""


def test_plots_fit_eighty_columns() -> None:
    marks = [(4.0 * n, n * n) for n in range(1, 129)]
    text = shown(marks, list(range(1, 481)))
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("\n") == 4
