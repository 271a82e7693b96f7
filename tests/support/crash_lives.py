"""The lives that are cut short: what each does, what must be there before, and what must come after.

A life is a table: numbers of operations by their names (`tests.support.crash_points`). One that does
something else than its table says fails, so there is no operation at which nobody was killed.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from jobs.deadlines import AfterDeadline
from jobs.queues import make_celery
from jobs.states import BatchState, PauseCause, Priority
from jobs.store import Database, now
from jobs.store.batches import batches
from jobs.store.leases.feeding import feed
from jobs.store.money.budgets import set_caps
from jobs.store.money.settlement import flush
from jobs.store.projects import ensure_project
from tests.support.crash_judge import (
    books_balance,
    calls_are_accounted_for,
    everything_is_done,
    lost_attempts,
)
from tests.support.crash_points import Life, Moment, Point
from tests.support.crash_stage import (
    MAX_COST_NANOS,
    PROJECT_ID,
    QUEUE,
    SLICE_SIZE,
    Act,
    Cast,
    Stage,
    accept,
    let_time_pass,
    play,
    recover,
    retry,
    submit,
    sweep,
    work,
)
from tests.support.environment import Machine
from tests.support.rows import journal_of, lease_of, migrated
from tests.support.system import LARGE, lines

if TYPE_CHECKING:
    # Imported by pytest itself, as a plugin of the modules that use it.
    from tests.support.simulator import Simulator

FAULTS = ("400", "500")
"""What the first two calls of the large model are answered: one is final, one is tried again."""

CALL_MS = 50

JOBS = [
    *lines(1),
    *lines(1, model=LARGE, prefix="rejected"),
    *lines(1, model=LARGE, prefix="retried"),
]
"""Two slices of two jobs at most; the window has room for one, so that one feeds the next."""

OUTSIDE = frozenset({"ask", "call", "publish", "tell"})
"""Operations that the database has no part in: one kind of it is enough."""

BY_THE_CLOCK = frozenset({"beat", "ask", "tell"})
"""Done at least so often; once more where the machine is slow."""


@dataclass(frozen=True, slots=True)
class Play:
    """A life: how it is lived, how often it does what, and what must be there before."""

    act: Act
    does: Mapping[str, int]
    prepare: Callable[[Stage], None]
    own: Mapping[str, Iterable[int]] | None = None
    """Which operations other lives don't have alike, and are enough where time is short; None for all."""
    by_the_clock: frozenset[str] = BY_THE_CLOCK

    def points(self) -> list[Point]:
        """Return where it can end."""
        return [
            Point(name, nth, moment)
            for name, times in self.does.items()
            for nth in range(1, times + 1)
            for moment in Moment
            if moment is not Moment.WITHIN or name == "call"
        ]

    def own_points(self) -> list[Point]:
        """Return where it can end after an operation of its own."""
        every = {name: range(1, times + 1) for name, times in self.does.items()}
        return [
            Point(name, nth, Moment.AFTER)
            for name, numbers in (self.own or every).items()
            for nth in numbers
        ]

    def is_as_written(self, stage: Stage) -> None:
        """Assert that the life that just ended did what it `does`, and nothing else."""
        done: Counter[str] = Counter()
        for operation in stage.operations():
            known = operation.keys() & self.does.keys()
            assert known, f"nobody is killed at {operation}"
            done.update(known)
        for name, times in self.does.items():
            assert done[name] == times or (name in self.by_the_clock and done[name] > times), done


def each(points: Iterable[Point]) -> pytest.MarkDecorator:
    """Run a test at each point, on each kind of database where that may matter."""
    return pytest.mark.parametrize(
        ("database_url", "point"),
        [
            pytest.param(database, point, id=f"{database}-{point}")
            for point in points
            for database in _databases(point)
        ],
        indirect=["database_url"],
    )


def each_of_its_own(
    lives: Mapping[str, Play], locking: Mapping[str, Sequence[Point]]
) -> pytest.MarkDecorator:
    """Run a test at points of lives, each a process's only death, as `life` and `point`.

    In CI a life ends after every operation of its own, on SQLite, which is as good as right before the
    next one; and on PostgreSQL at its points of `locking`, with an open transaction that holds locks.
    Where `TIDEMILL_TEST_ALL_PAIRS=1` it ends at all points, on both.
    """
    if Machine.of(os.environ).has_time:
        tried = [
            (name, point, database)
            for name, life in lives.items()
            for point in life.points()
            for database in ("sqlite", "postgresql")
        ]
    else:
        tried = [(name, p, "sqlite") for name, life in lives.items() for p in life.own_points()]
        tried += [(name, p, "postgresql") for name, points in locking.items() for p in points]
    return pytest.mark.parametrize(
        ("database_url", "life", "point"),
        [
            pytest.param(database, lives[name], point, id=f"{name}-{database}-{point}")
            for name, point, database in tried
        ],
        indirect=["database_url"],
    )


