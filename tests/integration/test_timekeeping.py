"""Hours and deadlines of batches on both databases: what is held, hurried, and ended, and by one sweep."""

from datetime import datetime, timedelta
from typing import cast

import pytest
from celery import Celery

from jobs.errors import IllegalTransition
from jobs.prices import Price, PriceBook, Rates
from jobs.queues import make_celery
from jobs.settings import Settings
from jobs.states import BatchState, Outcome, Priority, ResultStatus, SliceState
from jobs.store import Database, now
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.batches import batches, timed
from jobs.store.leases import leases
from jobs.store.leases.feeding import feed
from jobs.store.leases.leases import Lease
from jobs.store.money.settlement import flush
from jobs.store.native import lane_shares
from jobs.store.proof.balance import balance
from jobs.tables import Slice
from tests.support.rows import batch_of, journal_of, lease_of, seed_batch, set_batch
from workers.clock.sweep import Sweep
from workers.clock.timekeeper import Timekeeper

HOUR = timedelta(hours=1)


@pytest.fixture
def celery(redis_url: str) -> Celery:
    return make_celery(Settings(broker_url=redis_url))


def database_time(database: Database) -> datetime:
    with database.read() as session:
        return now(session)


def window(opens: datetime, closes: datetime) -> str:
    return f"{opens:%H:%M}-{closes:%H:%M} UTC"


def fed(database: Database) -> int:
    with database.write() as session:
        return len(feed(session, "sim"))


def test_a_batch_is_not_fed_outside_of_its_hours_and_is_when_they_begin(
    database: Database,
) -> None:
    moment = database_time(database)
    ref = seed_batch(database, jobs=20)
    set_batch(database, ref, run_window=window(moment + 2 * HOUR, moment + 3 * HOUR))
    keeper = Timekeeper(database)
    keeper.look()
    batch = batch_of(database, ref)
    assert batch.held_until is not None
    assert HOUR < batch.held_until - moment <= 2 * HOUR
    assert (batch.waiting_for or "").startswith("its hours: ")
    assert fed(database) == 0
    # Its hours begin: also before a sweep has looked.
    set_batch(database, ref, held_until=moment - HOUR)
    assert fed(database) == 2
    set_batch(database, ref, run_window=window(moment - HOUR, moment + HOUR))
    keeper.look()
    batch = batch_of(database, ref)
    assert (batch.held_until, batch.waiting_for) == (None, None)


def test_leases_that_run_when_the_hours_end_drain_and_fed_slices_wait(database: Database) -> None:
    moment = database_time(database)
    ref = seed_batch(database, jobs=30)
    lease = lease_of(database, ref, 0)
    assert fed(database) == 2
    set_batch(database, ref, run_window=window(moment + 2 * HOUR, moment + 3 * HOUR))
    Timekeeper(database).look()
    with database.write() as session:
        assert leases.renew(session, "worker-1", [(lease.batch_id, 0)]) == {lease.batch_id}
        assert leases.claim(session, ref, 1, "worker-2") is None
        waiting = session.get(Slice, (lease.batch_id, 1))
        assert waiting is not None
        assert waiting.state == SliceState.WAITING
    with database.write() as session:  # what was in flight ends and counts
        flush(session, [journal_of(lease, 0)], [])
        leases.give_back(session, lease)
    assert fed(database) == 0


def test_another_reason_to_wait_is_left_alone(database: Database) -> None:
    moment = database_time(database)
    ref = seed_batch(database)
    hours = window(moment + 2 * HOUR, moment + 3 * HOUR)
    set_batch(database, ref, run_window=hours)
    with database.write() as session:
        batches.move(session, 1, ref, BatchState.PAUSED)
    keeper = Timekeeper(database)
    keeper.look()
    assert batch_of(database, ref).waiting_for == batches.PAUSED_BY_OWNER
    with database.write() as session:
        batches.move(session, 1, ref, BatchState.RUNNING)
    keeper.look()
    assert (batch_of(database, ref).waiting_for or "").startswith("its hours: ")


def test_urgency_is_what_feeding_and_leases_go_by(database: Database) -> None:
    moment = database_time(database)
    calm = seed_batch(database, jobs=400, slice_size=10, priority=Priority.BULK)
    hasty = seed_batch(database, jobs=400, slice_size=10, priority=Priority.BULK)
    set_batch(database, hasty, deadline=moment + HOUR, quoted_s=3500.0)
    Timekeeper(database).look()
    assert batch_of(database, hasty).urgency == Priority.HIGH
    assert batch_of(database, calm).urgency is None
    with database.write() as session:
        places = [piece.batch_ref for piece in feed(session, "sim")]
    assert places.count(hasty) > 4 * places.count(calm)
    assert lease_of(database, hasty, 0).priority == Priority.HIGH
    assert lease_of(database, calm, 0).priority == Priority.BULK
    set_batch(database, hasty, deadline=moment + 9 * HOUR)
    Timekeeper(database).look()
    assert batch_of(database, hasty).urgency is None


