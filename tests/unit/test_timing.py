"""How urgent a batch is: it rises as time runs out, and comes down only when there is clearly more."""

from datetime import datetime, timedelta

import pytest

from jobs.clock import UTC
from jobs.deadlines import RunWindow
from jobs.states import Priority
from jobs.timing import (
    Prospect,
    Times,
    held_by_window,
    held_for_price,
    prospect,
    ready_at,
    run_left_s,
    urgency,
)

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
HOUR_S = 3600.0
NIGHT = RunWindow.of("22:00-06:00 UTC")


def times(
    hours: float,
    left_h: float | None,
    priority: str = Priority.BULK,
    urgency: str | None = None,
    window: RunWindow | None = None,
) -> Times:
    """A batch with so many hours until its deadline, and so many hours of work."""
    left_s = None if left_h is None else left_h * HOUR_S
    deadline = NOW + timedelta(hours=hours)
    return Times(NOW - timedelta(hours=1), deadline, window, priority, urgency, left_s)


@pytest.mark.parametrize(
    ("batch", "wanted"),
    [
        (times(10, 1), None),
        (times(10, 4.9), None),
        (times(10, 5.1), Priority.NORMAL),
        (times(10, 7.8), Priority.HIGH),
        (times(10, 12), Priority.HIGH),
        (times(-1, 1), Priority.HIGH),  # over, and not to be later than it must
        (times(10, 0), None),
        (times(10, 5.1, Priority.NORMAL), None),  # its own is enough
        (times(10, 9, Priority.NORMAL), Priority.HIGH),
        (times(10, 9, Priority.HIGH), None),
        (times(-1, 1, Priority.INTERACTIVE), None),  # never below its own
        (times(10, 9, "newest"), None),
        (times(10, None), None),
        (times(0.9, None), Priority.NORMAL),
        (times(0.2, None), Priority.HIGH),
        (times(20, 4, window=NIGHT), Priority.NORMAL),  # of the twenty hours eight can be used
        (times(20, 7, window=NIGHT), Priority.HIGH),
    ],
)
def test_urgency_rises_as_time_runs_out(batch: Times, wanted: Priority | None) -> None:
    assert urgency(batch, NOW) == wanted


def test_figures_that_waver_do_not_let_urgency_waver() -> None:
    said: str | None = None
    changes = 0
    for turn in range(100):
        left_h = 5.0 + (0.3 if turn % 2 else -0.3)
        wanted = urgency(times(10, left_h, urgency=said), NOW)
        changes += wanted != said
        said = wanted
    assert changes == 1
    assert urgency(times(10, 3, urgency=said), NOW) is None  # and it comes down


def test_a_batch_waits_for_its_window() -> None:
    assert held_by_window(None, NOW) is None
    assert held_by_window(NIGHT, NOW) == NOW.replace(hour=22)
    assert held_by_window(NIGHT, NOW.replace(hour=23)) is None


def test_work_is_ready_after_the_hours_that_it_takes() -> None:
    assert ready_at(NOW, HOUR_S, None) == NOW + timedelta(hours=1)
    assert ready_at(NOW, HOUR_S, NIGHT) == NOW.replace(hour=23)
    assert ready_at(NOW, 1e300, None) - NOW == timedelta(days=366)


@pytest.mark.parametrize(
    ("hours", "ready_h", "told"),
    [
        (2, (0.5, 1), Prospect.IN_TIME),
        (2, (1, 3), Prospect.TIGHT),
        (2, (2.5, 3), Prospect.LATE),
        (-1, (0.5, 1), Prospect.LATE),
        (2, None, Prospect.UNKNOWN),
    ],
)
def test_a_forecast_is_held_against_the_deadline(
    hours: float, ready_h: tuple[float, float] | None, told: Prospect
) -> None:
    ready = None
    if ready_h is not None:
        ready = (NOW + timedelta(hours=ready_h[0]), NOW + timedelta(hours=ready_h[1]))
    assert prospect(NOW + timedelta(hours=hours), ready, NOW) == told


def cost_at(moment: datetime) -> int:
    """Cheap from half past four in the afternoon until half past midnight, as a model was once."""
    return 5 if (moment.hour, moment.minute) >= (16, 30) or moment.hour == 0 else 10


@pytest.mark.parametrize(
    ("batch", "is_held", "waits_h"),
    [
        (times(10, 2), False, 4.5),
        (times(10, 3.6), False, 4.5),  # five and a half hours are left from then on
        (times(10, 3.8), False, None),
        (times(10, 4), True, 4.5),  # what waits goes on waiting for a while
        (times(10, 4.3), True, None),
        (times(4, 1), False, None),  # it is over before
        (times(10, None), False, None),
        (times(10, 0), False, None),
        (
            times(20, 2, window=RunWindow.of("12:00-17:30 UTC")),
            False,
            None,
        ),  # of it an hour is left
        (times(20, 0.5, window=RunWindow.of("12:00-17:30 UTC")), False, 4.5),
        (times(20, 0.5, window=RunWindow.of("12:00-15:00 UTC")), False, None),
        (times(20, 0.5, window=NIGHT), False, None),  # its window keeps it, and not the price
    ],
)
def test_a_batch_with_time_enough_waits_for_a_lower_price(
    batch: Times, is_held: bool, waits_h: float | None
) -> None:
    until = held_for_price(batch, NOW, cost_at, is_held=is_held)
    assert until == (None if waits_h is None else NOW + timedelta(hours=waits_h))


def test_the_cheap_hours_are_used_at_once() -> None:
    evening = NOW.replace(hour=17)
    assert held_for_price(times(30, 1), evening, cost_at, is_held=False) is None


@pytest.mark.parametrize(
    ("quoted_s", "quoted_jobs", "left_jobs", "worked_s", "left_s"),
    [
        (100.0, 50, 50, 0, 100.0),
        (100.0, 50, 25, 59, 50.0),  # too soon to tell a pace
        (100.0, 50, 25, 600, 600.0),  # it takes six times as long
        (100.0, 50, 48, 600, 96.0),  # too little was done to tell one
        (None, 50, 25, 600, 600.0),
        (None, 50, 50, 600, None),
        (100.0, 0, 0, 600, None),
    ],
)
def test_what_is_left_of_a_run_is_told_by_its_pace_and_before_that_by_the_limits(
    quoted_s: float | None, quoted_jobs: int, left_jobs: int, worked_s: float, left_s: float | None
) -> None:
    assert run_left_s(quoted_s, quoted_jobs, left_jobs, worked_s) == left_s
