"""Which cap has no room, when it has again, and how a batch says so."""

from datetime import UTC, date, datetime

import pytest

from jobs.budget import Cap, next_day, next_month, sentence, without_room
from jobs.money import short_usd
from jobs.states import PauseCause

DOLLAR = 1_000_000_000
MIDNIGHT = datetime(2026, 12, 1, tzinfo=UTC)


def test_a_call_that_takes_exactly_what_is_left_has_room() -> None:
    caps = [
        Cap(PauseCause.BATCH_BUDGET, limit_nanos=100, used_nanos=40),
        Cap(PauseCause.DAILY_BUDGET, limit_nanos=50, used_nanos=0, resets_at=MIDNIGHT),
    ]
    assert without_room(caps, 50) is None
    assert without_room(caps, 51) is caps[1]
    assert without_room(caps, 61) is caps[0]


def test_below_what_is_spent_nothing_has_room() -> None:
    lowered = Cap(PauseCause.BATCH_BUDGET, limit_nanos=10, used_nanos=40)
    assert without_room([lowered], 1) is lowered
    assert "$0.00000003 more than that is used already" in sentence(lowered, 1)


@pytest.mark.parametrize(
    ("cause", "resets_at", "said"),
    [
        (PauseCause.BATCH_BUDGET, None, "its budget of $5.00 is used up: "),
        (
            PauseCause.DAILY_BUDGET,
            MIDNIGHT,
            "the project's budget of $5.00 a day is used up until 00:00 UTC: ",
        ),
        (
            PauseCause.MONTHLY_BUDGET,
            MIDNIGHT,
            "the project's budget of $5.00 a month is used up until 2026-12-01 00:00 UTC: ",
        ),
    ],
)
def test_the_sentence_names_the_cap_its_figure_and_its_end(
    cause: PauseCause, resets_at: datetime | None, said: str
) -> None:
    cap = Cap(cause, 5 * DOLLAR, 5 * DOLLAR - 7, resets_at)
    rest = "the next call may cost $0.25, $0.000000007 is left"
    assert sentence(cap, DOLLAR // 4) == said + rest


@pytest.mark.parametrize(
    ("day", "tomorrow", "month"),
    [
        (date(2026, 1, 31), (2026, 2, 1), (2026, 2, 1)),
        (date(2028, 2, 28), (2028, 2, 29), (2028, 3, 1)),
        (date(2026, 11, 30), (2026, 12, 1), (2026, 12, 1)),
        (date(2026, 12, 31), (2027, 1, 1), (2027, 1, 1)),
    ],
)
def test_days_and_months_end_at_midnight_utc(
    day: date, tomorrow: tuple[int, int, int], month: tuple[int, int, int]
) -> None:
    assert next_day(day) == datetime(*tomorrow, tzinfo=UTC)
    assert next_month(day) == datetime(*month, tzinfo=UTC)


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.00"),
        (5 * DOLLAR, "5.00"),
        (DOLLAR // 2, "0.50"),
        (1, "0.000000001"),
        (-10, "-0.00000001"),
    ],
)
def test_short_amounts_have_the_places_that_they_need(nanos: int, text: str) -> None:
    assert short_usd(nanos) == text
