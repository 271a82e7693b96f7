"""What the server tells of a batch's end, in words."""

from typing import Any

import pytest

from scripts.command.forecast import ahead, how_good

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
