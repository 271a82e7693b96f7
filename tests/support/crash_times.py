"""The life of a look at the clock that is cut short: batches are held, hurried, set free, and ended.

A look starts from the rows, so what one that died has left undone the next one does.
"""

from datetime import datetime, timedelta
from typing import cast

from sqlmodel import col, select

from jobs.deadlines import AfterDeadline
from jobs.prices import Price, PriceBook, Rates
from jobs.states import BatchState, Priority
from jobs.store import Database, now
from jobs.store.leases.feeding import feed
from jobs.tables import Batch
from tests.support.crash_judge import books_balance
from tests.support.crash_lives import Play, do
from tests.support.crash_points import Point
from tests.support.crash_stage import Cast, Stage, play
from tests.support.rows import seed_batch, set_batch
from workers.clock.sweep import Sweep
from workers.clock.timekeeper import Timekeeper

HOUR = timedelta(hours=1)


class CheaperLater:
    """A book in which everything costs less from a moment on."""

    def __init__(self, cheaper_from: datetime) -> None:
        self._cheaper_from = cheaper_from

    def price(self, _provider: str, _model: str, at: datetime) -> Price:
        """Return the price of any model."""
        rate = 10**9 if at < self._cheaper_from else 10**8
        return Price(((0, Rates(rate, rate, rate, rate)),))


def look_twice(cast_: Cast) -> None:
    """Look at the clock, and again, where there is nothing left to be noted."""
    prices = cast("PriceBook", CheaperLater(_cheaper_from(cast_.database)))
    for _ in range(2):
        Timekeeper(cast_.database, prices).look()


def _cheaper_from(database: Database) -> datetime:
    """Return the full hour after the next one, as of when the batches were made."""
    with database.read() as session:
        made_at = session.exec(select(Batch.created_at).order_by(col(Batch.id))).first()
    assert made_at is not None
    return made_at.replace(minute=0, second=0, microsecond=0) + 2 * HOUR


def timed(stage: Stage) -> None:
    """Leave a batch for each thing that the clock does with one."""
    with stage.database() as database:
        with database.read() as session:
            moment = now(session)
        outside, hurried, waits, free, late = (
            seed_batch(database, jobs=2, priority=Priority.BULK) for _ in range(5)
        )
        opens = moment + 2 * HOUR
        window = f"{opens:%H:%M}-{opens + HOUR:%H:%M} UTC"
        set_batch(database, outside, run_window=window)
        set_batch(database, hurried, deadline=moment + HOUR, quoted_s=3500.0)
        set_batch(
            database,
            waits,
            clocked_model="sim/small",
            deadline=moment + 9 * HOUR,
            quoted_s=600.0,
            held_until=moment + timedelta(seconds=5),
        )
        set_batch(
            database, free, held_until=moment + HOUR, waiting_for="its hours: they begin later"
        )
        set_batch(database, late, deadline=moment - HOUR, after_deadline=AfterDeadline.EXPIRE.value)


def die_and_recover(stage: Stage, life: Play, point: Point) -> None:
    """Kill a look, let another one look, and judge what is there then."""
    play(stage, life.act, point)
    do(stage, life.act)
    all_is_noted(stage)


def all_is_noted(stage: Stage) -> None:
    """Assert that each batch is where it belongs, and that its work goes there."""
    do(stage, lambda cast_: Sweep(cast_.database, cast_.celery).expire_batches())
    with stage.database() as database:
        books_balance(database)
        cheaper_from = _cheaper_from(database)
        with database.write() as session:
            outside, hurried, waits, free, late = session.exec(
                select(Batch).order_by(col(Batch.id))
            )
            fed = {piece.batch_ref for piece in feed(session, "sim")}
        assert (outside.waiting_for or "").startswith("its hours: ")
        assert outside.held_until is not None
        assert HOUR < outside.held_until - outside.created_at <= 2 * HOUR
        assert (hurried.held_until, hurried.urgency) == (None, Priority.HIGH)
        assert waits.held_until == cheaper_from
        assert (waits.waiting_for or "").startswith("a cheaper hour: ")
        assert (free.held_until, free.waiting_for, free.urgency) == (None, None, None)
        assert (late.state, late.expired) == (BatchState.EXPIRED, 2)
        assert fed == {hurried.ref, free.ref}


LOOK = Play(look_twice, {"steer": 4, "expire_due": 1}, prepare=timed)
"""A look's at five batches, and a second look's, which writes nothing."""
