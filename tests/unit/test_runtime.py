"""The loop of a worker process, in this one: what becomes of slices that it has leased."""

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import update

from jobs.errors import ServiceUnavailable
from jobs.settings import Settings
from jobs.states import BatchState, Outcome, SliceState
from jobs.store import Database, Session, now
from jobs.store.batches import batches
from jobs.store.batches.jobs import open_jobs
from jobs.store.leases.slices import LEASE
from jobs.store.workers import WorkerCard
from jobs.tables import Batch, Slice
from tests.support.eventually import eventually
from tests.support.fake_gate import FakeGate
from tests.support.rows import migrated
from tests.support.workshop import (
    CONFIGURATION,
    Provider,
    Workshop,
    fake_gate,
    line,
    parts_of,
)
from workers import runtime as runtime_module
from workers.runtime import UNREADABLE, Runtime, RuntimeOptions

CARD = WorkerCard("worker-1", "here", 1, ("first", "second"), 8)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with migrated(f"sqlite:///{tmp_path / 'tidemill.db'}") as database:
        yield database


@pytest.fixture
def gate() -> FakeGate:
    return fake_gate()


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def unstarted(
    tmp_path: Path,
    database: Database,
    gate: FakeGate,
    provider: Provider,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Runtime]:
    """One whose heart beats fast, once it is started."""
    monkeypatch.setattr(runtime_module, "HEARTBEAT_S", 0.05)
    settings = Settings(home=tmp_path, drain_grace_s=1.0)
    collected = gc.get_threshold()
    runtime = Runtime(
        RuntimeOptions(
            settings=settings,
            configuration=CONFIGURATION,
            card=CARD,
            build=lambda: parts_of(settings, database, gate, provider),
        )
    )
    yield runtime
    runtime.stop()
    gc.unfreeze()
    gc.set_threshold(*collected)


@pytest.fixture
def runtime(unstarted: Runtime) -> Runtime:
    """A running one."""
    unstarted.start()
    return unstarted


@pytest.fixture
def shop(runtime: Runtime, database: Database, gate: FakeGate, provider: Provider) -> Workshop:
    """What the runtime works with; its parts are for its own loop."""
    return Workshop(runtime.parts, database, gate, provider)


@pytest.mark.parametrize(
    "fault", [ServiceUnavailable("the database's disk is full"), RuntimeError("a fault of ours")]
)
def test_a_worker_that_can_not_say_yet_that_it_is_there_begins_all_the_same(
    unstarted: Runtime, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """Celery would end it, without a word where the disk that is full is that of its log."""
    told: list[WorkerCard] = []
    faults = [fault, fault]

    def beat(_session: Session, card: WorkerCard, _in_flight: int) -> None:
        if faults:
            raise faults.pop()
        told.append(card)

    monkeypatch.setattr("workers.runtime.workers.beat", beat)
    unstarted.start()
    eventually(lambda: told, what="it says so later")
    assert told[0] == CARD


@pytest.mark.parametrize("state", [BatchState.PAUSED, BatchState.CANCELLING])
def test_jobs_that_wait_at_the_gate_are_called_off_when_their_batch_rests(
    runtime: Runtime, shop: Workshop, state: BatchState
) -> None:
    ref = shop.submit([line()])
    shop.gate.is_open.clear()
    with ThreadPoolExecutor(1) as thread:
        try:
            running = thread.submit(runtime.run_slice, ref, 0)
            eventually(lambda: bool(shop.gate.asked))
            with shop.database.write() as session:
                batches.move(session, 1, ref, state)
            running.result(timeout=10.0)
        finally:
            runtime.drain()
    assert shop.slice().state == SliceState.WAITING
    assert shop.gate.granted == []


def test_a_slice_that_this_worker_can_not_read_is_left_to_another_one(
    runtime: Runtime, shop: Workshop
) -> None:
    ref = shop.submit([line()])
    with shop.database.write() as session:
        session.connection().execute(update(Batch).values(defaults='{"of_a_newer_version": 1}'))
    runtime.run_slice(ref, 0)
    piece = shop.slice()
    assert piece.state == SliceState.WAITING
    assert piece.not_before is not None  # no hot loop
    assert shop.batch(ref).waiting_for == UNREADABLE


def test_a_slice_that_is_not_read_for_a_moment_is_run_by_whoever_leases_it_next(
    runtime: Runtime, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = shop.submit([line()])
    with monkeypatch.context() as broken:
        broken.setattr(runtime_module, "open_jobs", Mock(side_effect=ServiceUnavailable))
        runtime.run_slice(ref, 0)
    assert shop.slice().state == SliceState.WAITING
    runtime.run_slice(ref, 0)
    assert [result.error_code for result in shop.results()] == [None]
    assert shop.outcomes() == [Outcome.SUCCEEDED]


def test_a_lease_is_renewed_from_its_claim_on(
    runtime: Runtime, shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = shop.submit([line()])
    may_read, read = Event(), open_jobs

    def slowly(*of: Any, **more: Any) -> Any:
        assert may_read.wait(10.0)
        return read(*of, **more)

    monkeypatch.setattr(runtime_module, "open_jobs", slowly)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(runtime.run_slice, ref, 0)
        eventually(lambda: shop.slice().state == SliceState.LEASED)
        with shop.database.write() as session:
            long_ago = now(session) - LEASE
            session.connection().execute(update(Slice).values(lease_until=long_ago))
        try:
            eventually(lambda: (shop.slice().lease_until or long_ago) > long_ago)
        finally:
            may_read.set()
        running.result(timeout=10.0)
    assert shop.outcomes() == [Outcome.SUCCEEDED]