def _databases(point: Point) -> tuple[str, ...]:
    """Return the kinds of database on which a death at this point leaves something of its own.

    What dies before an operation has left what the one before it did, and a transaction that is not
    committed. SQLite forgets that as it forgets the first of its name; on PostgreSQL it holds locks.
    """
    is_before = point.moment is Moment.BEFORE
    if point.name in OUTSIDE:
        return () if is_before and point.nth > 1 else ("sqlite",)
    return ("postgresql",) if is_before and point.nth > 1 else ("sqlite", "postgresql")


def set_up(stage: Stage, simulator: "Simulator") -> Stage:
    """Make it as good as new, on an empty database."""
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
    """Assert that every job has its one result, and every call its place in the books."""
    everything_is_done(database)
    calls_are_accounted_for(database, simulator.rows(), failures=len(FAULTS), kills=kills)


def litter(stage: Stage) -> None:
    """Leave a dead upload, two dead workers' slices, two lost messages, and batches to move on.

    Each is of the priority that gives it a place in the window, whatever is fed before it.
    """
    play(stage, partial(submit, lines=JOBS), Point("accept", 1, Moment.BEFORE))
    with stage.database() as database:
        cast = Cast(stage, Life(stage.trace), database, make_celery(stage.settings))

        def accepted(prefix: str, priority: Priority = Priority.NORMAL) -> str:
            jobs = list(lines(SLICE_SIZE + 1, prefix=prefix))
            return accept(cast, jobs, priority=priority).ref

        for priority in (Priority.HIGH, Priority.INTERACTIVE):
            accepted(priority, priority)
            with database.write() as session:
                assert len(feed(session, QUEUE)) == 1  # and nobody publishes it
        dead, cancelled = accepted("dead"), accepted("cancelled")
        for ref in (dead, cancelled):
            lease = lease_of(database, ref)
            with database.write() as session:
                flush(session, [journal_of(lease, 0)], [])
        held = accepted("held", Priority.BULK)
        with database.write() as session:
            batches.move(session, PROJECT_ID, cancelled, BatchState.CANCELLING)
            batch = batches.lock_by_ref(session, held)
            assert batch is not None  # it was just accepted
            batch.state, batch.pause_cause = BatchState.PAUSED, PauseCause.BATCH_BUDGET
        late = accepted("late", Priority.BULK)
        with database.write() as session:
            batch = batches.lock_by_ref(session, late)
            assert batch is not None  # it was just accepted
            batch.deadline = now(session)
            batch.after_deadline = AfterDeadline.EXPIRE
        let_time_pass(database)


def nothing(_stage: Stage) -> None:
    """Prepare nothing."""


SUBMISSION = Play(
    partial(submit, lines=JOBS),
    {"begin": 1, "insert_chunk": 2, "accept": 1, "feed": 1, "publish": 1},
    prepare=nothing,
)
"""The API's while it takes a batch in."""

WORKER = Play(
    work,
    {
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
    },
    prepare=partial(do, act=partial(submit, lines=JOBS)),
)
"""A worker's, from its first sign of life to its farewell."""


def retried(stage: Stage) -> None:
    """Leave a batch that has ended and its retry, which is fed."""
    do(stage, partial(submit, lines=JOBS))
    play(stage, recover)
    do(stage, retry)


RETRY = Play(
    retry,
    {"begin": 1, "insert_chunk": 2, "accept": 1, "feed": 1, "publish": 1},
    prepare=nothing,
)
"""The API's while it makes a retry, of which the lines are in the database."""

KEEPER = Play(
    work,
    {
        "beat": 1,
        "claim": 2,
        "keep": 2,
        "ask": 1,
        "journal": 1,
        "call": 1,
        "settle": 1,
        "mark_draining": 2,
        "feed": 2,
        "publish": 1,
        "finish": 2,
        "tell": 1,
        "leave": 1,
    },
    prepare=retried,
)
"""A worker's that runs a retry: two jobs are kept, and one that was rejected is called for."""

SWEEP = Play(
    sweep,
    {
        "bring_near": 1,
        "expire": 2,
        "expire_due": 1,
        "idle_slices": 2,
        "reconsider": 1,
        "feed": 1,
        "mark_fed": 1,
        "publish": 5,
        "discard": 4,
        "forget_silent": 1,
        "add_mark": 2,
    },
    prepare=litter,
)
"""The sweep's, of what dead processes and an owner have left."""
