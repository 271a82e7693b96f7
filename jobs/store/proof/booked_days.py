"""The ledger's days and a capped project's beside the attempts that they are the sums of. Pure.

An attempt is booked on the day on which it was settled, or on that on which it was sent: the rows
don't tell which. So days are compared from one midnight over which no attempt was open to the next:
where as many were booked until then as were sent until then, these are the same attempts.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date
from typing import NamedTuple

from jobs.budget import month_start
from jobs.exchange import Usage
from jobs.store.money.ledger import SUM_NAMES, LedgerSums
from jobs.store.money.spending import DaySpend
from jobs.store.proof.attempt_groups import AttemptGroup
from jobs.store.proof.violations import Violation, unless_zero

PROVEN_NAMES = tuple(name for name in SUM_NAMES if name != "cache_saved_nanos")
"""Sums that are worked out of the attempts alone. What caches saved is proven of batches, and the ledger's
sum of it by theirs: it may be below zero, and lacks the attempts of batches that are older than it."""

LISTED = 20
"""Of what contradicts the ledger, lines that are told; more are only counted."""


class Line(NamedTuple):
    """What the ledger keeps sums of, day by day."""

    provider: str
    pool: str
    model: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.provider}/{self.pool}/{self.model}, {self.outcome}"


Days = Mapping[date, LedgerSums]


class Span(NamedTuple):
    """Days from one quiet midnight to the next, both included."""

    first: date
    last: date

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.first <= day <= self.last

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"


def made_by_line(groups: Iterable[AttemptGroup]) -> dict[Line, dict[date, LedgerSums]]:
    """Return what the ledger must have of attempts that have ended, by the day of their sending."""
    lines: dict[Line, dict[date, LedgerSums]] = {}
    for group in groups:
        if group.outcome is not None:
            line = Line(group.provider, group.pool, group.model, group.outcome)
            sums = lines.setdefault(line, {}).setdefault(group.sent_on, LedgerSums())
            unpriced = group.attempts if group.is_unpriced else 0
            _add(
                sums,
                LedgerSums(
                    attempts=group.attempts,
                    unpriced_attempts=unpriced,
                    cost_nanos=group.cost_nanos,
                    **dict(zip(Usage.__struct_fields__, group.tokens, strict=True)),
                ),
            )
    return lines


def ledger_violations(
    booked: Mapping[Line, Days], made: Mapping[Line, Days]
) -> Iterator[Violation]:
    """Compare the ledger of a project with all of its attempts."""
    negative, early, drifted = [], [], []
    for line in sorted({*booked, *made}):
        booked_days, made_days = booked.get(line, {}), made.get(line, {})
        for day, sums in sorted(booked_days.items()):
            below = [name for name in PROVEN_NAMES if getattr(sums, name) < 0]
            negative += [f"{line}, {day}: {', '.join(below)}"] if below else []
        spans, is_early = _spans(booked_days, made_days)
        early += [str(line)] if is_early else []
        for span in spans:
            differences = _differences(_total(booked_days, span), _total(made_days, span))
            drifted += [f"{line}, {span}: {differences}"] if differences else []
    yield from _listed("negative_ledger", negative, "the ledger has sums below zero")
    yield from _listed("booked_before_sent", early, "the ledger has attempts before they were sent")
    yield from _listed("drift_ledger_day", drifted, "the ledger is not the sum of the attempts")


@dataclass(frozen=True, slots=True)
class SpendingBooks:
    """What is known of a project's spending by day.

    Attributes:
        today: the day (UTC) of the comparison.
        is_capped: whether the project has a cap, so that account is kept.
        days: the account.
        booked: all attempts of the project, by the days of the ledger.
        made: the same attempts, by the days of their sending.
        open_nanos: what is set aside for calls in flight, by the days of their sending.
    """

    today: date
    is_capped: bool
    days: Mapping[date, DaySpend]
    booked: Days
    made: Days
    open_nanos: Mapping[date, int]


def spending_violations(books: SpendingBooks) -> Iterator[Violation]:
    """Compare a capped project's account with its attempts.

    The account knows all of the present month, which is what caps look at: it was opened from the
    ledger's days of one month. Of earlier ones calls may be missing that it never knew; whatever it
    has too much is seen all the same.
    """
    if not books.is_capped:
        count = len(books.days)
        yield from unless_zero("stray_spend_days", count, "{} days are kept, and there is no cap")
        return
    this_month = month_start(books.today)
    drifted = []
    for span in _spans(books.booked, books.made, (*books.days, this_month))[0]:
        spent = sum(spend.spent_nanos for day, spend in books.days.items() if day in span)
        drift = spent - _total(books.made, span).cost_nanos
        if drift > 0 or (drift < 0 and span.first >= this_month):
            drifted.append(f"{span}: {drift:+,} nano-dollars")
    yield from _listed("drift_spend_day", drifted, "the caps' days are not what the calls cost")
    reserved = {day: spend.reserved_nanos for day, spend in books.days.items()}
    held = [
        f"{day}: {drift:+,} nano-dollars"
        for day in sorted({*reserved, *books.open_nanos})
        if (drift := reserved.get(day, 0) - books.open_nanos.get(day, 0))
    ]
    yield from _listed("drift_spend_reserved", held, "the caps' days are not what calls may cost")


def of_all_lines(lines: Mapping[Line, Days]) -> dict[date, LedgerSums]:
    """Return the sums of each day over all lines."""
    days: dict[date, LedgerSums] = {}
    for of_line in lines.values():
        for day, sums in of_line.items():
            _add(days.setdefault(day, LedgerSums()), sums)
    return days


def _spans(booked: Days, made: Days, others: Iterable[date] = ()) -> tuple[list[Span], bool]:
    """Return all days cut at quiet midnights, and whether something is booked before it was sent."""
    days = sorted({*booked, *made, *others})
    spans: list[Span] = []
    open_attempts, is_early, first = 0, False, None
    for day in days:
        first = first or day
        open_attempts += made.get(day, LedgerSums()).attempts
        open_attempts -= booked.get(day, LedgerSums()).attempts
        is_early |= open_attempts < 0
        if open_attempts == 0 or day == days[-1]:
            spans.append(Span(first, day))
            first = None
    return spans, is_early


def _total(days: Days, span: Span) -> LedgerSums:
    total = LedgerSums()
    for day, sums in days.items():
        if day in span:
            _add(total, sums)
    return total


def _add(total: LedgerSums, sums: LedgerSums) -> None:
    for part in fields(LedgerSums):
        setattr(total, part.name, getattr(total, part.name) + getattr(sums, part.name))


def _differences(told: LedgerSums, counted: LedgerSums) -> str:
    pairs = ((name, getattr(told, name) - getattr(counted, name)) for name in PROVEN_NAMES)
    return ", ".join(f"{name} {difference:+,}" for name, difference in pairs if difference)


def _listed(code: str, found: Sequence[str], sentence: str) -> Iterator[Violation]:
    """Yield a violation for each of the first that were found, and one for how many more there are."""
    for place in found[:LISTED]:
        yield Violation(code, 1, f"{sentence}: {place}")
    if (more := len(found) - LISTED) > 0:
        yield Violation(code, more, f"{sentence}, {more:,} times more")
