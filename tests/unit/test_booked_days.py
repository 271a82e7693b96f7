"""The ledger's and the caps' days beside the attempts: over midnights, months and several lines."""

from collections.abc import Iterable
from datetime import date, timedelta

from jobs.states import Outcome
from jobs.store.money.ledger import LedgerSums
from jobs.store.money.spending import DaySpend
from jobs.store.proof.booked_days import (
    LISTED,
    Line,
    SpendingBooks,
    ledger_violations,
    of_all_lines,
    spending_violations,
)
from jobs.store.proof.violations import Violation

LINE = Line("sim", "main", "small", Outcome.SUCCEEDED)
APRIL_30, MAY_1, MAY_2 = date(2026, 4, 30), date(2026, 5, 1), date(2026, 5, 2)
MAY_3 = MAY_2 + timedelta(days=1)


def sums(attempts: int, cost_nanos: int) -> LedgerSums:
    return LedgerSums(attempts=attempts, cost_nanos=cost_nanos)


def codes(found: Iterable[Violation]) -> list[str]:
    return [violation.code for violation in found]


def compared(booked: dict[date, LedgerSums], made: dict[date, LedgerSums]) -> list[Violation]:
    return list(ledger_violations({LINE: booked}, {LINE: made}))


def test_a_call_over_midnight_is_booked_on_the_day_after_it_was_sent() -> None:
    booked = {MAY_1: sums(1, 5), MAY_2: sums(2, 8)}
    made = {MAY_1: sums(2, 9), MAY_2: sums(1, 4)}
    assert compared(booked, made) == []


def test_days_that_no_call_connects_are_compared_one_by_one() -> None:
    booked = {MAY_1: sums(1, 6), MAY_2: sums(1, 4)}
    made = {MAY_1: sums(1, 5), MAY_2: sums(1, 5)}
    found = compared(booked, made)
    assert codes(found) == ["drift_ledger_day"] * 2
    assert "sim/main/small, succeeded, 2026-05-01: cost_nanos +1" in found[0].message


def test_a_day_that_lost_an_attempt_is_told_to_the_end_of_what_it_touches() -> None:
    (found,) = compared({MAY_2: sums(1, 5)}, {MAY_1: sums(1, 5), MAY_2: sums(1, 5)})
    assert "2026-05-01 to 2026-05-02: attempts -1, cost_nanos -5" in found.message


def test_nothing_is_booked_before_it_was_sent() -> None:
    assert codes(compared({MAY_1: sums(1, 5)}, {MAY_2: sums(1, 5)})) == ["booked_before_sent"]


def test_a_sum_below_zero_is_told_also_where_the_line_adds_up() -> None:
    booked = {MAY_1: sums(1, -1), MAY_2: sums(0, 6)}
    made = {MAY_1: sums(1, 5)}
    assert "negative_ledger" in codes(compared(booked, made))


def test_a_row_of_nothing_is_nothing() -> None:
    assert compared({MAY_1: sums(0, 0)}, {}) == []


def test_of_many_contradictions_the_first_are_told_and_the_rest_counted() -> None:
    booked = {APRIL_30 + timedelta(days=day): sums(1, 1) for day in range(LISTED + 5)}
    made = {day: sums(1, 2) for day in booked}
    found = compared(booked, made)
    assert len(found) == LISTED + 1
    assert found[-1].count == 5


def spending(
    days: dict[date, int],
    made: dict[date, int],
    *,
    today: date = MAY_3,
    booked: dict[date, LedgerSums] | None = None,
) -> list[str]:
    of_days = {LINE: {day: sums(1, nanos) for day, nanos in made.items()}}
    books = SpendingBooks(
        today=today,
        is_capped=True,
        days={day: DaySpend(nanos) for day, nanos in days.items()},
        booked=of_all_lines(of_days) if booked is None else booked,
        made=of_all_lines(of_days),
        open_nanos={},
    )
    return codes(spending_violations(books))


def test_an_account_says_of_each_day_what_its_calls_have_cost() -> None:
    assert spending({MAY_1: 5, MAY_2: 6}, {MAY_1: 5, MAY_2: 6}) == []
    assert spending({MAY_1: 6, MAY_2: 5}, {MAY_1: 5, MAY_2: 6}) == ["drift_spend_day"] * 2
    assert spending({MAY_1: 5}, {MAY_1: 5, MAY_2: 6}) == ["drift_spend_day"]


def test_an_account_knows_nothing_of_the_months_before_it() -> None:
    assert spending({MAY_1: 5}, {APRIL_30: 9, MAY_1: 5}) == []
    assert spending({}, {APRIL_30: 9}) == []
    assert spending({}, {APRIL_30: 9, MAY_1: 5}) == ["drift_spend_day"]


def test_of_months_that_are_over_only_too_much_is_seen() -> None:
    """The account may hold of them what was in flight when it was opened, and corrections."""
    made = {APRIL_30: 9, MAY_1: 5}
    assert spending({APRIL_30: 2, MAY_1: 5}, made) == []
    assert spending({APRIL_30: -2, MAY_1: 5}, made) == []
    assert spending({APRIL_30: -2}, made, today=date(2026, 6, 1)) == []
    assert spending({APRIL_30: 10, MAY_1: 5}, made) == ["drift_spend_day"]
    assert spending({APRIL_30: 2, MAY_1: 4}, made) == ["drift_spend_day"]
    assert spending({APRIL_30: 2}, {APRIL_30: 9}, today=APRIL_30) == ["drift_spend_day"]


def test_calls_over_the_midnight_before_the_account_may_count_as_its_months() -> None:
    booked = {MAY_1: sums(2, 14)}
    assert spending({MAY_1: 14}, {APRIL_30: 9, MAY_1: 5}, booked=booked) == []
