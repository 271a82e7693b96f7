"""The lives of native batches against a batch API in memory: sent, read, rescued, lost, killed anywhere."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from jobs.clock import utcnow
from jobs.errors import LeaseLost, RateLimited, RequestRejected, ServerFailed, TimedOut
from jobs.exchange import ModelRequest
from jobs.lanes import LaneTimes, custom_id
from jobs.settings import Settings
from jobs.states import BatchState, LaneWish, NativeState, SliceState
from jobs.store import Database, now
from jobs.store.batches import batches
from jobs.store.batches.jobs import SliceRange, insert_chunk, insert_slices
from jobs.store.batches.uploads import BatchDraft, accept, begin
from jobs.store.leases import slices
from jobs.store.native import native
from jobs.store.projects import ensure_project
from jobs.store.proof.balance import balance
from jobs.store.results import results
from jobs.tables import Attempt, Batch, NativeBatch, Result, Slice
from tests.support.fake_lane import Died, FakeBatches, FakeLanes, answer, fails, parts_of
from tests.support.rows import batch_of
from workers.lanes.sending import LEFT_NOTHING
from workers.lanes.sharing import Sharing
from workers.lanes.steps import Steps
from workers.lanes.wire import End, NativeLine

JOBS, SLICE = 30, 10
LIVE_NANOS, BATCH_NANOS = 210_000, 105_000
"""What an answer costs: 10 tokens in and 100 out; at worst it is some 220,000 at half the price."""

REQUEST = '{{"custom_id":"j","prompt":"{}"}}'


@dataclass
class Stage:
    """A database with one batch that waits to be shared out, and processes that work on it."""

    database: Database
    settings: Settings
    wire: FakeBatches
    ref: str
    enqueued_tokens: int | None = None

    def process(self) -> tuple[Sharing, Steps, Callable[[], None]]:
        """Return a process's sharing and steps, and what ends it."""
        parts = parts_of(self.database, self.settings)
        times = LaneTimes(turnaround_s=1, cancel_s=0, look_every_s=0.001)
        lanes = FakeLanes(self.wire, times=times, enqueued_tokens=self.enqueued_tokens)
        return Sharing(parts, lanes), Steps(parts, lanes), parts.transactions.close

    async def share_out(self) -> None:
        sharing, _, close = self.process()
        await sharing.share_out(self.ref)
        close()

    async def work(self, rounds: int = 8) -> None:
        """Do the steps that are due, over and over, whenever they would be."""
        _, steps, close = self.process()
        try:
            for _ in range(rounds):
                self.let_time_pass()
                for row in self.natives():
                    with self.database.write() as session:
                        claimed = native.claim(session, row.ref)
                    if claimed is not None:
                        try:
                            await steps.step(claimed)
                        except LeaseLost as error:
                            raise AssertionError("nobody else is at work") from error
        finally:
            close()

    def let_time_pass(self) -> None:
        """Let every step be due, and every claim be a dead one's."""
        with self.database.write() as session:
            session.connection().execute(
                update(NativeBatch)
                .where(col(NativeBatch.state) != NativeState.ENDED)
                .values(claimed_until=None, next_look_at=now(session) - timedelta(seconds=1))
            )
            session.connection().execute(
                update(Batch)
                .where(col(Batch.lane_due_at).is_not(None))
                .values(lane_due_at=now(session) - timedelta(seconds=1))
            )

    def natives(self) -> list[NativeBatch]:
        with self.database.read() as session:
            return list(session.exec(select(NativeBatch).order_by(col(NativeBatch.id))))

    def states(self) -> list[str]:
        return [row.state for row in self.natives()]

    def slices(self) -> list[str]:
        with self.database.read() as session:
            return list(session.exec(select(Slice.state).order_by(col(Slice.no))))

    def change(self, **values: object) -> None:
        """Change the batch's row."""
        with self.database.write() as session:
            session.connection().execute(update(Batch).values(**values))

    @property
    def batch(self) -> Batch:
        return batch_of(self.database, self.ref)

    def outcomes(self) -> list[str | None]:
        with self.database.read() as session:
            rows = session.exec(select(Attempt.outcome).order_by(col(Attempt.seq), col(Attempt.n)))
            return list(rows)

    def balances(self) -> None:
        with self.database.snapshot() as session:
            found = balance(session, batches.find(session, 1, self.ref))
        assert found.violations == []


