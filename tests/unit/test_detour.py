"""When the next target is taken, and which waits are waited for within a lease."""

import pytest

from workers.gate.gate import ComeBack
from workers.job.detour import (
    A_MOMENT_S,
    LONGEST_REST_S,
    SHORT_BLOCK_S,
    SHORTEST_REST_S,
    Patience,
    Wait,
)
from workers.slices.vigil import Vigil


@pytest.mark.parametrize(
    ("waited_s", "wait_s", "is_blocked", "is_over"),
    [
        pytest.param(0, 29, False, False, id="a wait within what is allowed"),
        pytest.param(0, 31, False, True, id="a wait beyond it"),
        pytest.param(10, 19, False, False, id="what was waited counts"),
        pytest.param(10, 21, False, True, id="against what is left"),
        pytest.param(30, 0.1, False, True, id="all of it has been waited, in however many pieces"),
        pytest.param(500, 0.1, False, True, id="and more"),
        pytest.param(0, 0.1, True, True, id="a blocked pool is not waited for"),
    ],
)
def test_a_target_is_waited_for_as_long_as_is_allowed_unless_it_is_blocked(
    waited_s: float, wait_s: float, is_blocked: bool, is_over: bool
) -> None:
    patience = Patience(30.0)
    said = ComeBack(wait_s, "it has to wait", is_blocked)
    assert patience.is_over(said, patience.left_s(waited_s)) == is_over


def test_without_any_patience_a_moment_is_waited_all_the_same() -> None:
    assert Patience(0.0).left_s(0.0) == A_MOMENT_S


def test_of_several_targets_the_soonest_is_waited_for_and_all_are_named_once() -> None:
    one, other = ComeBack(7.0, "a is down", True), ComeBack(3.0, "b is slow")
    assert Wait.after([one, other, other]) == Wait(3.0, "a is down; b is slow", False)


def test_a_target_that_goes_on_is_waited_for_rather_than_one_that_is_down() -> None:
    down, busy = ComeBack(1.0, "a is down", True), ComeBack(40.0, "b is at its limit")
    wait = Wait.after([down, busy])
    assert (wait.wait_s, wait.is_blocked) == (40.0, False)


def test_no_answer_of_a_gate_makes_a_hot_loop() -> None:
    for wait_s in (0.0, -3.0):
        assert Wait.after([ComeBack(wait_s, "soon")]).wait_s == SHORTEST_REST_S


@pytest.mark.parametrize(
    ("wait_s", "is_blocked", "is_short", "rest_s"),
    [
        (LONGEST_REST_S, False, True, SHORTEST_REST_S),
        (3600.0, False, True, SHORTEST_REST_S),
        (SHORT_BLOCK_S, True, True, SHORT_BLOCK_S),
        (SHORT_BLOCK_S + 0.1, True, False, SHORT_BLOCK_S + 0.1),
    ],
)
def test_nobody_leaves_a_queue_that_moves_but_a_blocked_pool_is_left(
    wait_s: float, is_blocked: bool, is_short: bool, rest_s: float
) -> None:
    wait = Wait(wait_s, "so it is", is_blocked)
    assert (wait.is_short, wait.rest_s) == (is_short, rest_s)


def test_a_few_slices_of_each_provider_watch_until_they_leave() -> None:
    vigil = Vigil(per_provider=2)
    assert [vigil.joins("a", n) for n in range(4)] == [True, True, False, False]
    assert vigil.joins("a", 1)  # it does already
    assert vigil.joins("b", 2)
    vigil.leaves(0)
    assert vigil.joins("a", 3)
    assert not vigil.joins("a", 0)
