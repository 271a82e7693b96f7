"""Whoever recovers from a death dies as well, at each of its own operations.

In CI that is tried after one death of a worker, at the first of each of its operations; with
`TIDEMILL_TEST_ALL_PAIRS=1` after each death of each life and at every operation, which takes an hour or two.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from tests.support.crash_lives import (
    BY_THE_CLOCK,
    SUBMISSION,
    SWEEP,
    WORKER,
    Play,
    die_and_recover,
    set_up,
)
from tests.support.crash_points import Moment, Point
from tests.support.crash_stage import Stage, make_small, play, recover
from tests.support.services import MACHINE

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

LIVES = {"submission": SUBMISSION, "worker": WORKER, "sweep": SWEEP}

FIRST_DEATHS = [
    pytest.param(life, point, id=f"{name}-{point}")
    for name, life in LIVES.items()
    for point in life.points()
    if point.moment is not Moment.BEFORE  # which leaves what the operation before it has left
]
IN_CI = pytest.param(WORKER, Point("call", 2, Moment.WITHIN), id="worker")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let the machine decide how many deaths are tried."""
    has_time = metafunc.config.stash[MACHINE].has_time
    metafunc.parametrize(("life", "first"), FIRST_DEATHS if has_time else [IN_CI])
    metafunc.parametrize("every", [pytest.param(has_time, id="all" if has_time else "each")])


@pytest.mark.timeout(600)
def test_whoever_recovers_may_die_at_any_point(
    simulator: "Simulator",
    tmp_path: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    life: Play,
    first: Point,
    every: bool,
) -> None:
    make_small(monkeypatch)

    def prepared(folder: Path) -> Stage:
        folder.mkdir()
        with redis.Redis.from_url(redis_url) as broker:
            broker.flushdb()
        url = f"sqlite:///{folder / 'tidemill.db'}"
        stage = set_up(Stage(folder, url, redis_url, simulator.url), simulator)
        life.prepare(stage)
        return stage

    undisturbed = prepared(tmp_path / "undisturbed")
    play(undisturbed, life.act, first)
    play(undisturbed, recover)
    for second in deaths_in(undisturbed, every=every):
        try:
            die_and_recover(prepared(tmp_path / str(second)), simulator, life.act, first, second)
        except AssertionError as error:
            error.add_note(f"the second death was {second}")
            raise


def deaths_in(stage: Stage, *, every: bool) -> list[Point]:
    """Return the points of the life that just ended by itself, but for what the clock decides.

    Without `every`, those of the first operation of each name.
    """
    found = []
    for operation in stage.operations():
        name, nth = next(iter(operation.items()))
        if nth > 1 and (name in BY_THE_CLOCK or not every):
            continue
        if name == "call":
            found.append(Point(name, nth, Moment.WITHIN))
        found.append(Point(name, nth, Moment.AFTER))
    return found
