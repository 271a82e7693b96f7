"""Which lane is taken, when it is left, and which lines are whose."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.configuration import Limits
from jobs.exchange import Lane
from jobs.lanes import (
    HANDOVER_S,
    SLACK,
    LaneTimes,
    LiveWork,
    choose,
    costs_less,
    custom_id,
    is_surely_unsent,
    line_of,
    live_s,
    rescue_at,
)
from jobs.prices import Price
from jobs.states import LaneWish

TIMES = LaneTimes(turnaround_s=3600, cancel_s=600, look_every_s=60)
DEAR, CHEAP = Price.from_json("[[0,10,10,10,20]]"), Price.from_json("[[0,5,5,5,10]]")


@pytest.mark.parametrize(
    ("wish", "is_cheaper", "left_s", "lane"),
    [
        (LaneWish.LIVE, True, None, Lane.LIVE),
        (LaneWish.AUTO, True, None, Lane.BATCH),
        (LaneWish.AUTO, False, None, Lane.LIVE),
        (LaneWish.BATCH, False, None, Lane.BATCH),
        (LaneWish.AUTO, True, 8 * 3600, Lane.BATCH),
        (LaneWish.AUTO, True, 3600, Lane.LIVE),
        (LaneWish.BATCH, True, 3600, Lane.BATCH),
        (LaneWish.BATCH, True, 600, Lane.LIVE),
    ],
)
def test_the_lane_is_where_price_and_time_say(
    wish: LaneWish, is_cheaper: bool, left_s: float | None, lane: Lane
) -> None:
    chosen = choose(wish, is_cheaper=is_cheaper, left_s=left_s, work_live_s=60, times=TIMES)
    assert chosen is lane


def test_a_rescue_leaves_time_for_the_cancel_and_the_rest() -> None:
    deadline = datetime(2026, 11, 28, 6, tzinfo=UTC)
    assert rescue_at(deadline, 300, TIMES) == deadline - timedelta(
        seconds=300 + 600 + 120 + HANDOVER_S
    )
    assert rescue_at(None, 300, TIMES) is None


def test_the_tightest_limit_tells_how_long_live_work_takes() -> None:
    work = LiveWork(jobs=6000, input_tokens=600_000)
    assert live_s(work, Limits(rpm=600)) == SLACK * 600
    assert live_s(work, Limits(rpm=600, itpm=30_000)) == SLACK * 1200
    assert live_s(work, Limits()) > 0
    assert live_s(LiveWork(0, 0), Limits(rpm=1)) == 0


def test_only_a_known_and_lower_price_is_less() -> None:
    assert costs_less(CHEAP, DEAR)
    assert not costs_less(DEAR, DEAR)
    assert not costs_less(None, DEAR)
    assert not costs_less(CHEAP, None)


def test_a_line_is_ours_by_its_whole_name() -> None:
    assert line_of("nat_1", custom_id("nat_1", 12, 3)) == (12, 3)


@pytest.mark.parametrize(
    "name",
    [
        "nat_2-12-3",
        "nat_1-12",
        "nat_1-012-3",
        "nat_1--1-3",
        "nat_1-1-3-4",
        "nat_1-١-3",
        "",
        "nat_1-" + "9" * 5000 + "-1",
    ],
)
def test_whatever_else_comes_is_nobodys(name: str) -> None:
    assert line_of("nat_1", name) is None


def test_what_is_missing_was_not_run_only_if_the_counts_say_so() -> None:
    assert is_surely_unsent(ran_out=True, done=None, read=0)
    assert is_surely_unsent(ran_out=True, done=5, read=5)
    assert not is_surely_unsent(ran_out=True, done=6, read=5)
    assert not is_surely_unsent(ran_out=False, done=None, read=5)