def seeded(database: Database, lane: LaneWish = LaneWish.BATCH, **more: object) -> str:
    with database.write() as session:
        draft = BatchDraft(
            ensure_project(session, "default"),
            '{"model": "sim-small", "max_tokens": 200}',
            lane=lane,
            **more,  # type: ignore[arg-type]
        )
        batch_id, ref = begin(session, draft)
        insert_chunk(
            session,
            [
                (batch_id, n, f"j{n}", "generation", "sim", REQUEST.format(n), 10, b"", None)
                for n in range(JOBS)
            ],
        )
        ranges = [
            SliceRange(no, "sim", no * SLICE, no * SLICE + SLICE - 1, SLICE)
            for no in range(JOBS // SLICE)
        ]
        insert_slices(session, batch_id, ranges)
        accept(session, batch_id, total_jobs=JOBS, total_slices=len(ranges))
    return ref


@pytest.fixture
def stage(database: Database, tmp_path: Path) -> Stage:
    return Stage(database, Settings(home=tmp_path), FakeBatches(), seeded(database))


async def test_a_batch_goes_at_half_the_price_from_end_to_end(stage: Stage) -> None:
    await stage.share_out()
    assert (stage.batch.lane_due_at, stage.states()) == (None, [NativeState.PACKING])
    await stage.work(2)
    assert stage.states() == [NativeState.RUNNING]
    assert "30 jobs are in a batch at sim since" in (stage.batch.waiting_for or "")
    stage.wire.end_all()
    await stage.work(2)
    batch = stage.batch
    assert (batch.state, batch.succeeded, stage.states()) == ("completed", JOBS, ["ended"])
    assert batch.spent_nanos == JOBS * BATCH_NANOS
    assert batch.lane_saved_nanos == JOBS * (LIVE_NANOS - BATCH_NANOS)
    assert stage.wire.remotes == {}
    with stage.database.read() as session:
        assert set(session.exec(select(Result.source))) == {"batch"}
    stage.balances()


@pytest.mark.parametrize("nth", range(1, 10))
async def test_killed_at_any_call_the_next_goes_on_and_nothing_is_sent_twice(
    stage: Stage, nth: int
) -> None:
    await stage.share_out()
    calls = itertools.count(1)

    def die(_operation: str, _moment: str) -> None:
        if next(calls) == nth:
            raise Died

    stage.wire.on = die
    deaths = 0
    for _ in range(12):
        stage.wire.end_all()
        try:
            await stage.work(1)
        except Died:
            deaths += 1
    assert deaths == 1
    batch = stage.batch
    assert (batch.state, batch.succeeded) == ("completed", JOBS)
    # Killed before it was created, it is looked for, and then made anew; never is one there twice.
    assert set(stage.states()) <= {NativeState.ENDED, NativeState.LOST}
    assert set(stage.outcomes()) <= {"succeeded", "unsent"}
    assert stage.outcomes().count("succeeded") == JOBS
    assert batch.spent_nanos == JOBS * BATCH_NANOS
    stage.balances()


@pytest.mark.parametrize("error", [TimedOut("slow"), ServerFailed("502"), RateLimited("429")])
async def test_a_create_whose_answer_was_lost_is_found(stage: Stage, error: TimedOut) -> None:
    await stage.share_out()
    stage.wire.on = fails(error)
    await stage.work(1)
    assert stage.states() == [NativeState.SENDING]
    stage.wire.on = lambda _operation, _moment: None
    await stage.work(1)
    assert (stage.states(), len(stage.wire.remotes)) == ([NativeState.RUNNING], 1)


async def test_what_is_not_found_is_sent_again_and_what_turns_up_is_booked(stage: Stage) -> None:
    await stage.share_out()
    stage.wire.on, stage.wire.is_hidden = fails(TimedOut("slow")), True
    await stage.work(1)
    with stage.database.write() as session:  # as long ago as it is looked for
        session.connection().execute(update(NativeBatch).values(expires_at=now(session)))
    stage.wire.on = lambda _operation, _moment: None
    await stage.work(3)
    assert stage.states() == [NativeState.LOST, NativeState.RUNNING]
    assert len(stage.wire.remotes) == 2
    stage.wire.end_all()
    await stage.work(2)
    assert stage.batch.succeeded == JOBS
    stage.wire.is_hidden = False
    await stage.work(2)
    assert set(stage.states()) == {NativeState.ENDED}
    assert stage.batch.spent_nanos == 2 * JOBS * BATCH_NANOS
    stage.balances()


async def test_a_refusal_for_good_runs_live(stage: Stage) -> None:
    await stage.share_out()

    def refuse(operation: str, moment: str) -> None:
        if (operation, moment) == ("create", "before"):
            raise RequestRejected("no such model", status=400)

    stage.wire.on = refuse
    await stage.work(2)
    assert (stage.states(), set(stage.slices())) == (["ended"], {SliceState.WAITING})
    assert stage.batch.spent_nanos == stage.batch.reserved_nanos == 0
    stage.balances()


async def test_what_cannot_be_written_any_more_keeps_no_other_from_being_sent(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could be when it was shared out: the configuration, or this version, is another one by now."""
    await stage.share_out()
    write = stage.wire.line

    def line(custom_id: str, model: str, request: ModelRequest) -> bytes:
        if custom_id.endswith("-0-1"):
            raise RequestRejected("the schema is nested too deeply")
        return write(custom_id, model, request)

    monkeypatch.setattr(stage.wire, "line", line)
    await stage.work(1)
    assert stage.slices() == [SliceState.WAITING, SliceState.DRAINING, SliceState.DRAINING]
    stage.wire.end_all()
    await stage.work(2)
    assert (stage.batch.succeeded, stage.batch.in_flight) == (JOBS - SLICE, 0)
    stage.balances()


async def test_a_full_queue_is_waited_for_and_what_alone_is_too_large_is_halved(
    stage: Stage,
) -> None:
    await stage.share_out()
    await stage.work(1)
    stage.wire.end("remote-1", End.FAILED, failure=RateLimited("token_limit_exceeded"))
    stage.wire.lines[f"file-{stage.natives()[0].ref}"] = []
    await stage.work(2)
    ended, first, second = stage.natives()
    assert (ended.state, first.jobs, second.jobs) == (NativeState.ENDED, 20, 10)
    await stage.work(2)
    stage.wire.end_all()
    await stage.work(3)
    assert (stage.batch.state, stage.batch.spent_nanos) == ("completed", JOBS * BATCH_NANOS)
    stage.balances()


async def test_what_is_refused_again_and_again_is_halved(stage: Stage) -> None:
    await stage.share_out()

    def refuse(operation: str, moment: str) -> None:
        if (operation, moment) == ("create", "before"):
            raise RateLimited("too many tokens are enqueued")

    stage.wire.on = refuse
    for _ in range(2 * LEFT_NOTHING):
        await stage.work(1)
        with stage.database.write() as session:  # as long ago as it is looked for
            session.connection().execute(
                update(NativeBatch)
                .where(col(NativeBatch.state) == NativeState.SENDING)
                .values(expires_at=now(session))
            )
    stage.wire.on = lambda _operation, _moment: None
    await stage.work(2)
    jobs = [row.jobs for row in stage.natives()]
    assert jobs[: LEFT_NOTHING + 2] == [*[JOBS] * LEFT_NOTHING, 20, 10]
    stage.wire.end_all()
    await stage.work(3)
    assert (stage.batch.state, stage.batch.succeeded) == ("completed", JOBS)
    stage.balances()


async def test_what_is_left_before_the_deadline_is_rescued(stage: Stage) -> None:
    await stage.share_out()
    await stage.work(2)
    stage.wire.results_of = lambda _id, names: [
        NativeLine(name, answer() if n < 27 else None) for n, name in enumerate(names)
    ]
    stage.change(deadline=utcnow() + timedelta(hours=1))
    await stage.work(1)
    assert stage.states() == [NativeState.RUNNING]
    stage.change(deadline=utcnow())
    await stage.work(3)
    assert stage.states() == [NativeState.ENDED]
    assert (stage.batch.succeeded, stage.batch.in_flight, stage.batch.reserved_nanos) == (27, 0, 0)
    assert stage.slices() == [SliceState.DONE, SliceState.DONE, SliceState.WAITING]
    stage.balances()


async def test_lies_change_nothing_and_are_counted(stage: Stage) -> None:
    await stage.share_out()
    await stage.work(1)

    def lie(_id: str, names: list[str]) -> list[NativeLine]:
        stranger, once_more = "nat_other-1-1", names[3]
        foreign = custom_id(names[0].partition("-")[0], 999, 1)
        told = [*names[:-1], stranger, once_more, foreign, ""]
        return [NativeLine(name, answer()) for name in told]

    stage.wire.results_of = lie
    stage.wire.end_all()
    await stage.work(2)
    (row,) = stage.natives()
    assert (row.answered, row.unexpected, stage.batch.succeeded) == (29, 4, 29)
    # The line that is missing ought to be there: it may have been billed.
    assert stage.outcomes().count("unknown") == stage.batch.unknown_attempts == 1
    stage.balances()


async def test_errors_are_final_or_run_live_as_live_ones_are(stage: Stage) -> None:
    await stage.share_out()
    await stage.work(1)
    stage.wire.results_of = lambda _id, names: [
        NativeLine(names[0], RequestRejected("too long", status=400)),
        NativeLine(names[1], ServerFailed("500")),
        NativeLine(names[2], None),
        *(NativeLine(name, answer()) for name in names[3:]),
    ]
    stage.wire.end_all()
    await stage.work(2)
    assert stage.outcomes()[:3] == ["rejected", "failed", "unsent"]
    assert (stage.batch.failed, stage.batch.succeeded) == (1, 27)
    assert stage.batch.spent_nanos == 27 * BATCH_NANOS
    stage.balances()


async def test_a_cancelled_batch_is_cancelled_there_and_what_was_billed_is_kept(
    stage: Stage,
) -> None:
    await stage.share_out()
    await stage.work(2)
    stage.wire.results_of = lambda _id, names: [NativeLine(name, answer()) for name in names[:5]]
    with stage.database.write() as session:
        batches.move(session, 1, stage.ref, BatchState.CANCELLING)
    await stage.work(3)
    assert (stage.states(), stage.batch.succeeded) == ([NativeState.ENDED], 5)
    with stage.database.write() as session:
        batch = batches.lock(session, 1)
        for piece in slices.idle_slices(session, 1, limit=9):
            results.cancel_jobs(session, batch, piece)
            slices.close(session, batch, piece)
        assert batches.finish_if_complete(session, batch)
    assert stage.batch.cancelled == 25
    stage.balances()


async def test_a_paused_batch_sends_nothing_new_and_takes_in_what_is_out(stage: Stage) -> None:
    await stage.share_out()
    await stage.work(2)
    with stage.database.write() as session:
        batches.move(session, 1, stage.ref, BatchState.PAUSED)
    stage.wire.end_all()
    await stage.work(2)
    assert stage.batch.succeeded == JOBS


async def test_what_a_budget_has_no_room_for_waits_for_what_the_others_leave(
    stage: Stage,
) -> None:
    # The worst cases of one slice fit, or of two, and the real costs of all of them.
    stage.change(max_cost_nanos=5_000_000)
    await stage.share_out()
    await stage.work(1)
    sent = [row.jobs for row in stage.natives() if row.state == NativeState.RUNNING]
    assert sum(sent) < JOBS
    for _ in range(6):
        stage.wire.end_all()
        await stage.work(1)
    assert stage.batch.spent_nanos + stage.batch.reserved_nanos <= (stage.batch.max_cost_nanos or 0)
    stage.balances()


@pytest.mark.parametrize("lane", [LaneWish.AUTO, LaneWish.BATCH])
async def test_what_must_be_there_soon_runs_live(
    database: Database, tmp_path: Path, lane: LaneWish
) -> None:
    ref = seeded(database, lane, deadline=utcnow() + timedelta(milliseconds=1))
    stage = Stage(database, Settings(home=tmp_path), FakeBatches(), ref)
    await stage.share_out()
    assert (stage.states(), stage.batch.lane_due_at) == ([], None)
    assert set(stage.slices()) == {SliceState.WAITING}


async def test_what_is_enqueued_stays_within_the_limit(stage: Stage) -> None:
    stage.enqueued_tokens = 250
    await stage.share_out()
    assert [row.jobs for row in stage.natives()] == [20, 10]
    await stage.work(2)
    assert stage.states() == [NativeState.RUNNING, NativeState.PACKING]
    stage.wire.end_all()
    await stage.work(3)
    stage.wire.end_all()
    await stage.work(2)
    assert stage.batch.state == BatchState.COMPLETED
