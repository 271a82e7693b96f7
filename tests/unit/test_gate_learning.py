"""What of a provider's headers is believed."""

import pytest

from workers.gate.gate import Reading
from workers.gate.learning import Lesson, lessons


def test_a_limit_is_one_per_minute_unless_something_says_otherwise() -> None:
    assert lessons([Reading("requests", 500, 499, 0.12)]) == [Lesson("rpm", 500, 499)]
    assert lessons([Reading("tokens", 150_000, None, None)]) == [Lesson("tpm", 150_000, None)]


@pytest.mark.parametrize(
    ("period_s", "dimension"), [(1.0, "rps"), (60.0, "rpm"), (3_600.0, "rph"), (86_400.0, "rpd")]
)
def test_a_window_in_the_headers_name_counts(period_s: float, dimension: str) -> None:
    assert lessons([Reading("requests", 10, 5, None, period_s)]) == [Lesson(dimension, 10, 5)]


def test_the_time_to_the_reset_tells_a_limit_per_day() -> None:
    # Half used, full again in half a day.
    assert lessons([Reading("requests", 1000, 500, 43_200.0)]) == [Lesson("rpd", 1000, 500)]


def test_a_bucket_of_one_second_is_not_taken_for_a_limit_per_second() -> None:
    assert lessons([Reading("requests", 3000, 0, 1.0)]) == [Lesson("rpm", 3000, 0)]


@pytest.mark.parametrize(
    "reading",
    [
        Reading("requests", -1, 5, 1.0),
        Reading("requests", 0, 0, 1.0),
        Reading("requests", 10**18, 5, 1.0),
        Reading("requests", None, None, 1.0),
        Reading("unheard", 10, 5, 1.0),
        Reading("tokens", 10, 5, 1.0, 7.0),
    ],
)
def test_what_can_not_be_is_left_out(reading: Reading) -> None:
    assert lessons([reading]) == []


@pytest.mark.parametrize("remaining", [-1, 501])
def test_an_absurd_rest_does_not_spoil_the_limit(remaining: int) -> None:
    assert lessons([Reading("requests", 500, remaining, -4.0)]) == [Lesson("rpm", 500, None)]


def test_of_two_limits_the_smaller_counts() -> None:
    readings = [Reading("tokens", 1000, 10, None), Reading("project_tokens", 400, 5, None)]
    assert lessons(readings) == [Lesson("tpm", 400, 5)]
    assert lessons(readings[::-1]) == [Lesson("tpm", 400, 5)]
