"""Figures on pages: short, and never more exact than true."""

from datetime import timedelta

import pytest

from api.dashboard import words
from jobs.clock import utcnow

NANOS = 1_000_000_000


@pytest.mark.parametrize(
    ("nanos", "written"),
    [
        (0, "$0.00"),
        (12 * NANOS + 345_000_000, "$12.35"),
        (1_234_567 * NANOS, "$1,234,567.00"),
        (206_000_000, "$0.206"),
        (600_000_000, "$0.60"),
        (8_360_000, "$0.0084"),
        (21_000, "$0.000021"),
        (1, "$0.000000001"),
        (-5_000_000, "-$0.005"),
        (None, "–"),
    ],
)
def test_an_amount_has_the_digits_that_say_something(nanos: int | None, written: str) -> None:
    assert words.usd(nanos) == written


@pytest.mark.parametrize(
    ("part", "whole", "written"),
    [
        (0, 0, "0 %"),
        (0, 10, "0 %"),
        (1, 1_000_000, "< 0.1 %"),
        (999_999, 1_000_000, "> 99.9 %"),
        (10, 10, "100 %"),
        (1, 20, "5.0 %"),
        (1, 3, "33 %"),
        (11, 10, "110 %"),
    ],
)
def test_what_is_not_nothing_is_not_told_as_nothing(part: int, whole: int, written: str) -> None:
    assert words.share(part, whole) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.25, "250 ms"),
        (2.04, "2.0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (86_400 * 3 + 3600, "3 d 1 h"),
    ],
)
def test_a_length_of_time_has_two_units_at_most(seconds: float, written: str) -> None:
    assert words.duration(seconds) == written


@pytest.mark.parametrize(
    ("low", "high", "written"),
    [
        (240, 420, "4 to 7 min"),
        (45, 300, "45 s to 5 min"),
        (300, 310, "about 5 min"),
        (0.1, 0.2, "about 1 s"),
        (3 * 3600, 3 * 86_400, "3 h to 3 d"),
    ],
)
def test_a_range_of_time_has_one_unit_where_both_ends_do(
    low: float, high: float, written: str
) -> None:
    assert words.between(low, high) == written


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "0"), (7, "7"), (950, "950"), (9999, "10k"), (12_345, "12.3k"), (4_567_000, "4.57M")],
)
def test_a_large_number_is_short(number: float, written: str) -> None:
    assert words.short(number) == written


@pytest.mark.parametrize(
    ("per_s", "written"), [(144.2, "144/s"), (3.75, "3.75/s"), (0.5, "30/min"), (0.01, "36/h")]
)
def test_a_pace_has_the_unit_that_says_something(per_s: float, written: str) -> None:
    assert words.rate(per_s) == written


def test_what_was_just_now_is_told_so() -> None:
    now = utcnow()
    assert words.ago(now, now) == "just now"
    assert words.ago(now - timedelta(minutes=3), now) == "3 min ago"
