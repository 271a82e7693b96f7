"""A worker dies before and after every operation of its life, and another one goes on."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.crash_lives import JOBS, WORKER, all_is_well, die_and_recover, do, each
from tests.support.crash_points import Moment, Point
from tests.support.crash_stage import Stage, play, submit
from tests.support.system import lines

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator", "tests.support.crash_fixtures")

IN_FLIGHT = 3
"""With as many of a dead worker, which the gate remembers for 15 s, no more than it begins with."""


@pytest.fixture
def fed_stage(stage: Stage) -> Stage:
    """There is a batch for a worker."""
    WORKER.prepare(stage)
    return stage


def test_a_workers_life_is_as_written(fed_stage: Stage, simulator: "Simulator") -> None:
    play(fed_stage, WORKER.act)
    WORKER.is_as_written(fed_stage)
    with fed_stage.database() as database:
        all_is_well(database, simulator, kills=0)


@each(WORKER.points())
def test_a_worker_may_die_at_any_point(
    fed_stage: Stage, simulator: "Simulator", point: Point
) -> None:
    die_and_recover(fed_stage, simulator, WORKER.act, point)


@each(
    Point(name, nth, moment)
    for name, nth in (("journal", 1), ("call", 1), ("call", IN_FLIGHT), ("settle", 1))
    for moment in Moment
    if moment is not Moment.WITHIN or name == "call"
)
def test_a_worker_may_die_with_several_calls_in_flight(
    stage: Stage, simulator: "Simulator", point: Point
) -> None:
    busy = replace(stage, max_in_flight=IN_FLIGHT)
    do(busy, partial(submit, lines=[*lines(2 * IN_FLIGHT - 2), *JOBS[1:]]))
    die_and_recover(busy, simulator, WORKER.act, point)
