"""Whether a deadline can be met, and what would meet it, computed by hand."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from jobs.clock import UTC
from jobs.configuration import Configuration
from jobs.deadlines import RunWindow
from jobs.quote import Tally
from jobs.quote.reach import Other, Reach, Wish, fields, reach
from jobs.quote.tally import Range
from jobs.routing import Target
from jobs.states import Priority

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def configured(**limits: int) -> Configuration:
    pools = [{"limits": limits}] if limits else []
    provider = {"protocol": "openai", "base_url": "http://sim", "pools": pools}
    return Configuration.model_validate({"providers": {"sim": provider}})


def reached(
    minutes: float,
    *others: Other,
    priority: Priority = Priority.NORMAL,
    window: RunWindow | None = None,
    **limits: int,
) -> Reach:
    """A thousand calls that are wanted in so many minutes; at 100 a minute they take ten."""
    tally = Tally(
        "small",
        Target("sim", "small"),
        jobs=1000,
        calls=1000,
        input_tokens=Range(100_000, 200_000),
        output_tokens=Range(1_000, 50_000),
        counted_tokens=Range(101_000, 250_000),
    )
    wish = Wish(NOW + minutes * MINUTE, window, priority)
    return reach([tally], wish, NOW, configured(**limits or {"rpm": 100}), {}, others)


def other(jobs: int, priority: Priority = Priority.NORMAL, **more: Any) -> Other:
    return Other("sim", jobs, priority, **{"has_deadline": False, **more})


def test_what_fits_reaches() -> None:
    found = reached(11)
    assert (found.reaches, found.earliest, found.quoted_s) == (True, NOW + 10 * MINUTE, 600.0)


def test_what_does_not_fit_is_told_what_would() -> None:
    found = reached(5)
    assert (found.reaches, found.most_jobs, found.needed) == (False, 500, 200)
    sentence = found.sentence()
    for part in (
        "1,000 jobs can't be ready by 2026-11-28 12:05:00 UTC",
        "a deadline from 2026-11-28 12:10:00 UTC on",
        "at most 500 jobs",
        "rpm of sim/main at 200 instead of 100",
        "accept_late=true",
    ):
        assert part in sentence
    assert fields(found)["earliest"] == "2026-11-28T12:10:00+00:00"


@pytest.mark.parametrize(
    ("others", "minutes"),
    [
        ((other(1000, Priority.HIGH),), 20),  # side by side
        ((other(9000, Priority.HIGH),), 20),  # it has more left, and gets no more than its part
        ((other(500, Priority.HIGH),), 15),
        ((other(9000, has_deadline=True),), 20),  # it may press as much
        ((other(9000, Priority.NORMAL),), 12.5),  # a quarter of what a high one gets
        ((other(9000, Priority.BULK),), 10.625),
        ((other(9000, Priority.INTERACTIVE),), 50),
        ((other(9000, Priority.HIGH, left_s=60.0),), 11),  # as it tells itself
        ((Other("elsewhere", 9000, Priority.HIGH, has_deadline=False),), 10),
        ((other(500, Priority.HIGH), other(250, Priority.HIGH)), 17.5),
    ],
)
def test_work_that_was_accepted_before_is_reckoned_with(
    others: tuple[Other, ...], minutes: float
) -> None:
    found = reached(1e4, *others)
    assert found.earliest is not None
    assert (found.earliest - NOW) / MINUTE == pytest.approx(minutes)
    late = reached(minutes - 0.5, *others)
    assert not late.reaches
    assert late.beside == sum(each.queue == "sim" for each in others)
    assert 0 < late.most_jobs < 1000


def test_only_the_hours_of_a_window_count() -> None:
    window = RunWindow.of("12:05-12:10 UTC")
    assert reached(24 * 60 + 12, window=window).earliest == NOW + timedelta(days=1, minutes=10)
    late = reached(60, window=window)
    assert (late.reaches, late.most_jobs) == (False, 500)
    shut = reached(4, window=window)  # it doesn't open before
    assert (shut.reaches, shut.most_jobs, shut.needed) == (False, 0, None)
    assert "jobs," not in shut.sentence().partition("meet it")[2]


def test_without_a_limit_that_tells_nothing_is_refused() -> None:
    assert reached(0.01, concurrency=5).reaches


def test_brief_answers_are_reckoned_with() -> None:
    assert reached(2, otpm=1000).reaches  # a token each takes one minute, and the longest fifty
    assert not reached(0.5, otpm=1000).reaches
