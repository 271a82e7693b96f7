"""A look at the clock dies at any operation: the next one leaves each batch where it belongs."""

import pytest

from tests.support.crash_lives import Play, each_of_its_own
from tests.support.crash_points import Moment, Point
from tests.support.crash_stage import Stage, play
from tests.support.crash_times import LOOK, all_is_noted, die_and_recover

pytest_plugins = ("tests.support.simulator", "tests.support.crash_fixtures")

LOCKING = [Point("steer", 1, Moment.BEFORE), Point("expire_due", 1, Moment.BEFORE)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_looks_life_is_as_written(stage: Stage) -> None:
    LOOK.prepare(stage)
    play(stage, LOOK.act)
    LOOK.is_as_written(stage)
    all_is_noted(stage)


@each_of_its_own({"look": LOOK}, {"look": LOCKING})
def test_a_look_may_die_at_any_point(stage: Stage, life: Play, point: Point) -> None:
    life.prepare(stage)
    die_and_recover(stage, life, point)
