"""A process is killed before and after every operation of its life, and what is left of the fleet
brings every job to its end: one result, one settlement, and the books as they must be.

The tables below are the lives, as numbers of operations by their names (`tests.support.crash_points`).
A life that does something else than its table says fails, so there is no operation at which nobody was
killed. Whoever recovers is killed as well: after one death in CI, after each of them with
`TIDEMILL_TEST_ALL_PAIRS=1`, which takes an hour.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from jobs.queues import make_celery
from jobs.states import BatchState, PauseCause, Priority
from jobs.store import Database, batches
from jobs.store.budgets import set_caps
from jobs.store.feeding import feed
from jobs.store.projects import ensure_project
from jobs.store.settlement import flush
from tests.support.crash_judge import (
    books_balance,
    calls_are_accounted_for,
    everything_is_done,
    is_deserted,
    lost_attempts,
)
from tests.support.crash_points import Life, Moment, Point
from tests.support.crash_stage import (
    PROJECT_ID,
    QUEUE,
    SLICE_SIZE,
    Act,
    Cast,
    Stage,
    accept,
    let_time_pass,
    make_small,
    play,
    recover,
    submit,
    sweep,
    work,
)
from tests.support.rows import journal_of, lease_of, migrated
from tests.support.services import MACHINE
from tests.support.system import LARGE, Json, lines

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

FAULTS = ("400", "500")
"""What the first two calls of the large model are answered: one is final, one is tried again."""

CALL_MS = 50
JOBS = [
    *lines(1),
    *lines(1, model=LARGE, prefix="rejected"),
    *lines(1, model=LARGE, prefix="retried"),
]
"""Two slices of two jobs at most; the window has room for one, so that one feeds the next."""

MAX_COST_NANOS = 2_000_000
"""Of a batch: above all of its calls' worst cases, those of lost ones included."""

SUBMIT = {"begin": 1, "insert_chunk": 2, "accept": 1, "feed": 1, "publish": 1}
"""The API's while it takes a batch in."""

WORK = {
    "beat": 1,
    "claim": 2,
    "ask": 3,
    "journal": 4,
    "call": 4,
    "settle": 4,
    "mark_draining": 2,
    "feed": 2,
    "publish": 1,
    "finish": 2,
    "tell": 1,
    "leave": 1,
}
"""A worker's, from its first sign of life to its farewell."""

SWEEP = {
    "expire": 2,
    "idle_slices": 2,
    "reconsider": 1,
    "feed": 1,
    "mark_fed": 1,
    "publish": 2,
    "discard": 4,
    "forget_silent": 1,
}
"""The sweep's, of what dead processes and an owner have left (`littered_stage`)."""

OUTSIDE = frozenset({"ask", "call", "publish", "tell"})
"""Operations that the database has no part in: one kind of it is enough."""

BY_THE_CLOCK = frozenset({"beat", "ask", "tell"})
"""Done at least so often; once more where the machine is slow."""


def points_of(life: Mapping[str, int]) -> list[Point]:
    return [
        Point(name, nth, moment)
        for name, times in life.items()
        for nth in range(1, times + 1)
        for moment in Moment
        if moment is not Moment.WITHIN or name == "call"
    ]


def each(points: Iterable[Point]) -> pytest.MarkDecorator:
    """Run a test at each point, on each kind of database where that may matter."""
    return pytest.mark.parametrize(
        ("database_url", "point"),
        [
            pytest.param(database, point, id=f"{database}-{point}")
            for point in points
            for database in ("sqlite", "postgresql")
            if database == "sqlite" or point.name not in OUTSIDE
        ],
        indirect=["database_url"],
    )


