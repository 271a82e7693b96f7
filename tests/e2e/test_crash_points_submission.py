"""The API dies at every operation while it takes a batch in; its client sends it again."""

from typing import TYPE_CHECKING

from sqlmodel import select

from jobs.tables import Batch, Job
from tests.support.crash_lives import JOBS, SUBMISSION, all_is_well, do, each
from tests.support.crash_points import Moment, Point
from tests.support.crash_stage import Stage, let_time_pass, play, recover, sweep

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator", "tests.support.crash_fixtures")


def test_a_submissions_life_is_as_written(stage: Stage) -> None:
    play(stage, SUBMISSION.act)
    SUBMISSION.is_as_written(stage)


@each(SUBMISSION.points())
def test_a_submission_that_is_sent_again_is_accepted_once(
    stage: Stage, simulator: "Simulator", point: Point
) -> None:
    play(stage, SUBMISSION.act, point)
    with stage.database() as database:
        let_time_pass(database)
        do(stage, SUBMISSION.act)
        play(stage, recover)
        all_is_well(database, simulator, kills=1)
        with database.read() as session:
            assert len(session.exec(select(Batch)).all()) == 1
            assert len(session.exec(select(Job)).all()) == len(JOBS)


@each(SUBMISSION.points())
def test_a_submission_that_nobody_sends_again_is_whole_or_leaves_no_trace(
    stage: Stage, simulator: "Simulator", point: Point
) -> None:
    play(stage, SUBMISSION.act, point)
    is_accepted = point.name in {"feed", "publish"} or point == Point("accept", 1, Moment.AFTER)
    with stage.database() as database:
        let_time_pass(database)
        do(stage, sweep)
        with database.read() as session:
            assert len(session.exec(select(Batch)).all()) == is_accepted
            assert len(session.exec(select(Job)).all()) == (len(JOBS) if is_accepted else 0)
        play(stage, recover)
        all_is_well(database, simulator, kills=1)
