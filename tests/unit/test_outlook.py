"""Outlooks: what is told of a batch's end, and how often that is right for batches whose end is known."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.outlook import Look, Mark, Outlook, Range, judged, outlook

PERIOD_S = 4.0
JOB_NANOS = 1_000_000

Pace = Callable[[float, random.Random], float]
"""Jobs per second after so many seconds."""


def steady(_at_s: float, _chance: random.Random) -> float:
    return 50.0


def restless(_at_s: float, chance: random.Random) -> float:
    return 50.0 * chance.lognormvariate(0, 0.6)


def starting(at_s: float, chance: random.Random) -> float:
    return 50.0 * min(1.0, 0.2 + at_s / 60) * chance.uniform(0.9, 1.1)


def wavering(at_s: float, chance: random.Random) -> float:
    return (60.0 if (at_s // 60) % 2 else 40.0) * chance.uniform(0.9, 1.1)


def lived(pace: Pace, total: int, seed: int) -> tuple[list[Look], float, int]:
    """Live a batch to its end; return what was told, when it ended and what it cost."""
    chance = random.Random(seed)  # noqa: S311  (lives that are the same each time)
    marks, looks, at_s, done, spent = [Mark(0.0, 0, 0)], [], 0.0, 0, 0
    while done < total:
        jobs = chance.gauss(0, 1) * (pace(at_s, chance) * PERIOD_S) ** 0.5
        jobs = max(0, round(jobs + pace(at_s, chance) * PERIOD_S))
        left, done = total - done, min(total, done + jobs)
        spent += round(min(jobs, left) * JOB_NANOS * chance.uniform(0.8, 1.2))
        at_s += PERIOD_S * min(1.0, left / max(jobs, 1))
        marks.append(Mark(at_s, done, spent))
        if done < total and (told := outlook(marks, total)) is not None:
            looks.append(Look(at_s, told))
    return looks, at_s, spent


@pytest.mark.parametrize(
    ("pace", "held", "wide"),
    [(steady, 0.95, 0.4), (restless, 0.9, 1.3), (starting, 0.8, 0.4), (wavering, 0.85, 0.9)],
)
def test_the_end_lies_within_what_was_told(pace: Pace, held: float, wide: float) -> None:
    judgements, widths = [], []
    for seed in range(20):
        looks, ended_s, spent = lived(pace, 20_000, seed)
        judgement = judged(looks, ended_s, spent)
        assert judgement is not None
        judgements.append(judgement)
        middle = looks[len(looks) // 2]
        span = middle.outlook.left_s.high - middle.outlook.left_s.low
        widths.append(span / (ended_s - middle.working_s))
    assert sum(judgement.time_held for judgement in judgements) / 20 >= held
    assert sum(judgement.cost_held for judgement in judgements) / 20 >= 0.9
    # Who says "between now and next year" is always right.
    assert sorted(widths)[10] <= wide


def test_nothing_is_told_of_a_batch_that_has_hardly_begun() -> None:
    assert outlook([], 10) is None
    assert outlook([Mark(0, 0, 0)], 10) is None
    assert outlook([Mark(0, 0, 0), Mark(4, 3, 0), Mark(8, 4, 0)], 10) is None
    four_in_four = [Mark(4.0 * number, number, 0) for number in range(5)]
    assert outlook(four_in_four, 100) is None


def test_a_changed_limit_is_followed_when_the_newer_half_has_it() -> None:
    fast = [Mark(4.0 * n, 400 * n, 0) for n in range(26)]
    slow = [Mark(100 + 4.0 * n, 10_000 + 40 * n, 0) for n in range(1, 40)]
    told = outlook([*fast, *slow], 20_000)
    assert told is not None
    left = 20_000 - slow[-1].done_jobs
    assert told.left_s.holds(left / 10)


def test_a_batch_that_is_done_has_nothing_left() -> None:
    told = outlook([Mark(4.0 * n, 100 * n, 7 * n) for n in range(11)], 1000)
    assert told == Outlook(Range(0.0, 0.0), Range(70, 70))


MARKS = st.lists(
    st.tuples(st.floats(0.01, 1e6), st.integers(0, 10**6), st.integers(0, 10**15)), max_size=40
)


@given(steps=MARKS, left=st.integers(0, 10**6))
def test_a_range_has_two_ends_in_their_order(
    steps: list[tuple[float, int, int]], left: int
) -> None:
    marks = [Mark(0.0, 0, 0)]
    for took_s, jobs, nanos in steps:
        last = marks[-1]
        marks.append(Mark(last.working_s + took_s, last.done_jobs + jobs, last.spent_nanos + nanos))
    told = outlook(marks, marks[-1].done_jobs + left)
    if told is not None:
        assert 0 <= told.left_s.low <= told.left_s.high
        assert marks[-1].spent_nanos <= told.final_nanos.low <= told.final_nanos.high


def test_outlooks_are_judged_by_the_end() -> None:
    good = Outlook(Range(8, 12), Range(90, 110))
    late = Outlook(Range(18, 22), Range(190, 210))
    found = judged([Look(10, good), Look(10, late), Look(10, good)], 20.0, 100)
    assert found is not None
    assert (found.looks, round(found.time_held, 2), round(found.cost_held, 2)) == (3, 0.67, 0.67)
    assert found.time_error == 0
    assert judged([], 20.0, 100) is None
