"""The loop of a worker process, in this one: what becomes of slices that it has leased."""

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.settings import Settings
from jobs.states import BatchState, SliceState
from jobs.store import Database, batches
from jobs.store.workers import WorkerCard
from jobs.tables import Slice
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
from workers.runtime import Runtime, RuntimeOptions

CARD = WorkerCard("worker-1", "here", 1, ("first", "second"), 8)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with migrated(f"sqlite:///{tmp_path / 'tidemill.db'}") as database:
        yield database


@pytest.fixture
def gate() -> FakeGate:
    return fake_gate()


@pytest.fixture
def runtime(
    tmp_path: Path, database: Database, gate: FakeGate, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Runtime]:
    """A running one whose heart beats fast."""
    monkeypatch.setattr(runtime_module, "HEARTBEAT_S", 0.05)
    settings = Settings(home=tmp_path, drain_grace_s=1.0)
    collected = gc.get_threshold()
    runtime = Runtime(
        RuntimeOptions(
            settings=settings,
            configuration=CONFIGURATION,
            card=CARD,
            build=lambda: parts_of(settings, database, gate, Provider()),
        )
    )
    runtime.start()
    yield runtime
    runtime.stop()
    gc.unfreeze()
    gc.set_threshold(*collected)


def slice_of(database: Database) -> Slice:
    with database.read() as session:
        piece = session.get(Slice, (1, 0))
        assert piece is not None
        return piece


@pytest.mark.parametrize("state", [BatchState.PAUSED, BatchState.CANCELLING])
def test_jobs_that_wait_at_the_gate_are_called_off_when_their_batch_rests(
    runtime: Runtime, database: Database, gate: FakeGate, state: BatchState
) -> None:
    ref = Workshop(runtime.parts, database, gate, Provider()).submit([line()])
    gate.is_open.clear()
    with ThreadPoolExecutor(1) as thread:
        try:
            running = thread.submit(runtime.run_slice, ref, 0)
            eventually(lambda: bool(gate.asked))
            with database.write() as session:
                batches.move(session, 1, ref, state)
            running.result(timeout=10.0)
        finally:
            runtime.drain()
    assert slice_of(database).state == SliceState.WAITING
    assert gate.granted == []
