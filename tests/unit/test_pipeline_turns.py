"""Whose turn it is among the runs of a pipeline, and how a run's budget is shared."""

import pytest

from jobs.pipelines.shares import Stake, caps
from jobs.pipelines.turns import Other, Overlap, first_state, may_start
from jobs.states import RunKind, RunState

SCHEDULED, MANUAL, BACKFILL = RunKind.SCHEDULED, RunKind.MANUAL, RunKind.BACKFILL
WAITING, RUNNING = RunState.WAITING, RunState.RUNNING


@pytest.mark.parametrize(
    ("kind", "overlap", "others", "state"),
    [
        (SCHEDULED, "skip", [], WAITING),
        (SCHEDULED, "skip", [Other(1, MANUAL, RUNNING)], RunState.SKIPPED),
        (SCHEDULED, "skip", [Other(1, BACKFILL, RUNNING, "b")], WAITING),
        (SCHEDULED, "queue", [Other(1, SCHEDULED, RUNNING)], WAITING),
        (MANUAL, "skip", [Other(1, SCHEDULED, RUNNING)], WAITING),
    ],
)
def test_a_scheduled_run_is_skipped_only_if_that_is_said(
    kind: RunKind, overlap: Overlap, others: list[Other], state: RunState
) -> None:
    assert first_state(kind, overlap, others) == state


@pytest.mark.parametrize(
    ("overlap", "others", "starts"),
    [
        ("queue", [], True),
        ("queue", [Other(1, SCHEDULED, RUNNING)], False),
        ("queue", [Other(1, SCHEDULED, WAITING)], False),
        ("queue", [Other(9, SCHEDULED, WAITING)], True),
        ("queue", [Other(1, BACKFILL, RUNNING, "b")], True),
        ("skip", [Other(1, SCHEDULED, RunState.DELIVERING)], False),
        ("overlap", [Other(1, SCHEDULED, RUNNING)], True),
    ],
)
def test_runs_wait_for_those_before_them(
    overlap: Overlap, others: list[Other], starts: bool
) -> None:
    assert may_start(Other(5, SCHEDULED, WAITING), overlap, 1, others) is starts


@pytest.mark.parametrize(("at_once", "starts"), [(1, False), (2, False), (3, True)])
def test_a_backfill_goes_in_order_and_so_many_at_once(at_once: int, starts: bool) -> None:
    others = [
        Other(1, BACKFILL, RUNNING, "b"),
        Other(2, BACKFILL, WAITING, "b"),
        Other(3, BACKFILL, WAITING, "b"),
        Other(4, BACKFILL, RUNNING, "another"),
        Other(5, SCHEDULED, RUNNING),
    ]
    assert may_start(others[2], "queue", at_once, others) is starts


@pytest.mark.parametrize(
    ("stakes", "shared"),
    [
        ([], []),
        ([Stake(10, True), Stake(20, True)], [45, 55]),
        ([Stake(10, False), Stake(20, True)], [10, 90]),
        ([Stake(60, True, 25), Stake(10, True, 25)], [60, 40]),
        ([Stake(60, True, 25), Stake(10, True)], [90, 10]),
        ([Stake(60, True, 10), Stake(10, True)], [75, 25]),
        ([Stake(90, True), Stake(30, True)], [90, 30]),
    ],
)
def test_a_budget_is_shared_by_those_that_go_on(stakes: list[Stake], shared: list[int]) -> None:
    assert caps(100, stakes) == shared
