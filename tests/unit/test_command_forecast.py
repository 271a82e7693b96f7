"""What the server tells of a batch's end, in words."""

from typing import Any

import pytest

from scripts.command.forecast import ahead, by_deadline, how_good

COST = {"low": "0.420400000", "high": "0.449000000"}


@pytest.mark.parametrize(
    ("eta", "final_cost", "said"),
    [
        ({"low": 121.0, "high": 178.0}, COST, "2 to 3 min left, $0.420 to $0.449 in all"),
        ({"low": 31.0, "high": 38.5}, None, "31 to 38 s left"),
        (None, {"low": "0.100000000", "high": "0.100000000"}, "about $0.100 in all"),
        (None, None, ""),
    ],
)
def test_an_end_is_told_as_ranges(eta: Any, final_cost: Any, said: str) -> None:
    assert ahead({"eta": eta, "final_cost_usd": final_cost}) == said


def test_nothing_is_said_where_a_server_tells_nothing() -> None:
    assert (ahead({}), how_good({}), how_good({"forecast": None})) == ("", "", "")


def test_of_an_ended_batch_it_is_said_how_good_forecasts_were() -> None:
    judged = {"looks": 120, "time_held": 0.942, "cost_held": 1.0, "time_error": 0.061}
    assert how_good({"forecast": judged}) == (
        "the time held 94% of 120 times, 6% off in the median; the cost held 100%"
    )


@pytest.mark.parametrize(
    ("timing", "said", "style"),
    [
        (None, "", ""),
        ({"prospect": "in_time", "late_s": 0}, ", ready 04:10 to 04:40", "green"),
        ({"prospect": "tight", "late_s": 0}, ", ready 04:10 to 04:40, it may be late", "yellow"),
        ({"prospect": "late", "late_s": 720}, ", ready 04:10 to 04:40, late by 12 min", "red"),
        ({"prospect": "missed", "late_s": 0, "ready_low": None}, ", missed", "red"),
        ({"prospect": "kept", "late_s": 0, "ready_low": None}, ", kept", "green"),
        ({"prospect": "newest", "late_s": 0, "ready_low": None}, "", ""),
    ],
)
def test_a_deadline_is_told_in_the_colour_that_it_means(
    timing: Any, said: str, style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.command.forecast.local_time", lambda text: text.replace("T", " "))
    ready = {"ready_low": "2026-11-28T04:10:00", "ready_high": "2026-11-28T04:40:00"}
    told = by_deadline(
        {
            "deadline": "2026-11-28T05:00:00",
            "timing": None if timing is None else {**ready, **timing},
        }
    )
    assert (told.plain, told.style) == (f"2026-11-28 05:00:00{said}", style)
    assert not by_deadline({"deadline": None}).plain
