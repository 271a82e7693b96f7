"""Native batches in the books, on both databases: claimed, journaled, settled, given up, and turning up."""

from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from jobs.errors import LeaseLost
from jobs.states import BatchState, NativeState, Outcome, SliceState
from jobs.store import Database, now
from jobs.store.attempts.reports import Admission, Settlement
from jobs.store.batches import batches
from jobs.store.leases import lost_leases
from jobs.store.leases.feeding import feed
from jobs.store.native import native, native_books, native_making, native_room, native_slices
from jobs.store.proof.balance import balance
from jobs.tables import Batch, NativeBatch, Slice
from tests.support.native import (
    GROUP,
    LIVE_PRICE,
    PRICE,
    USAGE,
    answered,
    claimed,
    held,
    journals,
    lines_of,
    made,
    moved,
    packed,
)
from tests.support.rows import batch_of, lease_of, seed_batch


def states(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.exec(select(Slice.state).order_by(col(Slice.no))))


def faults(database: Database, ref: str) -> list[str]:
    with database.snapshot() as session:
        batch = batches.find(session, 1, ref)
        return [violation.code for violation in balance(session, batch).violations]


def test_its_slices_are_nobody_elses(database: Database) -> None:
    ref = seed_batch(database, jobs=30)
    name = made(database, ref, 0, 1)
    assert states(database) == [SliceState.DRAINING, SliceState.DRAINING, SliceState.WAITING]
    with database.write() as session:
        assert [piece.slice_no for piece in feed(session, "sim")] == [2]
        assert (
            native_making.make(session, 1, GROUP, [native_making.PlannedSlice(0, 10, 1, 1)]) is None
        )
    batch = batch_of(database, ref)
    assert (batch.state, batch.started_at is not None) == (BatchState.RUNNING, True)
    assert [piece.cut.no for piece in held(database, claimed(database, name))] == [0, 1]


def test_no_clock_takes_its_slices(database: Database) -> None:
    made(database, seed_batch(database), 0)
    with database.write() as session:
        session.connection().execute(
            update(Slice).values(lease_until=now(session) - timedelta(days=1))
        )
    with database.read() as session:
        assert lost_leases.expired(session, limit=9) == []
    with database.write() as session:
        assert lost_leases.expire(session, 1, 0) is None
        session.connection().execute(
            update(Slice).values(lease_until=now(session) + timedelta(days=9))
        )
        lost_leases.bring_near(session)
    with database.read() as session:
        until = session.exec(select(Slice.lease_until)).one()
        assert until is not None
        assert until > now(session) + timedelta(days=8)


def test_a_batch_whose_slices_are_not_shared_out_yet_is_not_fed(database: Database) -> None:
    seed_batch(database)
    with database.write() as session:
        session.connection().execute(update(Batch).values(lane_due_at=now(session)))
        assert feed(session, "sim") == []


def test_a_step_is_done_by_one(database: Database) -> None:
    name = made(database, seed_batch(database), 0)
    of = claimed(database, name)
    with database.write() as session:
        assert native.claim(session, name) is None
        assert native.due(session, limit=9) == []
        assert native.renew(session, of.id, of.claim)
        assert not native.renew(session, of.id, of.claim - 1)


def test_the_dead_are_followed_and_their_writes_are_void(database: Database) -> None:
    ref = seed_batch(database)
    dead = packed(database, ref, 0)
    with database.write() as session:
        session.connection().execute(
            update(NativeBatch).values(claimed_until=now(session) - timedelta(seconds=1))
        )
    living = claimed(database, dead.ref)
    line = lines_of(database, living)[0].journal
    for late in (
        lambda session: native.move(session, dead, NativeState.SENDING),
        lambda session: native_books.settle(session, dead, [answered(line)]),
        lambda session: native_books.journal(session, dead, [line]),
        lambda session: native_slices.release(session, dead, held(database, dead)),
        lambda session: native_making.split(session, dead, held(database, dead), wait_s=1),
    ):
        with pytest.raises(LeaseLost), database.write() as session:
            late(session)
    batch = batch_of(database, ref)
    assert (batch.succeeded, batch.in_flight, states(database)) == (0, 10, [SliceState.DRAINING])


def test_lines_are_journaled_once_and_at_the_lanes_price(database: Database) -> None:
    ref = seed_batch(database)
    of = packed(database, ref, 0)
    for _again in range(2):
        with database.write() as session:
            native_books.journal(session, of, [line.journal for line in lines_of(database, of)])
    batch = batch_of(database, ref)
    assert (batch.in_flight, batch.reserved_nanos) == (10, 30_000)
    assert faults(database, ref) == []


def test_what_no_budget_has_room_for_is_journaled_not_at_all(database: Database) -> None:
    ref = seed_batch(database, max_cost_nanos=29_999)
    of = claimed(database, made(database, ref, 0))
    (piece,) = held(database, of)
    with pytest.raises(native_books.NotAdmitted) as refused, database.write() as session:
        native_books.journal(session, of, journals(of, piece))
    assert refused.value.admission is Admission.NO_ROOM_YET
    assert batch_of(database, ref).in_flight == 0


def test_answers_are_booked_once_and_the_saving_is_told(database: Database) -> None:
    ref = seed_batch(database)
    of = packed(database, ref, 0)
    ends = [answered(line.journal) for line in lines_of(database, of)]
    for _again in range(2):
        with database.write() as session:
            native_books.settle(session, of, ends)
    with database.write() as session:
        native_slices.release(session, of, held(database, of))
        native_slices.release(session, of, held(database, of))
        native.write(session, of, state=NativeState.INGESTING)
    batch = batch_of(database, ref)
    assert (batch.state, batch.succeeded, batch.in_flight) == (BatchState.COMPLETED, 10, 0)
    assert batch.spent_nanos == 10 * PRICE.cost_nanos(USAGE)
    assert batch.lane_saved_nanos == 10 * (LIVE_PRICE.cost_nanos(USAGE) - PRICE.cost_nanos(USAGE))
    assert faults(database, ref) == []


