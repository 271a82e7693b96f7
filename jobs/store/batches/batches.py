"""Batches that were accepted: found, locked, and moved from state to state by guarded writes."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, update
from sqlalchemy import select as sa_select
from sqlmodel import Session, col, select

from jobs.errors import IllegalTransition, InvalidCursor, NotFound
from jobs.states import FED_BATCH_STATES, FINAL_BATCH_STATES, BatchState, PauseCause, sources
from jobs.store.engine.database import now
from jobs.store.results.answers import offer
from jobs.tables import Batch, Project

NO_SUCH_BATCH = "there is no such batch in this project"

IDS_PER_STATEMENT = 1000
"""Each is a parameter, of which databases take some thousands."""

# Built once: putting them together costs more than running them.
_LOCK = sa_select(Batch).where(col(Batch.id) == bindparam("of")).with_for_update()
_LOCK_BY_REF = sa_select(Batch).where(col(Batch.ref) == bindparam("named")).with_for_update()


def find(session: Session, project_id: int, ref: str) -> Batch:
    """Return a visible batch of the project.

    Raises:
        NotFound: no such batch, or it is another project's, or not accepted yet.
    """
    statement = select(Batch).where(
        Batch.ref == ref,
        Batch.project_id == project_id,
        Batch.state != BatchState.RECEIVING,
    )
    # PostgreSQL takes no NUL in a text, so no batch has one.
    batch = None if "\0" in ref else session.exec(statement).first()
    if batch is None:
        raise NotFound(NO_SUCH_BATCH)
    return batch


def page(session: Session, project_id: int, *, before: str | None, limit: int) -> list[Batch]:
    """Return visible batches, newest first, from the one that was accepted before `before`.

    Raises:
        InvalidCursor: `before` names no batch that the project sees.
    """
    statement = (
        select(Batch)
        .where(Batch.project_id == project_id, Batch.state != BatchState.RECEIVING)
        .order_by(col(Batch.id).desc())
        .limit(limit)
    )
    if before is not None:
        try:
            last = find(session, project_id, before)
        except NotFound:
            raise InvalidCursor from None
        statement = statement.where(col(Batch.id) < last.id)
    return list(session.exec(statement))


LATELY = 200
"""Batches that are looked at to say how things stand."""


def lately(session: Session, project_id: int, since: datetime) -> list[Batch]:
    """Return the unfinished batches of a project and those that ended since a time, newest first.

    Of the finished ones only those are found that are among the project's newest.
    """
    visible = (Batch.project_id == project_id, Batch.state != BatchState.RECEIVING)
    unfinished = session.exec(
        select(Batch)
        .where(*visible, col(Batch.finished_at).is_(None))
        .order_by(col(Batch.id).desc())
        .limit(LATELY)
    )
    newest = session.exec(
        select(Batch).where(*visible).order_by(col(Batch.id).desc()).limit(LATELY)
    )
    found = {batch.id: batch for batch in unfinished}
    found.update(
        {batch.id: batch for batch in newest if batch.finished_at and batch.finished_at >= since}
    )
    return [found[key] for key in sorted(found, key=lambda key: -(key or 0))]


def by_ids(session: Session, ids: Sequence[int]) -> list[Batch]:
    """Return those of these batches that there are, in no order, with one statement per thousand."""
    return [
        batch
        for begin in range(0, len(ids), IDS_PER_STATEMENT)
        for batch in session.exec(
            select(Batch).where(col(Batch.id).in_(ids[begin : begin + IDS_PER_STATEMENT]))
        )
    ]


def project_name(session: Session, project_id: int) -> str:
    """Return the name of a project that exists."""
    return session.exec(select(Project.name).where(Project.id == project_id)).one()


PAUSED_BY_OWNER = "paused by its owner"


def move(session: Session, project_id: int, ref: str, target: BatchState) -> Batch:
    """Pause, resume or cancel a batch, as `TRANSITIONS` allows; moving to where it stands is fine.

    A pause is the owner's from then on, also where a budget had paused the batch before.

    Raises:
        NotFound: see `find`.
        IllegalTransition: its present state does not allow it; the message names that state. Or it
            holds live calls, which end when they are answered.
    """
    batch = find(session, project_id, ref)
    if batch.is_live:
        raise IllegalTransition(f"batch {ref} holds live calls, so it can't become {target}")
    if _stands_at(batch, target):
        return batch
    is_pause = target == BatchState.PAUSED
    allowed = sources(target) | ({BatchState.PAUSED} if is_pause else set())
    changed = session.connection().execute(
        update(Batch)
        .where(col(Batch.id) == batch.id, col(Batch.state).in_(allowed))
        .values(
            state=target,
            pause_cause=PauseCause.OWNER if is_pause else None,
            waiting_for=PAUSED_BY_OWNER if is_pause else None,
            needed_nanos=None,
            no_room_since=None,
            served=max(batch.served, least_served(session)),
        )
    )
    if changed.rowcount != 1:
        raise IllegalTransition(f"batch {ref} is {batch.state}, so it can't become {target}")
    session.refresh(batch)
    return batch


def _stands_at(batch: Batch, target: BatchState) -> bool:
    """Whether a batch needs no move to `target`."""
    present: str = batch.state  # perhaps a word of a newer version's
    if target == BatchState.RUNNING:
        return present in FED_BATCH_STATES
    if target == BatchState.CANCELLING:
        return present in (BatchState.CANCELLING, BatchState.CANCELLED)
    return present == target and batch.pause_cause == PauseCause.OWNER


def unpause(session: Session, batch: Batch) -> None:
    """Let a locked, paused batch go on."""
    batch.state = BatchState.RUNNING
    batch.pause_cause = None
    batch.waiting_for = None
    batch.needed_nanos = None
    batch.no_room_since = None
    batch.served = max(batch.served, least_served(session))
    session.add(batch)


def least_served(session: Session) -> int:
    """Return where a batch that joins the others starts, so that it neither hogs nor starves."""
    least = session.exec(
        select(func.min(Batch.served)).where(
            col(Batch.state).in_(FED_BATCH_STATES), col(Batch.finished_at).is_(None)
        )
    ).one()
    return least or 0


def in_state(session: Session, state: BatchState) -> list[int]:
    """Return the ids of unfinished batches in this state, oldest first."""
    found = session.exec(
        select(Batch.id)
        .where(col(Batch.state) == state, col(Batch.finished_at).is_(None))
        .order_by(col(Batch.id))
    )
    return [batch_id for batch_id in found if batch_id is not None]


def lock(session: Session, batch_id: int) -> Batch:
    """Lock a batch's row for this transaction and return it.

    Whoever changes a slice's fence, a batch's money or its results holds this lock, so that these
    can't interleave. (SQLite's write transactions exclude each other anyway.)
    """
    batch: Batch = session.execute(_LOCK, {"of": batch_id}).scalar_one()
    return batch


def lock_by_ref(session: Session, ref: str) -> Batch | None:
    """Lock a batch's row as `lock` does; None if there is no such batch."""
    return session.execute(_LOCK_BY_REF, {"named": ref}).scalar_one_or_none()


