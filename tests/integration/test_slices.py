"""The life of a slice on both databases: fed by weight, leased once, expired, finished."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update
from sqlmodel import col, select

from jobs.errors import IllegalTransition, LeaseLost, NotFound
from jobs.states import BatchState, Outcome, Priority, ResultStatus, SliceState
from jobs.store import Database, now, workers
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.batches import batches
from jobs.store.leases import leases, lost_leases, slices
from jobs.store.leases.feeding import OWN_PLACES_PER_WORKER, WINDOW_PER_WORKER, feed
from jobs.store.money.settlement import flush
from jobs.store.results.results import cancel_jobs
from jobs.tables import Result, Slice
from tests.support.rows import batch_of, journal_of, lease_of, leased, seed_batch


def state_of(database: Database, slice_no: int = 0) -> str:
    with database.read() as session:
        piece = session.get(Slice, (1, slice_no))
        assert piece is not None
        return piece.state


def fed(database: Database, queue: str = "sim") -> list[tuple[str, int]]:
    with database.write() as session:
        return [(piece.batch_ref, piece.slice_no) for piece in feed(session, queue)]


def answer_all(database: Database, lease: leases.Lease, seqs: range) -> None:
    journals = [journal_of(lease, seq) for seq in seqs]
    good = ResultDraft(ResultStatus.SUCCEEDED, output='""')
    with database.write() as session:
        flush(session, journals, [])
        flush(session, [], [Settlement(j, Outcome.SUCCEEDED, result=good) for j in journals])


def test_a_slice_is_leased_by_one_worker_only(database: Database) -> None:
    ref = seed_batch(database)
    lease_of(database, ref)
    with database.write() as session:
        assert leases.claim(session, ref, 0, "another") is None


@pytest.mark.parametrize(("ref", "slice_no"), [("bat_unknown", 0), (None, 99)])
def test_a_message_about_nothing_does_nothing(
    database: Database, ref: str | None, slice_no: int
) -> None:
    known = seed_batch(database)
    with database.write() as session:
        assert leases.claim(session, ref or known, slice_no, "worker-1") is None


def test_a_new_lease_leaves_out_the_jobs_that_have_results(database: Database) -> None:
    ref = seed_batch(database)
    first = lease_of(database, ref)
    answer_all(database, first, range(4))
    with database.write() as session:
        leases.give_back(session, first)
    lease, jobs = leased(database, ref, owner="next")
    assert [job.seq for job in jobs] == list(range(4, 10))
    assert lease.fence > first.fence


def test_the_last_slice_finishes_its_batch(database: Database) -> None:
    ref = seed_batch(database, jobs=20)
    for number in (0, 1):
        lease = lease_of(database, ref, number)
        assert batch_of(database, ref).state == BatchState.RUNNING
        answer_all(database, lease, range(number * 10, number * 10 + 10))
        with database.write() as session:
            leases.finish(session, lease)
    batch = batch_of(database, ref)
    assert (batch.state, batch.succeeded) == (BatchState.COMPLETED, 20)
    assert batch.finished_at is not None


def test_a_slice_with_open_jobs_is_given_back_instead_of_finished(database: Database) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    answer_all(database, lease, range(9))
    with database.write() as session:
        assert not leases.finish(session, lease)
    assert state_of(database) == SliceState.WAITING


def test_an_expired_lease_is_voided_and_its_attempts_are_unknown(database: Database) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    with database.write() as session:
        flush(session, [journal_of(lease, 0)], [])
    with database.write() as session:
        assert lost_leases.expired(session, limit=10) == []
        assert not lost_leases.expire(session, 1, 0)
        past = now(session) - timedelta(seconds=1)
        session.connection().execute(update(Slice).values(lease_until=past))
    with database.write() as session:
        assert lost_leases.expired(session, limit=10) == [(1, 0)]
        assert lost_leases.expire(session, 1, 0)
    assert batch_of(database, ref).unknown_attempts == 1
    with pytest.raises(LeaseLost), database.write() as session:
        leases.finish(session, lease)
    assert lease_of(database, ref, owner="next").fence > lease.fence


def test_a_heartbeat_keeps_the_lease(database: Database) -> None:
    ref = seed_batch(database)
    lease_of(database, ref)
    with database.write() as session:
        session.connection().execute(update(Slice).values(lease_until=now(session)))
        leases.renew(session, "another", [(1, 0)])
        leases.renew(session, "worker-1", [])
    with database.read() as session:
        assert len(lost_leases.expired(session, limit=10)) == 1
    with database.write() as session:
        leases.renew(session, "worker-1", [(1, 0)])
        assert lost_leases.expired(session, limit=10) == []


def test_a_heartbeat_tells_of_batches_that_rest(database: Database) -> None:
    refs = [seed_batch(database) for _ in range(3)]
    for ref in refs:
        lease_of(database, ref)
    running = [(1, 0), (2, 0)]
    with database.write() as session:
        assert leases.renew(session, "worker-1", running) == set()
    with database.write() as session:
        batches.move(session, 1, refs[1], BatchState.PAUSED)
        batches.move(session, 1, refs[2], BatchState.PAUSED)
        assert leases.renew(session, "worker-1", running) == {2}
        assert leases.renew(session, "worker-1", []) == set()


def test_a_slice_that_must_wait_may_hold_its_batch_back_on_that_queue(database: Database) -> None:
    ref = seed_batch(database, jobs=30)
    lease = lease_of(database, ref)
    with database.write() as session:
        leases.give_back(
            session, lease, wait_s=30.0, reason="the quota is used up", holds_queue=True
        )
    assert fed(database) == []
    assert batch_of(database, ref).waiting_for == "the quota is used up"
    with database.write() as session:
        assert leases.claim(session, ref, 0, "next") is None


@pytest.mark.parametrize("reason", [None, "model large is forbidden"])
def test_a_job_that_must_wait_holds_only_its_own_slice_back(
    database: Database, reason: str | None
) -> None:
    ref = seed_batch(database, jobs=30)
    lease = lease_of(database, ref)
    with database.write() as session:
        leases.give_back(session, lease, wait_s=30.0, reason=reason)
    assert fed(database) == [(ref, 1), (ref, 2)]
    assert batch_of(database, ref).waiting_for == reason


def test_what_batches_wait_for_is_told_and_taken_back_but_nothing_newer_is(
    database: Database,
) -> None:
    paced, paused, told = (seed_batch(database) for _ in range(3))
    with database.write() as session:
        batches.move(session, 1, paused, BatchState.PAUSED)
        batches.tell_waits(session, {1: "the limit of sim/main", 2: "it", 3: "an older wait"}, {})
        batches.tell_waits(session, {3: "a newer wait"}, {})
    assert batch_of(database, paced).waiting_for == "the limit of sim/main"
    assert batch_of(database, paused).waiting_for == "paused by its owner"
    with database.write() as session:
        over = {1: "the limit of sim/main", 3: "an older wait"}
        batches.tell_waits(session, {}, over)
    assert batch_of(database, paced).waiting_for is None
    assert batch_of(database, told).waiting_for == "a newer wait"


def test_a_queue_without_a_living_worker_is_unattended_while_slices_wait_in_it(
    database: Database,
) -> None:
    ref = seed_batch(database, queue="sim")
    card = workers.WorkerCard("w", "here", 1, ("other",), 8)
    with database.write() as session:
        workers.beat(session, card, 0)
        assert workers.unattended_queues(session, 1) == ["sim"]
        workers.beat(session, replace(card, id="v", queues=("other", "sim")), 0)
        assert workers.unattended_queues(session, 1) == []
        workers.leave(session, "v")
    lease_of(database, ref)
    with database.read() as session:
        assert workers.unattended_queues(session, 1) == []


def test_no_more_than_the_window_is_fed(database: Database) -> None:
    seed_batch(database, jobs=WINDOW_PER_WORKER * 20)
    assert len(fed(database)) == WINDOW_PER_WORKER
    assert fed(database) == []


def test_a_slice_that_has_dispatched_its_last_job_makes_room(database: Database) -> None:
    ref = seed_batch(database, jobs=WINDOW_PER_WORKER * 20)
    fed(database)
    lease = lease_of(database, ref)
    assert fed(database) == []
    with database.write() as session:
        leases.mark_draining(session, lease)
    assert fed(database) == [(ref, WINDOW_PER_WORKER)]


def test_a_full_window_has_a_few_places_for_every_other_priority(database: Database) -> None:
    seed_batch(database, jobs=WINDOW_PER_WORKER * 20, priority=Priority.BULK)
    assert len(fed(database)) == WINDOW_PER_WORKER
    person = seed_batch(database, jobs=1000, priority=Priority.INTERACTIVE)
    assert fed(database) == [(person, no) for no in range(OWN_PLACES_PER_WORKER)]
    assert fed(database) == []
    nightly = seed_batch(database, jobs=10, priority=Priority.NORMAL)
    assert fed(database) == [(nightly, 0)]


def test_queues_do_not_share_a_window(database: Database) -> None:
    seed_batch(database, jobs=WINDOW_PER_WORKER * 20)
    other = seed_batch(database, queue="other")
    fed(database)
    assert fed(database, "other") == [(other, 0)]


def drain_in_order(database: Database, rounds: int) -> list[str]:
    """Feed, lease and drain slice by slice; return the batches in the order they were fed."""
    order: list[str] = []
    waiting: list[tuple[str, int]] = []
    while len(order) < rounds:
        for piece in fed(database):
            waiting.append(piece)
            order.append(piece[0])
        lease = lease_of(database, *waiting.pop(0))
        with database.write() as session:
            leases.mark_draining(session, lease)
    return order


def test_batches_share_a_queue_by_weight(database: Database) -> None:
    bulk = seed_batch(database, jobs=1000, priority=Priority.BULK)
    normal = seed_batch(database, jobs=1000, priority=Priority.NORMAL)
    order = drain_in_order(database, 50)
    assert order.count(normal) / order.count(bulk) == pytest.approx(4, rel=0.2)


def test_a_small_batch_is_not_starved_by_a_large_one_that_came_first(database: Database) -> None:
    large = seed_batch(database, jobs=2000)
    drain_in_order(database, 60)
    small = seed_batch(database, jobs=10)
    with database.write() as session:
        running = batches.find(session, 1, large)
        session.connection().execute(
            update(Slice)
            .where(col(Slice.state).in_(("fed", "leased")), col(Slice.batch_id) == running.id)
            .values(state="done", owner=None)
        )
    assert small in [ref for ref, _ in fed(database)][:2]


def test_a_cancelled_batch_gives_each_open_job_one_result(database: Database) -> None:
    ref = seed_batch(database, jobs=20)
    lease = lease_of(database, ref)
    answer_all(database, lease, range(3))
    with database.write() as session:
        batches.move(session, 1, ref, BatchState.CANCELLING)
        leases.give_back(session, lease)
    with database.write() as session:
        batch = batches.lock(session, 1)
        for piece in slices.idle_slices(session, 1, limit=10):
            cancel_jobs(session, batch, piece)
            slices.close(session, batch, piece)
        assert batches.finish_if_complete(session, batch)
    batch = batch_of(database, ref)
    assert (batch.state, batch.succeeded, batch.cancelled) == (BatchState.CANCELLED, 3, 17)
    with database.read() as session:
        positions = sorted(session.exec(select(Result.position)))
        said = {*session.exec(select(Result.error_message))}
    assert positions == list(range(1, 21))
    # True of those as well that were sent and whose answer was lost.
    assert said == {None, "the batch was cancelled before this job was answered"}


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ([BatchState.CANCELLING], BatchState.PAUSED),
        ([BatchState.CANCELLING], BatchState.RUNNING),
    ],
)
def test_a_batch_moves_only_as_the_table_of_transitions_allows(
    database: Database, path: list[BatchState], target: BatchState
) -> None:
    ref = seed_batch(database)
    for step in path:
        with database.write() as session:
            batches.move(session, 1, ref, step)
    with pytest.raises(IllegalTransition, match="cancelling"), database.write() as session:
        batches.move(session, 1, ref, target)


def test_pausing_and_resuming_twice_is_harmless(database: Database) -> None:
    ref = seed_batch(database)
    for step in (BatchState.PAUSED, BatchState.PAUSED, BatchState.RUNNING, BatchState.RUNNING):
        with database.write() as session:
            batches.move(session, 1, ref, step)
    assert batch_of(database, ref).state == BatchState.RUNNING


def test_a_batch_of_another_project_is_not_there(database: Database) -> None:
    ref = seed_batch(database)
    with pytest.raises(NotFound), database.read() as session:
        batches.find(session, 2, ref)
