"""A conductor dies at any operation on a run: each row still goes through once, and is once in each sink."""

from collections.abc import Iterator

import pytest

from tests.support.crash_lives import Play, each_of_its_own
from tests.support.crash_points import Point
from tests.support.crash_runs import LIVES, LOCKING, Receiver, all_is_well, die_and_recover
from tests.support.crash_stage import Stage, play

pytest_plugins = ("tests.support.simulator", "tests.support.crash_fixtures")


@pytest.fixture
def receiver(stage: Stage) -> Iterator[Receiver]:
    """The other end of a webhook, of which the stage has the address."""
    with Receiver().listening() as receiver:
        (stage.folder / "webhook").write_text(receiver.url)
        yield receiver


@pytest.mark.parametrize("life", LIVES.values(), ids=LIVES)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_runs_life_is_as_written(stage: Stage, receiver: Receiver, life: Play) -> None:
    life.prepare(stage)
    receiver.messages.clear()
    play(stage, life.act)
    life.is_as_written(stage)
    with stage.database() as database:
        all_is_well(stage, database, receiver)


@each_of_its_own(LIVES, {"scheduled": LOCKING})
def test_a_run_outlives_its_conductor_at_any_point(
    stage: Stage, receiver: Receiver, life: Play, point: Point
) -> None:
    life.prepare(stage)
    receiver.messages.clear()
    die_and_recover(stage, life, receiver, point)