def late_batch(database: Database) -> tuple[str, Lease]:
    """A batch whose deadline is over, three slices, one of them leased with a call in flight."""
    ref = seed_batch(database, jobs=30)
    lease = lease_of(database, ref, 0)
    with database.write() as session:
        flush(session, [journal_of(lease, 0)], [])
    moment = database_time(database)
    set_batch(database, ref, deadline=moment - HOUR, after_deadline="expire")
    return ref, lease


def test_what_is_open_at_the_deadline_expires_and_calls_in_flight_count(
    database: Database, celery: Celery
) -> None:
    ref, lease = late_batch(database)
    sweep = Sweep(database, celery)
    for duty in 2 * (sweep.keep_time, sweep.expire_batches):  # twice, as by two
        duty()
    batch = batch_of(database, ref)
    assert (batch.state, batch.expired, batch.in_flight) == (BatchState.FINALIZING, 20, 1)
    assert fed(database) == 0
    with database.write() as session:
        with pytest.raises(IllegalTransition):
            batches.move(session, 1, ref, BatchState.RUNNING)
        assert leases.renew(session, "worker-1", [(batch.id or 0, 0)]) == {batch.id}
    with database.write() as session:
        answer = ResultDraft(ResultStatus.SUCCEEDED, output='"yes"')
        flush(session, [], [Settlement(journal_of(lease, 0), Outcome.SUCCEEDED, result=answer)])
        leases.give_back(session, lease)
    Sweep(database, celery).expire_batches()
    batch = batch_of(database, ref)
    assert (batch.state, batch.succeeded, batch.expired) == (BatchState.EXPIRED, 1, 29)
    with database.read() as session:
        found = {each.code for each in balance(session, batches.find(session, 1, ref)).violations}
    assert found.isdisjoint({"wrong_state", "open_slices", "lost_jobs", "miscounted_expired"})


def test_a_batch_that_may_be_late_goes_on(database: Database, celery: Celery) -> None:
    ref, _ = late_batch(database)
    set_batch(database, ref, after_deadline="finish")
    sweep = Sweep(database, celery)
    sweep.keep_time()
    sweep.expire_batches()
    batch = batch_of(database, ref)
    assert (batch.state, batch.expired, batch.urgency) == (BatchState.RUNNING, 0, Priority.HIGH)


@pytest.mark.parametrize("state", [BatchState.CANCELLING, BatchState.PAUSED])
def test_a_paused_batch_expires_and_a_cancelled_one_does_not(
    database: Database, celery: Celery, state: BatchState
) -> None:
    ref, _ = late_batch(database)
    with database.write() as session:
        batches.move(session, 1, ref, state)
    Sweep(database, celery).keep_time()
    expires = state == BatchState.PAUSED
    assert batch_of(database, ref).state == (BatchState.FINALIZING if expires else state)


def test_a_deadline_that_is_moved_meanwhile_is_not_over(database: Database) -> None:
    ref, _ = late_batch(database)
    batch_id = batch_of(database, ref).id or 0
    set_batch(database, ref, deadline=database_time(database) + HOUR)
    with database.write() as session:
        assert not timed.expire_due(session, batch_id)
    assert batch_of(database, ref).state == BatchState.RUNNING


class Clocked:
    """A book in which everything costs less from the next full hour but one on."""

    def __init__(self, cheaper_from: datetime) -> None:
        self._cheaper_from = cheaper_from

    def price(self, _provider: str, _model: str, at: datetime) -> Price:
        rate = 10**9 if at < self._cheaper_from else 10**8
        return Price(((0, Rates(rate, rate, rate, rate)),))


def test_a_batch_with_time_enough_waits_for_the_cheaper_hour(database: Database) -> None:
    moment = database_time(database)
    cheaper = moment.replace(minute=0, second=0, microsecond=0) + 2 * HOUR
    ref = seed_batch(database, jobs=20)
    set_batch(
        database,
        ref,
        clocked_model="sim/small",
        deadline=moment + 5 * HOUR,
        quoted_s=600.0,
        held_until=moment + timedelta(seconds=5),  # as it is accepted
    )
    keeper = Timekeeper(database, cast("PriceBook", Clocked(cheaper)))
    keeper.look()
    batch = batch_of(database, ref)
    assert batch.held_until == cheaper
    assert batch.waiting_for == (
        f"a cheaper hour: sim/small costs less from {cheaper:%Y-%m-%d %H:%M} UTC on"
    )
    assert fed(database) == 0
    set_batch(database, ref, quoted_s=4 * 3600.0)  # now there is no time to lose
    keeper.look()
    batch = batch_of(database, ref)
    assert (batch.held_until, batch.waiting_for) == (None, None)
    assert fed(database) == 2


def test_outside_of_its_hours_work_goes_to_neither_lane(database: Database) -> None:
    moment = database_time(database)
    ref = seed_batch(database)
    set_batch(database, ref, lane="batch", lane_due_at=moment - HOUR, held_until=moment + HOUR)
    with database.write() as session:
        assert lane_shares.undecided(session) == []
        assert lane_shares.begin(session, ref) is None
    set_batch(database, ref, held_until=moment - HOUR)
    with database.write() as session:
        assert lane_shares.undecided(session) == [("sim", ref)]
        assert lane_shares.begin(session, ref) is not None