def tell_waits(session: Session, waits: Mapping[int, str], over: Mapping[int, str]) -> None:
    """Note why batches wait, and that others don't for the reason that they did.

    Args:
        session: a write transaction; the rows are locked in the order of their ids.
        waits: the reason, by the batch's id. One that rests for another reason keeps that.
        over: the reason that was noted and is no more; a newer one stays.
    """
    connection = session.connection()
    is_fed = col(Batch.state).in_(FED_BATCH_STATES)
    for batch_id in sorted({*waits, *over}):
        told = update(Batch).where(col(Batch.id) == batch_id, is_fed)
        if batch_id not in waits:
            told = told.where(col(Batch.waiting_for) == over[batch_id])
        connection.execute(told.values(waiting_for=waits.get(batch_id)))


def finish_if_complete(session: Session, batch: Batch) -> bool:
    """Finalise a locked batch whose slices are all done; return whether it is final.

    One to which jobs are still added goes on, unless it is cancelled or expires.

    Whatever it was answered, and has not offered yet, is offered to later batches.
    """
    if batch.state in FINAL_BATCH_STATES:
        return True
    called_off = batch.state in (BatchState.CANCELLING, BatchState.FINALIZING)
    if batch.done_slices < batch.total_slices or (batch.is_open and not called_off):
        return False
    batch.is_open = False
    batch.state = _end_of(batch)
    batch.finished_at = now(session)
    batch.pause_cause = None
    batch.waiting_for = None
    batch.held_until = None
    batch.urgency = None
    assert batch.id is not None  # a stored row has its key
    offered, last = batch.offered_results, batch.finished_jobs
    batch.offered_results = offer(session, batch.project_id, batch.id, after=offered, last=last)
    session.add(batch)
    return True


def _end_of(batch: Batch) -> BatchState:
    """Return how a batch ends whose slices are all done."""
    if batch.state == BatchState.CANCELLING:
        return BatchState.CANCELLED
    # The calls that were in flight at its deadline may have been its last ones.
    is_expired = batch.state == BatchState.FINALIZING and batch.expired > 0
    return BatchState.EXPIRED if is_expired else BatchState.COMPLETED
