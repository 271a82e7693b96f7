"""When schedules are due."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobs.pipelines.cron import HORIZON, check_cron, newest_due, next_due, zone_named

PARIS = ZoneInfo("Europe/Paris")
NIGHTLY = "0 22 * * *"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("0 22 * *", "has 4 fields"),
        ("0 0 22 * * *", "has 6 fields"),
        ("0 25 * * *", "Bad hour"),
        ("0 0 31 2 *", "Bad day"),
        ("every night at two o'clock", "is no cron expression"),
    ],
)
def test_what_is_wrong_with_an_expression_is_told(cron: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_cron(cron)


@pytest.mark.parametrize("cron", [NIGHTLY, "*/5 * * * *", "0 6 L * *", "0 0 29 2 *"])
def test_an_expression_that_is_due_some_time_is_taken(cron: str) -> None:
    assert check_cron(cron) == cron


@pytest.mark.parametrize("name", ["Paris", "", "../../etc/passwd", "Europe/" + "x" * 300])
def test_there_is_no_such_zone(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone"):
        zone_named(name)


def test_a_schedule_is_due_by_the_clocks_of_its_zone() -> None:
    assert next_due(NIGHTLY, PARIS, utc("2026-07-01T12:00")) == utc("2026-07-01T20:00")
    assert next_due(NIGHTLY, PARIS, utc("2026-12-01T12:00")) == utc("2026-12-01T21:00")


def test_a_time_that_the_clocks_skip_is_due_when_they_have_jumped() -> None:
    # On 29 March 2026 there was no 02:30 in Paris.
    assert next_due("30 2 * * *", PARIS, utc("2026-03-28T12:00")) == utc("2026-03-29T01:00")


def test_a_time_that_comes_twice_is_due_once() -> None:
    # On 25 October 2026 it was 02:30 in Paris at 00:30 and at 01:30 UTC.
    first = next_due("30 2 * * *", PARIS, utc("2026-10-24T12:00"))
    assert first == utc("2026-10-25T00:30")
    assert next_due("30 2 * * *", PARIS, first) == utc("2026-10-26T01:30")


@pytest.mark.parametrize(
    "clock", ["00:30:00", "00:59:59.5", "01:00:00", "01:29:59", "01:30:00", "03:00"]
)
def test_while_an_hour_comes_again_what_was_due_in_it_is_caught_up(clock: str) -> None:
    since, until = utc("2026-10-24T12:00"), utc(f"2026-10-25T{clock}")
    found = newest_due("30 2 * * *", PARIS, since=since, until=until)
    assert found == utc("2026-10-25T00:30")


def test_of_missed_times_the_newest_is_due() -> None:
    since, until = utc("2026-11-26T12:00"), utc("2026-11-28T09:00")
    assert newest_due(NIGHTLY, PARIS, since=since, until=until) == utc("2026-11-27T21:00")


@pytest.mark.parametrize(
    ("late", "is_due"),
    [
        (timedelta(0), True),
        (timedelta(microseconds=1), True),
        (timedelta(microseconds=-1), False),
        (HORIZON - timedelta(microseconds=1), True),
        (HORIZON, False),
    ],
)
def test_a_time_is_due_from_its_moment_up_to_the_horizon(late: timedelta, is_due: bool) -> None:
    weekly, due = "0 21 * * 5", utc("2026-11-27T21:00")
    found = newest_due(weekly, ZoneInfo("UTC"), since=utc("2026-01-01T00:00"), until=due + late)
    assert found == (due if is_due else None)


def test_within_the_second_before_it_is_due_the_time_before_is_the_newest() -> None:
    since, until = utc("2026-11-27T20:00"), utc("2026-11-27T21:04:59.500000")
    assert newest_due("*/5 * * * *", PARIS, since=since, until=until) == utc("2026-11-27T21:00")


def test_what_was_due_before_a_schedule_was_known_is_not_caught_up() -> None:
    since = utc("2026-11-27T21:00")
    assert newest_due(NIGHTLY, PARIS, since=since, until=utc("2026-11-28T09:00")) is None
