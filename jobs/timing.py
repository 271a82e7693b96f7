"""What a batch's deadline and its hours mean for it now: how urgent it is, and whether it waits. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from jobs.deadlines import RunWindow
from jobs.states import WEIGHTS, Priority

CHEAPER = "a cheaper hour"
"""The same of one that waits for a lower price."""

SURE, STILL_SURE = 1.5, 1.3
"""So many times what the work takes must be left from a cheaper hour on, to wait for it and to go on so."""

QUARTER = timedelta(minutes=15)
"""Prices that change with the time of day do so at such times."""

HOURS = "its hours"
"""How every sentence begins about a batch that waits for its window."""

PRESSING = ((Priority.HIGH, 1.3), (Priority.NORMAL, 2.0))
"""The priority of a batch that has less time than so many times what its work takes."""

RELIEF = 1.25
"""By this factor its time must exceed that again before it is lowered: figures of paces waver."""

SPARE_S = 30.0
"""Of the time until a deadline, that no work is counted on: the last answers come one by one."""

PRESSING_SHARE = ((Priority.HIGH, 0.2), (Priority.NORMAL, 0.5))
"""The same where nobody knows how long the work takes: of the time that it had, what is left."""


@dataclass(frozen=True, slots=True)
class Times:
    """A batch as far as time goes.

    `priority` is its own, `urgency` what its deadline has made of that up to now. `left_s` of work are
    left; None where nobody can tell.
    """

    created_at: datetime
    deadline: datetime
    window: RunWindow | None
    priority: str
    urgency: str | None
    left_s: float | None


class Prospect(StrEnum):
    """How a batch stands to its deadline."""

    IN_TIME = "in_time"
    TIGHT = "tight"
    """The slow end of its forecast is late."""
    LATE = "late"
    """It can't be ready any more, or the deadline is over."""
    KEPT = "kept"
    MISSED = "missed"
    UNKNOWN = "unknown"
    """Nothing can be said of its end yet."""


MEASURED_SHARE, MEASURED_S = 0.05, 60.0
"""So much of a run's work must have been done, and for so long, to tell its pace."""


def run_left_s(
    quoted_s: float | None, quoted_jobs: int, left_jobs: int, worked_s: float
) -> float | None:
    """Return the seconds of work that are left of a run in all of its stages; None where nobody can tell.

    By the pace that it had for `worked_s`; at the beginning by what its jobs take at the limits.
    """
    if not quoted_jobs:
        return None
    done = quoted_jobs - left_jobs
    if worked_s >= MEASURED_S and done >= MEASURED_SHARE * quoted_jobs:
        return worked_s * left_jobs / done
    return None if quoted_s is None else quoted_s * left_jobs / quoted_jobs


def urgency(times: Times, now: datetime) -> Priority | None:
    """Return the priority that a batch has by its deadline; None while its own is enough.

    It rises up to `high` as time runs out, never falls below the batch's own, and comes down only when
    there is clearly more time again.
    """
    if times.priority not in WEIGHTS:
        return None  # a newer version's word
    own = Priority(times.priority)
    wanted = next(
        (level for level in (Priority.HIGH, Priority.NORMAL) if _presses(times, level, now)), None
    )
    return wanted if wanted is not None and WEIGHTS[wanted] > WEIGHTS[own] else None


def _presses(times: Times, level: Priority, now: datetime) -> bool:
    """Whether a batch should have this priority at least, or keep it."""
    has_it = times.urgency in WEIGHTS and WEIGHTS[Priority(times.urgency)] >= WEIGHTS[level]
    ease = RELIEF if has_it else 1.0
    if times.deadline <= now:
        return True
    usable_s = usable(now, times.deadline, times.window)
    if times.left_s is None:
        had_s = usable(times.created_at, times.deadline, times.window)
        return usable_s < dict(PRESSING_SHARE)[level] * ease * had_s
    return usable_s - SPARE_S < dict(PRESSING)[level] * ease * times.left_s


