"""The wishes to wait, in all their forms, and the ones that no one can mean."""

from datetime import UTC, datetime

import pytest

from workers.protocols import hints

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        pytest.param("7", 7, id="seconds"),
        pytest.param(" 1.5 ", 1.5, id="with a fraction"),
        pytest.param("Mon, 23 Nov 2026 12:00:30 GMT", 30, id="HTTP date"),
        pytest.param("Mon, 23 Nov 2026 12:00:30 -0000", 30, id="HTTP date without a zone"),
        pytest.param("Monday, 23-Nov-26 12:00:30 GMT", 30, id="RFC 850 date"),
        pytest.param("Mon Nov 23 12:00:30 2026", 30, id="asctime date"),
        pytest.param("Mon, 23 Nov 2026 11:59:00 GMT", None, id="in the past"),
        pytest.param("0", None, id="zero"),
        pytest.param("-5", None, id="negative"),
        pytest.param("NaN", None, id="NaN"),
        pytest.param("inf", None, id="infinite"),
        pytest.param("1e3", None, id="exponent"),
        pytest.param("1_000", None, id="underscore"),
        pytest.param("１２", None, id="digits of another script"),
        pytest.param("soon", None, id="a word"),
        pytest.param("", None, id="empty"),
        pytest.param("Mon, 99 Nov 2026 12:00:30 GMT", None, id="no such day"),
        pytest.param("90000", 86_400, id="more than a day is cut"),
        pytest.param("1000000000", None, id="10^9 is no wish"),
        pytest.param("9" * 5000, None, id="digits without end"),
        pytest.param(None, None, id="missing"),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_nothing(
    value: str | None, wait_s: float | None
) -> None:
    assert hints.retry_after(value, NOW) == wait_s


@pytest.mark.parametrize(
    ("headers", "message", "wait_s"),
    [
        pytest.param({"retry-after-ms": "250", "retry-after": "1"}, "", 0.25, id="the finer one"),
        pytest.param({"retry-after-ms": "x", "retry-after": "2"}, "", 2, id="the readable one"),
        pytest.param({"retry-after-ms": "0", "retry-after": "2"}, "", 2, id="the positive one"),
        pytest.param({"retry-after": "2"}, "try again in 9s", 2, id="header before text"),
        pytest.param({"retry-after": "-1"}, "try again in 9s", 9, id="text for lack of a header"),
        pytest.param({}, "", None, id="nothing"),
    ],
)
def test_the_best_hint_wins(headers: dict[str, str], message: str, wait_s: float | None) -> None:
    assert hints.wait_hint(headers, message, NOW) == wait_s


@pytest.mark.parametrize(
    ("message", "wait_s"),
    [
        ("Rate limit reached. Please try again in 1.5s. Visit us.", 1.5),
        ("Please try again in 120ms.", 0.12),
        ("Please try again in 6m0s.", 360),
        ("Please retry in 10h17m5.7s.", 10 * 3600 + 17 * 60 + 5.7),
        ("retry in 20 seconds", 20),
        ("Try again in 1 second.", 1),
        ("try again in 3 minutes", None),
        ("try again in a while", None),
        ("try again in 0s", None),
        ("try again in 1.2.3s", None),
        ("Limit 30000, Requested 40000", None),
        ("", None),
    ],
)
def test_a_message_may_say_how_long(message: str, wait_s: float | None) -> None:
    assert hints.wait_in_words(message) == (None if wait_s is None else pytest.approx(wait_s))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("20ms", 0.02),
        ("2m52.8s", 172.8),
        ("1h2m3s", 3723),
        ("1d2h", 93_600),
        ("17.264894187s", 17.264894187),
        ("1s500ms", 1.5),
        ("0s", 0),
        ("12", 12),
        ("1.5", 1.5),
        ("", None),
        (None, None),
        ("s", None),
        ("-1s", None),
        ("1s2m", None),
        ("1x", None),
        ("NaNs", None),
        ("1e3s", None),
        ("9" * 5000 + "s", None),
    ],
)
def test_durations_are_read_as_go_writes_them(text: str | None, seconds: float | None) -> None:
    assert hints.duration(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        pytest.param(
            datetime(2026, 11, 23, 12, tzinfo=UTC), 20, id="winter: midnight is 08:00 UTC"
        ),
        pytest.param(datetime(2026, 7, 1, 12, tzinfo=UTC), 19, id="summer: midnight is 07:00 UTC"),
        pytest.param(datetime(2026, 11, 1, 7, tzinfo=UTC), 25, id="the day the clocks go back"),
        pytest.param(datetime(2026, 3, 8, 8, tzinfo=UTC), 23, id="the day they go forward"),
    ],
)
def test_geminis_day_ends_at_midnight_in_california(now: datetime, hours: int) -> None:
    assert hints.until_midnight_pacific_s(now) == hours * 3600
