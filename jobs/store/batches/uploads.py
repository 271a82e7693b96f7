"""Uploads: batches while they arrive, which nobody sees until one commit accepts them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, delete, func, update
from sqlmodel import Session, col, select

from jobs.deadlines import AfterDeadline, RunWindow
from jobs.errors import IllegalTransition
from jobs.states import BatchState, LaneWish, Priority, sources
from jobs.store.batches.batches import least_served
from jobs.store.batches.idempotency import DEAD
from jobs.store.engine.database import Database, now
from jobs.store.refs import new_ref
from jobs.tables import Batch, Job, Slice

UPLOAD_DROPPED = "the upload gave no sign of life for so long that it was dropped; send it again"

DELETED_PER_COMMIT = 20_000
"""Jobs of an abandoned upload that one transaction deletes: some 100 ms on SQLite."""


@dataclass(frozen=True, slots=True)
class BatchDraft:
    """What a user says about a batch as a whole. `defaults` is the JSON of the line defaults."""

    project_id: int
    defaults: str
    name: str | None = None
    priority: Priority = Priority.NORMAL
    max_cost_nanos: int | None = None
    lane: LaneWish = LaneWish.LIVE
    retry_of: str | None = None
    retry_codes: str | None = None
    deadline: datetime | None = None
    after_deadline: AfterDeadline = AfterDeadline.FINISH
    run_window: RunWindow | None = None
    columns: str | None = None
    """As in `jobs.tables.Batch`, which tells what these are."""


def batch_of(draft: BatchDraft, state: BatchState, moment: datetime) -> Batch:
    """Return the row of a new batch without jobs, not inserted yet."""
    return Batch(
        ref=new_ref("bat_"),
        project_id=draft.project_id,
        name=draft.name,
        state=state,
        priority=draft.priority,
        defaults=draft.defaults,
        max_cost_nanos=draft.max_cost_nanos,
        lane=draft.lane,
        deadline=draft.deadline,
        after_deadline=draft.after_deadline,
        run_window=None if draft.run_window is None else str(draft.run_window),
        retry_of=draft.retry_of,
        retry_codes=draft.retry_codes,
        created_at=moment,
        touched_at=moment,
    )


def begin(session: Session, draft: BatchDraft) -> tuple[int, str]:
    """Insert a batch that nobody sees yet; return its id and ref."""
    batch = batch_of(draft, BatchState.RECEIVING, now(session))
    session.add(batch)
    session.flush()
    assert batch.id is not None
    return batch.id, batch.ref


def accept(
    session: Session,
    batch_id: int,
    *,
    total_jobs: int,
    total_slices: int,
    collapsed_jobs: int = 0,
    columns: str | None = None,
) -> None:
    """Make a received batch visible and ready to be fed: the one commit that accepts it.

    Raises:
        IllegalTransition: it is not `receiving` any more (the sweep took it for abandoned).
    """
    changed = session.connection().execute(
        update(Batch)
        .where(
            col(Batch.id) == batch_id,
            col(Batch.state).in_(sources(BatchState.QUEUED)),
            col(Batch.touched_at) > DEAD,
        )
        .values(
            state=BatchState.QUEUED,
            total_jobs=total_jobs,
            total_slices=total_slices,
            collapsed_jobs=collapsed_jobs,
            columns=columns,
            touched_at=now(session),
            served=least_served(session),
            # Until they are shared out over the lanes its slices are not fed.
            lane_due_at=case((col(Batch.lane) != LaneWish.LIVE, now(session)), else_=None),
        )
    )
    if changed.rowcount != 1:
        raise IllegalTransition(UPLOAD_DROPPED)


def touch(session: Session, batch_id: int) -> None:
    """Note a sign of life of an upload; raises IllegalTransition if it was given up."""
    changed = session.connection().execute(
        update(Batch)
        .where(
            col(Batch.id) == batch_id,
            col(Batch.state) == BatchState.RECEIVING,
            col(Batch.touched_at) > DEAD,
        )
        .values(touched_at=now(session))
    )
    if changed.rowcount != 1:
        raise IllegalTransition(UPLOAD_DROPPED)


def abandoned(session: Session, untouched_since: datetime) -> list[int]:
    """Return the ids of uploads without a sign of life since then."""
    return [
        batch_id
        for batch_id in session.exec(
            select(Batch.id).where(
                Batch.state == BatchState.RECEIVING, Batch.touched_at < untouched_since
            )
        )
        if batch_id is not None
    ]


def discard(database: Database, batch_id: int, *, untouched_since: datetime | None = None) -> None:
    """Delete an upload that was not accepted, a bounded number of rows per transaction.

    Its idempotency key is free from the first of them on, which takes its last sign of life.

    An accepted batch is left alone, also when its sender was told of a failure (the answer to the
    commit was lost), and so is one that was touched after `untouched_since`. The batch's row goes
    last, so that whoever dies in between leaves something to find.
    """
    with database.write() as session:
        batch = _receiving(session, batch_id)
        if batch is None or (untouched_since is not None and batch.touched_at >= untouched_since):
            return
        batch.touched_at = DEAD
        session.add(batch)
    while True:
        with database.write() as session:
            if _receiving(session, batch_id) is None:
                return
            last = session.exec(select(func.max(Job.seq)).where(Job.batch_id == batch_id)).one()
            if last is None:
                break
            session.connection().execute(
                delete(Job).where(
                    col(Job.batch_id) == batch_id, col(Job.seq) > last - DELETED_PER_COMMIT
                )
            )
    with database.write() as session:
        if (batch := _receiving(session, batch_id)) is not None:
            session.connection().execute(delete(Slice).where(col(Slice.batch_id) == batch_id))
            session.delete(batch)


def _receiving(session: Session, batch_id: int) -> Batch | None:
    """Lock an upload and return it; None if it is none any more."""
    statement = select(Batch).where(Batch.id == batch_id, Batch.state == BatchState.RECEIVING)
    return session.exec(statement.with_for_update()).first()