def usable(since: datetime, until: datetime, window: RunWindow | None) -> float:
    """Return the seconds between two moments in which work may be done."""
    if window is not None:
        return window.open_s(since, until)
    return max((until - since).total_seconds(), 0.0)


def ready_at(now: datetime, left_s: float, window: RunWindow | None) -> datetime:
    """Return when so much work is done, if it is begun now."""
    if window is not None:
        return window.after_open_s(now, left_s)
    return now + timedelta(seconds=min(left_s, timedelta(days=366).total_seconds()))


def held_for_price(
    times: Times, now: datetime, cost_at: Callable[[datetime], int], *, is_held: bool
) -> datetime | None:
    """Return until when a batch waits for a lower price; None where it is to run now.

    It does if what is left suffices from then on: the first of the cheapest hours that are early enough.
    `cost_at` is what a typical call costs at a time. Where nobody knows how long the work takes, and
    outside of its window, nothing waits.
    """
    if times.left_s is None or times.left_s <= 0 or held_by_window(times.window, now) is not None:
        return None
    work_s = times.left_s * (STILL_SURE if is_held else SURE) + SPARE_S
    best, cheapest = None, cost_at(now)
    at = _next_quarter(now)
    while at < times.deadline and usable(at, times.deadline, times.window) >= work_s:
        is_open = times.window is None or times.window.is_open(at)
        if is_open and (cost := cost_at(at)) < cheapest:
            best, cheapest = at, cost
        at += QUARTER
    return best


def _next_quarter(now: datetime) -> datetime:
    hour = now.replace(minute=0, second=0, microsecond=0)
    return hour + (math.floor((now - hour) / QUARTER) + 1) * QUARTER


def price_sentence(model: str, cheaper_from: datetime) -> str:
    """Return what a batch waits for until a model costs less."""
    return f"{CHEAPER}: {model} costs less from {cheaper_from:%Y-%m-%d %H:%M} UTC on"


def held_by_window(window: RunWindow | None, now: datetime) -> datetime | None:
    """Return until when a window keeps a batch; None where it is open, or there is none."""
    if window is None or window.is_open(now):
        return None
    return window.opens_after(now)


def hours_sentence(window: RunWindow, opens: datetime) -> str:
    """Return what a batch waits for outside of its window."""
    return f"{HOURS}: {window}, next from {opens:%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Timing:
    """How a batch stands to its deadline: by when it is ready, if that can be told, and how late that is.

    `late_s` is of the soonest end, or of the real one; 0 of what is in time.
    """

    prospect: Prospect
    ready: tuple[datetime, datetime] | None = None
    late_s: float = 0.0


def timing(
    deadline: datetime,
    left_s: tuple[float, float] | None,
    window: RunWindow | None,
    now: datetime,
) -> Timing:
    """Return how a batch that has not ended stands, with so much work left, from and to."""
    ready = None
    if left_s is not None:
        low_s, high_s = left_s
        ready = ready_at(now, low_s, window), ready_at(now, high_s, window)
    soonest = now if ready is None else ready[0]
    late_s = max((soonest - deadline).total_seconds(), 0.0)
    return Timing(prospect(deadline, ready, now), ready, late_s)


def timing_of_ended(deadline: datetime, finished_at: datetime, *, has_expired: bool) -> Timing:
    """Return whether a batch that has ended kept its deadline; what has expired did not."""
    late_s = max((finished_at - deadline).total_seconds(), 0.0)
    return Timing(Prospect.MISSED if late_s or has_expired else Prospect.KEPT, late_s=late_s)


def prospect(
    deadline: datetime, ready: tuple[datetime, datetime] | None, now: datetime
) -> Prospect:
    """Return how a batch that runs stands, by when its forecast says that it is ready."""
    if deadline <= now:
        return Prospect.LATE
    if ready is None:
        return Prospect.UNKNOWN
    soonest, latest = ready
    if soonest > deadline:
        return Prospect.LATE
    return Prospect.TIGHT if latest > deadline else Prospect.IN_TIME
