"""The sweep dies before and after everything that it does, and the next one goes on."""

from typing import TYPE_CHECKING

import pytest

from tests.support.crash_lives import SWEEP, die_and_recover, each
from tests.support.crash_points import Point
from tests.support.crash_stage import Stage, play

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator", "tests.support.crash_fixtures")


@pytest.fixture
def littered_stage(stage: Stage) -> Stage:
    """Each duty of the sweep has something to do."""
    SWEEP.prepare(stage)
    return stage


def test_a_sweeps_life_is_as_written(littered_stage: Stage) -> None:
    play(littered_stage, SWEEP.act)
    SWEEP.is_as_written(littered_stage)


@each(SWEEP.points())
def test_the_sweep_may_die_at_any_point(
    littered_stage: Stage, simulator: "Simulator", point: Point
) -> None:
    die_and_recover(littered_stage, simulator, SWEEP.act, point)
