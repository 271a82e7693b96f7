"""How a batch will end: the time that is left and the final cost, as ranges, from how it went on. Pure.

What was measured is cut into stretches of the same length. Their pace, and how much they differ among each
other, tell the pace to come and how far it may be off. The newer half counts: limits change, and the first
seconds of a batch are no measure of the rest. Once the batch has ended, `judged` says how often that was
right.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

RECENT_S = 60.0
"""So much of the past counts at least, if there is as much; then the newer half of it."""

STRETCHES = 8

FEWEST_STRETCHES = 3
"""Of fewer nothing can be said about how they differ."""

FEWEST_JOBS = 5
"""With fewer done there is no pace."""

WIDTH = 2.0
"""Standard errors to either side: nineteen times in twenty, if stretches differ by chance."""

DRIFT = 0.05
"""Of the pace, in as much time as was looked at: what limits and answers change by, beside chance."""

MOST_DRIFT = 0.5

TAIL_S = 5.0
"""The last answers come one by one, and whoever finishes the batch looks every two seconds."""


class Mark(NamedTuple):
    """Where a batch stood: after so many seconds of work, pauses left out."""

    working_s: float
    done_jobs: int
    spent_nanos: int


class Range(NamedTuple):
    """From `low` to `high`, both included."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a value lies within."""
        return self.low <= value <= self.high


class Outlook(NamedTuple):
    """Seconds of work that are left, and what all will have cost, in nano-dollars."""

    left_s: Range
    final_nanos: Range


class Look(NamedTuple):
    """An outlook, and after how much work it was told."""

    working_s: float
    outlook: Outlook


@dataclass(frozen=True, slots=True)
class Judgement:
    """How good outlooks were: the share of `looks` whose ranges held the truth.

    `time_error` is how far the middle of the time's range was off in the median, as a share of the truth.
    """

    looks: int
    time_held: float
    cost_held: float
    time_error: float


def outlook(marks: Sequence[Mark], total_jobs: int) -> Outlook | None:
    """Return how a batch of `total_jobs` will end, from its marks, the last of which is now.

    None as long as nothing can be said.
    """
    stretches = _stretches(_recent(marks))
    if len(stretches) < FEWEST_STRETCHES:
        return None
    first, now = stretches[0][0], marks[-1]
    took_s, done = now.working_s - first.working_s, now.done_jobs - first.done_jobs
    if done < FEWEST_JOBS:
        return None
    left = total_jobs - now.done_jobs
    pace = done / took_s
    ahead = max(left / pace / took_s * len(stretches), 1.0)  # stretches to come
    paces = [(b.done_jobs - a.done_jobs) / (b.working_s - a.working_s) for a, b in stretches]
    pace_error = _error(paces, pace, ahead)
    time_s = Range(
        left / (pace + pace_error),
        left / max(pace - pace_error, pace / 5) + (TAIL_S if left else 0),
    )
    per_job = (now.spent_nanos - first.spent_nanos) / done
    costs = [
        (b.spent_nanos - a.spent_nanos) / (b.done_jobs - a.done_jobs)
        for a, b in stretches
        if b.done_jobs > a.done_jobs
    ]
    cost_error = _error(costs, per_job, ahead)
    cost = Range(
        now.spent_nanos + left * max(per_job - cost_error, 0.0),
        now.spent_nanos + left * (per_job + cost_error),
    )
    return Outlook(time_s, cost)


def judged(looks: Sequence[Look], working_s: float, final_nanos: int) -> Judgement | None:
    """Return how good outlooks were, now that a batch has ended after `working_s`; None without any."""
    if not looks:
        return None
    held_time = held_cost = 0
    errors = []
    for look in looks:
        truth_s, (low_s, high_s) = working_s - look.working_s, look.outlook.left_s
        held_time += look.outlook.left_s.holds(truth_s)
        held_cost += look.outlook.final_nanos.holds(final_nanos)
        errors.append(abs((low_s + high_s) / 2 - truth_s) / max(truth_s, TAIL_S))
    return Judgement(
        len(looks), held_time / len(looks), held_cost / len(looks), statistics.median(errors)
    )


def _recent(marks: Sequence[Mark]) -> Sequence[Mark]:
    """Return the marks that count."""
    if not marks:
        return marks
    now_s = marks[-1].working_s
    since_s = now_s - max(RECENT_S, now_s / 2)
    return [mark for mark in marks if mark.working_s >= since_s]


def _stretches(marks: Sequence[Mark]) -> list[tuple[Mark, Mark]]:
    """Return stretches of much the same length that follow each other, each by its two ends."""
    if len(marks) < 2:
        return []
    first_s = marks[0].working_s
    least_s = (marks[-1].working_s - first_s) / STRETCHES
    found: list[tuple[Mark, Mark]] = []
    begin = marks[0]
    for mark in marks[1:]:
        if mark.working_s > begin.working_s and mark.working_s >= begin.working_s + 0.99 * least_s:
            found.append((begin, mark))
            begin = mark
    return found


def _error(seen: Sequence[float], mean: float, ahead: float) -> float:
    """Return how far the mean of `ahead` stretches may be from that of those `seen`."""
    spread = statistics.stdev(seen) if len(seen) > 1 else mean
    by_chance = WIDTH * spread * math.sqrt(1 / max(len(seen), 1) + 1 / ahead)
    drift = min(DRIFT * math.sqrt(1 + ahead / max(len(seen), 1)), MOST_DRIFT)
    return by_chance + drift * mean