def test_what_was_not_run_goes_back_and_runs_live(database: Database) -> None:
    ref = seed_batch(database, jobs=20)
    of = packed(database, ref, 0, 1)
    lines = [line.journal for line in lines_of(database, of)]
    ends = [answered(line) for line in lines[:15]]
    ends += [Settlement(line, Outcome.UNSENT) for line in lines[15:]]
    with database.write() as session:
        native_books.settle(session, of, ends)
        native_slices.release(session, of, held(database, of))
    assert states(database) == [SliceState.DONE, SliceState.WAITING]
    lease = lease_of(database, ref, 1)
    assert lease.fence == 3
    assert faults(database, ref) == []


def test_what_was_given_up_and_turns_up_is_booked_and_changes_no_result(database: Database) -> None:
    ref = seed_batch(database)
    of = packed(database, ref, 0)
    lines = [line.journal for line in lines_of(database, of)]
    with database.write() as session:
        native_books.settle(session, of, [Settlement(line, Outcome.UNSENT) for line in lines])
        native_slices.release(session, of, held(database, of))
    assert batch_of(database, ref).spent_nanos == 0
    of = moved(database, of, NativeState.LOST)
    for _again in range(2):
        with database.write() as session:
            native_books.settle(session, of, [answered(line) for line in lines[:4]])
    batch = batch_of(database, ref)
    assert (batch.succeeded, batch.in_flight, batch.unknown_attempts) == (0, 0, 0)
    assert batch.spent_nanos == 4 * PRICE.cost_nanos(USAGE)
    assert faults(database, ref) == []


def test_slices_without_room_wait_in_a_native_batch_of_their_own(database: Database) -> None:
    ref = seed_batch(database, jobs=30)
    of = claimed(database, made(database, ref, 0, 1, 2))
    staying, *moved_on = held(database, of)
    with database.write() as session:
        native_books.journal(session, of, journals(of, staying))
        rest = native_making.split(session, of, moved_on, wait_s=0)
    assert [piece.cut.no for piece in held(database, of) if piece.is_held] == [0]
    other = claimed(database, rest)
    assert (other.jobs, other.estimated_tokens) == (20, 200)
    with database.write() as session:
        native_slices.release(session, other, held(database, other))
    assert states(database) == [SliceState.DRAINING, SliceState.WAITING, SliceState.WAITING]


def test_a_slice_that_somebody_else_has_by_now_is_not_handed_on(database: Database) -> None:
    ref = seed_batch(database, jobs=20)
    of = claimed(database, made(database, ref, 0, 1))
    pieces = held(database, of)
    with database.write() as session:
        session.connection().execute(
            update(Slice)
            .where(col(Slice.no) == 0)
            .values(owner="a worker", fence=col(Slice.fence) + 1)
        )
    with database.write() as session:
        rest = native_making.split(session, of, pieces, wait_s=0)
    other = claimed(database, rest)
    assert [piece.cut.no for piece in held(database, other)] == [1]
    assert (other.jobs, other.estimated_tokens) == (10, of.estimated_tokens // 2)


def test_what_was_sent_is_looked_for_by_the_size_that_it_had(database: Database) -> None:
    ref = seed_batch(database, jobs=20)
    of = claimed(database, made(database, ref, 0, 1))
    with database.write() as session:
        native.move(session, of, NativeState.SENDING)
    sent = claimed(database, of.ref)
    with database.write() as session:
        native_making.split(session, sent, held(database, sent), wait_s=0)
        native.move(session, sent, NativeState.LOST)
    assert claimed(database, of.ref).jobs == 20


def test_tokens_are_enqueued_within_the_limit(database: Database) -> None:
    ref = seed_batch(database, jobs=40)
    first, second, third = (
        claimed(database, made(database, ref, no, tokens=60)) for no in range(3)
    )
    with database.write() as session:
        assert native_room.enqueue(session, first, enqueued_tokens=100, max_open=2)
        assert native_room.enqueue(session, first, enqueued_tokens=100, max_open=2)
        assert not native_room.enqueue(session, second, enqueued_tokens=100, max_open=2)
        assert native_room.enqueue(session, second, enqueued_tokens=None, max_open=2)
        assert not native_room.enqueue(session, third, enqueued_tokens=None, max_open=2)
        native.move(session, first, NativeState.ENDED)
    with database.write() as session:
        assert native_room.enqueue(session, third, enqueued_tokens=120, max_open=2)


def test_a_paused_batch_gets_no_native_batch(database: Database) -> None:
    ref = seed_batch(database)
    with database.write() as session:
        batches.move(session, 1, ref, BatchState.PAUSED)
        assert (
            native_making.make(session, 1, GROUP, [native_making.PlannedSlice(0, 10, 1, 1)]) is None
        )


def test_what_is_known_to_be_at_its_provider_is_told_for_the_time_that_is_looked_at(
    database: Database,
) -> None:
    """One that was lost and has turned up as well: it must not be taken for another that is looked for."""
    ref = seed_batch(database, jobs=20)
    with database.read() as session:
        moment = now(session)
    for number, sent_at in enumerate((moment, moment - timedelta(days=30))):
        of = claimed(database, made(database, ref, number))
        with database.write() as session:
            native.write(session, of, sent_at=sent_at, remote_id=f"remote-{number}")
    with database.read() as session:
        assert native_room.remote_ids(session, GROUP, moment) == {"remote-0"}
