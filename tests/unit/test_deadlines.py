"""What people say of times becomes moments, also on the nights on which clocks are set."""

from datetime import datetime, timedelta

import pytest

from jobs.clock import UTC
from jobs.deadlines import Deadline, RunWindow

NOW = datetime(2026, 11, 28, 1, 30, tzinfo=UTC)
FORWARD = datetime(2027, 3, 28, 0, 0, tzinfo=UTC)
"""An hour before clocks in Paris are set from 2:00 to 3:00."""
BACK = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
"""An hour before clocks in Paris are set from 3:00 to 2:00."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("said", "now", "meant"),
    [
        ("2026-12-01T06:00:00+01:00", NOW, at("2026-12-01T05:00:00Z")),
        ("2026-12-01T05:00Z", NOW, at("2026-12-01T05:00:00Z")),
        ("06:00 Europe/Paris", NOW, at("2026-11-28T05:00:00Z")),
        ("02:30 Europe/Paris", NOW, at("2026-11-29T01:30:00Z")),  # now itself is no time ahead
        ("06:00 America/Los_Angeles", NOW, at("2026-11-28T14:00:00Z")),
        ("06:00 Europe/Paris", FORWARD, at("2027-03-28T04:00:00Z")),
        ("02:30 Europe/Paris", FORWARD, at("2027-03-28T01:30:00Z")),  # there is none: 3:30
        ("06:00 Europe/Paris", BACK, at("2026-10-25T05:00:00Z")),
        ("02:30 Europe/Paris", BACK, at("2026-10-25T00:30:00Z")),  # the first of two
    ],
)
def test_a_deadline_is_a_moment_or_the_next_time_of_day(
    said: str, now: datetime, meant: datetime
) -> None:
    found = Deadline.of(said).after(now)
    assert (found, found.tzinfo) == (meant, UTC)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "tomorrow",
        "06:00",
        "6:00 Europe/Paris",
        "24:00 Europe/Paris",
        "06:00 Europe/Atlantis",
        "06:00 ../../etc/passwd",
        "06:00 Europe",
        "2026-12-01T06:00:00",  # whose six o'clock?
        "2026-12-01",
        "0001-01-01T00:00:00+23:00",
        "06:00 \0",
    ],
)
def test_what_is_no_time_is_told_so(said: str) -> None:
    with pytest.raises(ValueError, match="such as `2026-12-01T06:00:00"):
        Deadline.of(said)


@pytest.mark.parametrize("said", ["2026-11-28T01:30:00Z", "2027-12-01T00:00:00Z"])
def test_a_deadline_that_is_over_or_far_too_far_away_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match=r"is over|more than a year"):
        Deadline.of(said).after(NOW)


NIGHT = RunWindow.of("22:00-06:00 Europe/Paris")


@pytest.mark.parametrize(
    ("now", "is_open"),
    [
        ("2026-11-28T20:59:59Z", False),
        ("2026-11-28T21:00:00Z", True),
        ("2026-11-28T23:30:00Z", True),
        ("2026-11-29T04:59:59Z", True),
        ("2026-11-29T05:00:00Z", False),
        ("2026-11-29T12:00:00Z", False),
    ],
)
def test_a_window_may_pass_midnight(now: str, is_open: bool) -> None:
    assert NIGHT.is_open(at(now)) is is_open


def test_a_night_is_as_long_as_it_is() -> None:
    for since, hours in ((FORWARD, 7), (BACK, 9), (NOW, 8)):
        noon = since.replace(hour=12) - timedelta(days=1)
        assert NIGHT.open_s(noon, noon + timedelta(days=1)) == hours * 3600


def test_hours_that_a_clock_leaves_out_are_no_window() -> None:
    left_out = RunWindow.of("02:00-02:45 Europe/Paris")
    assert left_out.open_s(FORWARD, FORWARD + timedelta(hours=12)) == 45 * 60  # an hour later
    crossed = RunWindow.of("02:30-03:15 Europe/Paris")
    assert crossed.open_s(FORWARD, FORWARD + timedelta(hours=12)) == 0
    assert crossed.opens_after(FORWARD) == at("2027-03-29T00:30:00Z")


def test_work_goes_on_the_next_night() -> None:
    noon = at("2026-11-28T12:00:00Z")
    assert NIGHT.after_open_s(noon, 3600) == at("2026-11-28T22:00:00Z")
    assert NIGHT.after_open_s(noon, 8 * 3600) == at("2026-11-29T05:00:00Z")
    assert NIGHT.after_open_s(noon, 9 * 3600) == at("2026-11-29T22:00:00Z")
    assert NIGHT.after_open_s(noon, 1e9) > noon + timedelta(days=365)  # and it ends


@pytest.mark.parametrize(
    "said", ["", "22:00-06:00", "22-06 Europe/Paris", "22:00 Europe/Paris", "22:00-22:00 UTC"]
)
def test_what_is_no_window_is_told_so(said: str) -> None:
    with pytest.raises(ValueError, match=r"expected hours|leave it out"):
        RunWindow.of(said)


def test_a_window_is_kept_as_it_was_said() -> None:
    assert str(NIGHT) == "22:00-06:00 Europe/Paris"