@pytest.fixture
def stage(
    simulator: "Simulator",
    tmp_path: Path,
    database_url: str,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """A migrated database with a capped project, a broker, and a provider in a bad mood."""
    make_small(monkeypatch)
    return set_up(Stage(tmp_path, database_url, redis_url, simulator.url), simulator)


def set_up(stage: Stage, simulator: "Simulator") -> Stage:
    simulator.reset()
    faults = [{"kind": kind, "model": LARGE, "times": 1} for kind in FAULTS]
    simulator.faults(*faults, latency=f"constant:{CALL_MS}")
    with migrated(stage.database_url) as database, database.write() as session:
        project_id = ensure_project(session, "default")
        assert project_id == PROJECT_ID
        set_caps(session, project_id, {"daily_nanos": 10 * MAX_COST_NANOS})
    return stage


def do(stage: Stage, act: Act) -> None:
    """Let an act be played that nobody is killed in, without a process of its own."""
    with stage.database() as database:
        act(Cast(stage, Life(stage.trace), database, make_celery(stage.settings)))


def submitting(jobs: list[Json]) -> Act:
    return partial(submit, lines=jobs, max_cost_nanos=MAX_COST_NANOS)


def does_what_the_table_says(stage: Stage, life: Mapping[str, int]) -> None:
    """Assert that each operation has a name in the table, and that there are as many."""
    done: Counter[str] = Counter()
    for operation in stage.operations():
        known = operation.keys() & life.keys()
        assert known, f"nobody is killed at {operation}"
        done.update(known)
    for name, times in life.items():
        assert done[name] == times or (name in BY_THE_CLOCK and done[name] > times), done


def die_and_recover(stage: Stage, simulator: "Simulator", act: Act, *deaths: Point) -> None:
    """Kill one process after the other, the first in `act`, and judge what the last one leaves."""
    with stage.database() as database:
        for point in deaths:
            play(stage, act, point)
            books_balance(database)
            act = recover
        lost = lost_attempts(database)
        play(stage, recover)
        assert lost_attempts(database) == lost
        all_is_well(database, simulator, kills=len(deaths))


def all_is_well(database: Database, simulator: "Simulator", *, kills: int) -> None:
    everything_is_done(database)
    calls_are_accounted_for(database, simulator.rows(), failures=len(FAULTS), kills=kills)


# A submission


def test_a_submissions_life_is_the_table(stage: Stage) -> None:
    play(stage, submitting(JOBS))
    does_what_the_table_says(stage, SUBMIT)


@each(points_of(SUBMIT))
def test_a_submission_is_accepted_whole_or_leaves_no_trace(
    stage: Stage, simulator: "Simulator", point: Point
) -> None:
    play(stage, submitting(JOBS), point)
    with stage.database() as database:
        let_time_pass(database)
        do(stage, sweep)
        is_accepted = (point.name, point.moment) not in {
            *((name, moment) for name in ("begin", "insert_chunk") for moment in Moment),
            ("accept", Moment.BEFORE),
        }
        assert is_deserted(database) is not is_accepted
        if not is_accepted:
            do(stage, submitting(JOBS))
        play(stage, recover)
        all_is_well(database, simulator, kills=1)


# A worker


@pytest.fixture
def fed_stage(stage: Stage) -> Stage:
    """There is a batch for a worker."""
    do(stage, submitting(JOBS))
    return stage


def test_a_workers_life_is_the_table(fed_stage: Stage, simulator: "Simulator") -> None:
    play(fed_stage, work)
    does_what_the_table_says(fed_stage, WORK)
    with fed_stage.database() as database:
        all_is_well(database, simulator, kills=0)


@each(points_of(WORK))
def test_a_worker_may_die_at_any_point(
    fed_stage: Stage, simulator: "Simulator", point: Point
) -> None:
    die_and_recover(fed_stage, simulator, work, point)


IN_FLIGHT = 3
"""With as many of a dead worker, which the gate remembers for 15 s, no more than it begins with."""


@each(
    Point(name, nth, moment)
    for name, nth in (("journal", 1), ("call", 1), ("call", IN_FLIGHT), ("settle", 1))
    for moment in Moment
    if moment is not Moment.WITHIN or name == "call"
)
def test_a_worker_may_die_with_many_calls_in_flight(
    stage: Stage, simulator: "Simulator", point: Point
) -> None:
    busy = replace(stage, max_in_flight=IN_FLIGHT)
    do(busy, submitting([*lines(2 * IN_FLIGHT - 2), *JOBS[1:]]))
    die_and_recover(busy, simulator, work, point)


# The sweep


@pytest.fixture
def littered_stage(stage: Stage) -> Stage:
    """Each duty of the sweep has something to do."""
    litter(stage)
    return stage


def litter(stage: Stage) -> None:
    """Leave a dead upload, two dead workers' slices, a lost message, and batches to move on."""
    play(stage, submitting(JOBS), Point("accept", 1, Moment.BEFORE))
    with stage.database() as database:
        cast = Cast(stage, Life(stage.trace), database, make_celery(stage.settings))

        def accepted(prefix: str, priority: Priority = Priority.NORMAL) -> str:
            jobs = list(lines(SLICE_SIZE + 1, prefix=prefix))
            return accept(cast, jobs, MAX_COST_NANOS, priority).ref

        accepted("unheard", Priority.HIGH)
        with database.write() as session:
            assert len(feed(session, QUEUE)) == 1  # and nobody publishes it
        dead, cancelled, held = (accepted(prefix) for prefix in ("dead", "cancelled", "held"))
        for ref in (dead, cancelled):
            lease = lease_of(database, ref)
            with database.write() as session:
                flush(session, [journal_of(lease, 0)], [])
        with database.write() as session:
            batches.move(session, PROJECT_ID, cancelled, BatchState.CANCELLING)
            batch = batches.lock_by_ref(session, held)
            assert batch is not None  # it was just accepted
            batch.state, batch.pause_cause = BatchState.PAUSED, PauseCause.BATCH_BUDGET
        let_time_pass(database)


def test_a_sweeps_life_is_the_table(littered_stage: Stage) -> None:
    play(littered_stage, sweep)
    does_what_the_table_says(littered_stage, SWEEP)


@each(points_of(SWEEP))
def test_the_sweep_may_die_at_any_point(
    littered_stage: Stage, simulator: "Simulator", point: Point
) -> None:
    die_and_recover(littered_stage, simulator, sweep, point)


# Two deaths

LIVES: dict[str, tuple[Mapping[str, int], Act, Callable[[Stage], None]]] = {
    "submit": (SUBMIT, submitting(JOBS), lambda _stage: None),
    "work": (WORK, work, lambda stage: do(stage, submitting(JOBS))),
    "sweep": (SWEEP, sweep, litter),
}
"""What each life does, how it is begun, and what must be there before."""

FIRST_DEATHS = [
    (name, point)
    for name, (life, _act, _prepare) in LIVES.items()
    for point in points_of(life)
    if point.moment is not Moment.BEFORE  # which leaves what the operation before it has left
]
IN_CI = ("work", Point("call", 2, Moment.WITHIN))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let the machine decide how many first deaths are tried."""
    if "first_death" in metafunc.fixturenames:
        deaths = FIRST_DEATHS if metafunc.config.stash[MACHINE].has_time else [IN_CI]
        ids = [f"{name}-{point}" for name, point in deaths]
        metafunc.parametrize("first_death", deaths, ids=ids)


@pytest.mark.timeout(600)
def test_whoever_recovers_may_die_at_any_point(
    simulator: "Simulator",
    tmp_path: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    first_death: tuple[str, Point],
) -> None:
    make_small(monkeypatch)
    name, first = first_death
    _, act, prepare = LIVES[name]

    def prepared(folder: Path) -> Stage:
        folder.mkdir()
        with redis.Redis.from_url(redis_url) as broker:
            broker.flushdb()
        url = f"sqlite:///{folder / 'tidemill.db'}"
        stage = set_up(Stage(folder, url, redis_url, simulator.url), simulator)
        prepare(stage)
        return stage

    undisturbed = prepared(tmp_path / "undisturbed")
    play(undisturbed, act, first)
    play(undisturbed, recover)
    for second in deaths_in(undisturbed):
        try:
            die_and_recover(prepared(tmp_path / str(second)), simulator, act, first, second)
        except AssertionError as error:
            error.add_note(f"the second death was {second}")
            raise


def deaths_in(stage: Stage) -> list[Point]:
    """Return the points of the life that just ended by itself, but for what the clock decides."""
    found = []
    for operation in stage.operations():
        name, nth = next(iter(operation.items()))
        if name in BY_THE_CLOCK and nth > 1:
            continue
        if name == "call":
            found.append(Point(name, nth, Moment.WITHIN))
        found.append(Point(name, nth, Moment.AFTER))
    return found
