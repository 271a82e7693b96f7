"""Whoever makes a retry dies, or whoever runs it: it is made once, and nothing good is paid for again."""

from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from jobs.tables import Batch, Job, Result
from tests.support.crash_lives import (
    JOBS,
    KEEPER,
    RETRY,
    all_is_well,
    die_and_recover,
    do,
    each,
    retried,
)
from tests.support.crash_points import Moment, Point
from tests.support.crash_stage import Stage, accept, feed, let_time_pass, play, recover, submit

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator", "tests.support.crash_fixtures")


@pytest.fixture
def ended_stage(stage: Stage) -> Stage:
    """There is a batch that has ended, and was answered but for one job."""
    do(stage, lambda cast: submit(cast, JOBS))
    play(stage, recover)
    return stage


@pytest.fixture
def retried_stage(stage: Stage) -> Stage:
    """There is a retry for a worker."""
    retried(stage)
    return stage


def test_a_retrys_life_is_as_written(ended_stage: Stage) -> None:
    play(ended_stage, RETRY.act)
    RETRY.is_as_written(ended_stage)


@each([Point("insert_chunk", 2, Moment.BEFORE), Point("accept", 1, Moment.AFTER)])
def test_a_retry_that_is_asked_for_again_is_made_once(
    ended_stage: Stage, simulator: "Simulator", point: Point
) -> None:
    play(ended_stage, RETRY.act, point)
    with ended_stage.database() as database:
        let_time_pass(database)
        do(ended_stage, RETRY.act)
        play(ended_stage, recover)
        all_is_well(database, simulator, kills=0)
        with database.read() as session:
            assert len(session.exec(select(Batch)).all()) == 2
            assert len(session.exec(select(Job)).all()) == 2 * len(JOBS)


def test_a_keepers_life_is_as_written(retried_stage: Stage, simulator: "Simulator") -> None:
    play(retried_stage, KEEPER.act)
    KEEPER.is_as_written(retried_stage)
    with retried_stage.database() as database:
        all_is_well(database, simulator, kills=0)


@each(
    [
        Point("keep", 1, Moment.BEFORE),
        Point("keep", 2, Moment.AFTER),
        Point("finish", 1, Moment.AFTER),
    ]
)
def test_a_worker_may_die_while_it_keeps_answers(
    retried_stage: Stage, simulator: "Simulator", point: Point
) -> None:
    die_and_recover(retried_stage, simulator, KEEPER.act, point)
    assert sources_of_the_second(retried_stage) == ["cache", "cache", "live"]


@each([Point("keep", 1, Moment.AFTER)])
def test_a_worker_may_die_while_it_takes_an_earlier_batchs_answers(
    ended_stage: Stage, simulator: "Simulator", point: Point
) -> None:
    do(ended_stage, lambda cast: feed(cast, accept(cast, JOBS, reuse="1h")))
    die_and_recover(ended_stage, simulator, KEEPER.act, point)
    assert sources_of_the_second(ended_stage) == ["cache", "cache", "live"]


def sources_of_the_second(stage: Stage) -> list[str]:
    with stage.database() as database, database.read() as session:
        return sorted(row.source for row in session.exec(select(Result)) if row.batch_id == 2)
