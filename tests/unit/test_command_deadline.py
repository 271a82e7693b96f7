"""A deadline as a person writes it."""

from datetime import UTC, datetime, timedelta

import pytest

from scripts.command.deadline import parse_deadline

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "after_now"),
    [
        ("30s", timedelta(seconds=30)),
        ("90m", timedelta(minutes=90)),
        ("15 min", timedelta(minutes=15)),
        (" 12h ", timedelta(hours=12)),
        ("2d", timedelta(days=2)),
        ("2026-03-01T13:00:00Z", timedelta(hours=1)),
        ("2026-03-01T15:00:00+02:00", timedelta(hours=1)),
    ],
)
def test_a_span_or_a_time_gives_a_moment(text: str, after_now: timedelta) -> None:
    deadline = parse_deadline(text, NOW)
    assert deadline == NOW + after_now
    assert deadline.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_this_machines() -> None:
    local = (NOW + timedelta(hours=1)).astimezone().replace(tzinfo=None)
    assert parse_deadline(local.isoformat(), NOW) == NOW + timedelta(hours=1)


@pytest.mark.parametrize("text", ["", "soon", "12", "h", "-1h", "1.5h", "1w", "2026-13-01"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="neither a span"):
        parse_deadline(text, NOW)


@pytest.mark.parametrize("text", ["0s", "2026-03-01T12:00:00Z", "2020-01-01"])
def test_the_past_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not in the future"):
        parse_deadline(text, NOW)
