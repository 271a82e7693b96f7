"""A batch as it is read, with what no column tells: when it will be done, or that nobody works for it."""

from collections.abc import Sequence

from api.outlooks import told_of
from api.shapes import BatchShape, batch_shape, native_shape
from jobs.states import FED_BATCH_STATES, LaneWish
from jobs.store import Session, workers
from jobs.store.native import native_views
from jobs.tables import Batch, NativeBatch

MOST_NATIVE = 100
"""Native batches that are told of a batch."""


def shape_of(session: Session, batch: Batch, project: str) -> BatchShape:
    """Return how a batch of this project stands, what it waits for, and what is told of its end."""
    shape = batch_shape(batch, project, told_of(session, batch))
    shape.native_batches = [native_shape(of) for of in natives_of(session, batch)]
    if shape.waiting_for is None and shape.counts.waiting and not shape.counts.running:
        shape.waiting_for = missing_workers(session, batch)
    return shape


def natives_of(session: Session, batch: Batch) -> Sequence[NativeBatch]:
    """Return the native batches of a batch that are open; one that has only ever gone live has none."""
    assert batch.id is not None  # a stored row has its key
    if batch.lane == LaneWish.LIVE:
        return ()
    return native_views.open_of(session, batch.id, limit=MOST_NATIVE)


def missing_workers(session: Session, batch: Batch) -> str | None:
    """Say that nobody works for a batch, if it is so."""
    if batch.id is None or batch.state not in FED_BATCH_STATES:
        return None
    queues = workers.unattended_queues(session, batch.id)
    return f"a worker: none runs for {', '.join(queues)}" if queues else None
