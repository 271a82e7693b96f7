"""Budgets: which cap has no room for a call, when it has again, and the sentence that says so. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from jobs.clock import UTC
from jobs.money import short_usd
from jobs.states import PauseCause


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap and what is used of it: spent, or reserved for calls in flight.

    `resets_at` is when a project's cap begins anew; None for a batch's, which never does.
    """

    cause: PauseCause
    limit_nanos: int
    used_nanos: int
    resets_at: datetime | None = None

    @property
    def left_nanos(self) -> int:
        """What is left; negative after the cap was lowered below what is used."""
        return self.limit_nanos - self.used_nanos


def without_room(caps: Iterable[Cap], needed_nanos: int) -> Cap | None:
    """Return the first of `caps` that has no room for a call of this worst case."""
    return next((cap for cap in caps if needed_nanos > cap.left_nanos), None)


def sentence(cap: Cap, needed_nanos: int) -> str:
    """Return what a batch waits for while `cap` has no room for its next call."""
    limit = f"${short_usd(cap.limit_nanos)}"
    left = f"${short_usd(cap.left_nanos)} is left"
    if cap.left_nanos < 0:
        left = f"${short_usd(-cap.left_nanos)} more than that is used already"
    rest = f"the next call may cost ${short_usd(needed_nanos)}, {left}"
    if cap.resets_at is None:
        return f"its budget of {limit} is used up: {rest}"
    if cap.cause is PauseCause.DAILY_BUDGET:
        return f"the project's budget of {limit} a day is used up until 00:00 UTC: {rest}"
    first = cap.resets_at.date().isoformat()
    return f"the project's budget of {limit} a month is used up until {first} 00:00 UTC: {rest}"


def no_price(model: str) -> str:
    """Return why a call of a model (`PROVIDER/NAME`) isn't sent under a budget, and what helps."""
    return (
        f"the price of {model[:120]} is not known, and a budget can only hold what has one: "
        f'add [prices."{model[:120]}"] to the configuration, or lift the budget'
    )


def month_start(day: date) -> date:
    """Return the first day of a day's month."""
    return day.replace(day=1)


def next_day(day: date) -> datetime:
    """Return when the day after `day` begins."""
    return _midnight(day + timedelta(days=1))


def next_month(day: date) -> datetime:
    """Return when the month after that of `day` begins."""
    # 32 days after a first are always in the next month.
    return _midnight((day.replace(day=1) + timedelta(days=32)).replace(day=1))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
