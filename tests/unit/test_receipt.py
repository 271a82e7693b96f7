"""A receipt's figures: list price less savings is what was paid; deadlines are kept or missed."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from jobs.clock import UTC
from jobs.receipt import Part, Work, receipt

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def work(**values: Any) -> Work:
    plain: dict[str, Any] = dict.fromkeys(Work.__slots__, 0)
    plain |= {"ref": "bat_1", "state": "completed", "deadline": None, "finished_at": NOON}
    return Work(**{**plain, **values})


def part(cost_nanos: int, model: str = "small", **values: Any) -> Part:
    return Part("sim", model, "live", 10, 100, 50, cost_nanos, **values)


def test_list_less_savings_is_what_was_paid() -> None:
    found = receipt(
        [
            work(jobs=10, succeeded=9, lane_saved_nanos=500, bad_nanos=30, bad_answers=1),
            work(jobs=5, succeeded=5, cache_saved_nanos=-20, reuse_saved_nanos=70, not_called=2),
        ],
        [part(400), part(600, "large", unknown_nanos=40)],
    )
    assert (found.paid_nanos, found.saved_nanos, found.list_nanos) == (1000, 550, 1550)
    assert (found.wasted_nanos, found.jobs, found.succeeded, found.not_called) == (70, 15, 14, 2)
    assert [each.model for each in found.parts] == ["large", "small"]  # the dearest first
    assert found.saved_share == pytest.approx(550 / 1550)
    assert found.is_final


def test_nothing_has_no_share() -> None:
    found = receipt([], [])
    assert (found.list_nanos, found.saved_share, found.is_final) == (0, None, True)


def test_deadlines_are_kept_missed_or_open() -> None:
    hour = timedelta(hours=1)
    found = receipt(
        [
            work(deadline=NOON + hour),
            work(deadline=NOON - hour),
            work(deadline=NOON - 2 * hour),
            work(deadline=NOON, state="expired"),
            work(deadline=NOON + hour, state="running", finished_at=None),
            work(deadline=NOON - hour, state="cancelled"),
            work(),
        ],
        [],
    )
    told = found.deadlines
    assert (told.kept, told.missed, told.open, told.worst_late_s) == (1, 3, 1, 7200.0)
    assert not found.is_final
