"""A worker dies at any operation on a native batch: none is lost, made twice unseen, or billed unseen."""

from typing import TYPE_CHECKING

import pytest

from tests.support.crash_lane_judge import all_is_well
from tests.support.crash_lanes import AT_ONCE, LIVES, LOCKING, die_and_recover
from tests.support.crash_lives import Play, each_of_its_own
from tests.support.crash_points import Point
from tests.support.crash_stage import Stage, play

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator", "tests.support.crash_fixtures")


@pytest.fixture
def lane_stage(stage: Stage, simulator: "Simulator") -> Stage:
    """The provider's batches go as these lives are written."""
    simulator.faults(batches=AT_ONCE)
    return stage


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_native_batchs_life_is_as_written(
    lane_stage: Stage, simulator: "Simulator", life: Play
) -> None:
    life.prepare(lane_stage)
    play(lane_stage, life.act)
    life.is_as_written(lane_stage)
    with lane_stage.database() as database:
        all_is_well(database, simulator.rows())


@each_of_its_own(LIVES, {"lane": LOCKING})
def test_a_native_batch_outlives_its_worker_at_any_point(
    lane_stage: Stage, simulator: "Simulator", life: Play, point: Point
) -> None:
    life.prepare(lane_stage)
    die_and_recover(lane_stage, simulator, life, point)
