"""The slices of a native batch: their leases, the lines that were journaled of them, and their way back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import Session, col

from jobs.errors import LeaseLost
from jobs.states import CUT_OFF
from jobs.store.attempts.reports import Journal
from jobs.store.batches import batches, jobs
from jobs.store.batches.jobs import SliceRange
from jobs.store.leases import leases
from jobs.store.leases.leases import Lease
from jobs.store.leases.slices import NATIVE_OWNER
from jobs.store.native.native import Native, require_claim
from jobs.tables import Attempt, Job, NativeSlice, Slice


@dataclass(frozen=True, slots=True)
class HeldSlice:
    """A slice of a native batch. Its lease may be void by now: `is_held` tells whether it was, when read."""

    lease: Lease
    cut: SliceRange
    is_held: bool


@dataclass(frozen=True, slots=True)
class SentLine:
    """A line of a native batch: a job, and the attempt that it is."""

    journal: Journal
    outcome: str | None
    kind: str
    request: str
    estimated_tokens: int


def held_slices(session: Session, of: Native) -> list[HeldSlice]:
    """Return the slices that a native batch has leased, in order."""
    rows = session.connection().execute(
        select(
            col(NativeSlice.slice_no),
            col(NativeSlice.fence),
            col(Slice.fence),
            col(Slice.queue),
            col(Slice.first_seq),
            col(Slice.last_seq),
            col(Slice.jobs),
        )
        .join(
            Slice,
            (col(Slice.batch_id) == of.batch_id) & (col(Slice.no) == col(NativeSlice.slice_no)),
        )
        .where(col(NativeSlice.native_id) == of.id)
        .order_by(col(NativeSlice.slice_no))
    )
    return [
        HeldSlice(_lease(of, no, queue, fence), SliceRange(no, queue, *cut), fence == present)
        for no, fence, present, queue, *cut in rows
    ]


def sent_lines(
    session: Session, of: Native, held: HeldSlice, seqs: Collection[int] | None = None
) -> list[SentLine]:
    """Return the lines that were journaled of a slice for a native batch; of all its jobs, or of some."""
    first, last = held.cut.first_seq, held.cut.last_seq
    statement = (
        select(
            col(Attempt.seq),
            col(Attempt.n),
            col(Attempt.provider),
            col(Attempt.pool),
            col(Attempt.model),
            col(Attempt.price),
            col(Attempt.reserved_nanos),
            col(Attempt.live_price),
            col(Attempt.outcome),
            col(Job.kind),
            col(Job.request),
            col(Job.estimated_tokens),
        )
        .join(
            Job,
            (col(Job.batch_id) == col(Attempt.batch_id)) & (col(Job.seq) == col(Attempt.seq)),
        )
        .where(
            col(Attempt.batch_id) == of.batch_id,
            col(Attempt.seq).between(first, last),
            col(Attempt.native_id) == of.id,
            col(Job.queue) == held.cut.queue,
        )
        .order_by(col(Attempt.seq), col(Attempt.n))
    )
    if seqs is not None:
        statement = statement.where(col(Attempt.seq).in_(seqs))
    return [
        SentLine(
            Journal(
                lease=held.lease,
                seq=seq,
                n=n,
                provider=provider,
                pool=pool,
                model=model,
                price=price,
                reserved_nanos=reserved_nanos,
                native_id=of.id,
                live_price=live_price,
            ),
            *rest,
        )
        for (
            seq,
            n,
            provider,
            pool,
            model,
            price,
            reserved_nanos,
            live_price,
            *rest,
        ) in session.connection().execute(statement)
    ]


def release(
    session: Session, of: Native, some: Sequence[HeldSlice], *, error_code: str = CUT_OFF
) -> None:
    """End the leases of slices: what has all its results is done, the rest is run live.

    Lines that have no end by then are booked as unknown; whoever knows better has settled them before.

    Raises:
        LeaseLost: the native batch's claim is not the caller's any more; nothing was changed.
    """
    batches.lock(session, of.batch_id)
    require_claim(session, of)
    for held in some:
        try:
            piece = leases.require_held(session, held.lease)
        except LeaseLost:
            continue  # it was released before
        if piece.owner == NATIVE_OWNER + of.ref:
            end(session, held, error_code)


def end(session: Session, held: HeldSlice, error_code: str) -> None:
    """Finish a leased slice, or give it back if it has open jobs."""
    if jobs.has_open_jobs(session, held.lease.batch_id, held.cut):
        leases.give_back(session, held.lease, error_code=error_code)
    else:
        leases.finish(session, held.lease)


def _lease(of: Native, no: int, queue: str, fence: int) -> Lease:
    return Lease(
        batch_id=of.batch_id,
        batch_ref=of.batch_ref,
        project_id=of.project_id,
        priority=of.priority,
        defaults=of.defaults,
        slice_no=no,
        queue=queue,
        fence=fence,
        retry_of=of.retry_of,
    )
