"""Open batches: those of a run's stages, to which jobs are added while others of theirs run.

They are begun empty, visible and ready to be fed, grow by the chunk, and end like all others once they
are closed. Whoever adds to one has locked it, so what it counts and what is there can't differ.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlmodel import Session

from jobs.lines import JobLine
from jobs.states import BatchState, LaneWish
from jobs.store.batches import batches
from jobs.store.batches.batches import least_served
from jobs.store.batches.jobs import JobRow, SliceRange, insert_chunk, insert_slices
from jobs.store.batches.uploads import BatchDraft, batch_of
from jobs.store.engine.database import now
from jobs.tables import Batch
from jobs.timing import held_by_window, hours_sentence

TAKES_JOBS = frozenset({BatchState.QUEUED, BatchState.RUNNING, BatchState.PAUSED})
"""An open batch in one of these takes jobs; to a paused one they are added, and wait."""


GATHERED = timedelta(minutes=1)
"""For how long jobs are gathered before they are shared out over the lanes: a native batch of what comes
in a second would have a handful."""


@dataclass(frozen=True, slots=True)
class Added:
    """What was added: the number of the first job, the others follow; and the queues that have work."""

    first_seq: int
    queues: frozenset[str]


def begin(session: Session, draft: BatchDraft) -> Batch:
    """Make an open batch without jobs; outside of its hours it is held from the start."""
    moment = now(session)
    batch = batch_of(draft, BatchState.QUEUED, moment)
    batch.is_open = True
    opens = held_by_window(draft.run_window, moment)
    if draft.run_window is not None and opens is not None:
        batch.held_until, batch.waiting_for = opens, hours_sentence(draft.run_window, opens)
    batch.served = least_served(session)
    session.add(batch)
    session.flush()
    return batch


def takes_jobs(batch: Batch) -> bool:
    """Whether jobs may be added to a locked batch."""
    return batch.is_open and batch.state in TAKES_JOBS


def add(session: Session, batch: Batch, jobs: Sequence[JobLine], *, slice_size: int) -> Added:
    """Add jobs to a locked batch that takes some.

    Of those that ask for the same within `jobs`, one is called for.

    Raises:
        DuplicateCustomId: one of them is there already; the transaction can't go on.
    """
    assert batch.id is not None  # a stored row has its key
    first_seq = batch.total_jobs
    rows: list[JobRow] = []
    of_queue: dict[str, list[int]] = defaultdict(list)
    seen: dict[bytes, int] = {}
    for seq, job in enumerate(jobs, start=first_seq):
        queue = job.resolved.queue(batch.id, seq)
        twin = seen.setdefault(job.fingerprint, seq) if job.collapses else seq
        rows.append(
            (
                *(batch.id, seq, job.custom_id, job.kind, queue, job.request, job.estimated_tokens),
                job.fingerprint if job.collapses else b"",
                None if twin == seq else twin,
            )
        )
        batch.collapsed_jobs += twin != seq
        of_queue[queue].append(seq)
    pieces = [
        (queue, seqs[start : start + slice_size])
        for queue, seqs in of_queue.items()
        for start in range(0, len(seqs), slice_size)
    ]
    cut = [
        SliceRange(no, queue, seqs[0], seqs[-1], len(seqs))
        for no, (queue, seqs) in enumerate(pieces, start=batch.total_slices)
    ]
    insert_chunk(session, rows)
    insert_slices(session, batch.id, cut)
    batch.total_jobs += len(rows)
    batch.total_slices += len(cut)
    if batch.lane != LaneWish.LIVE and batch.lane_due_at is None:
        batch.lane_due_at = now(session) + GATHERED
    session.add(batch)
    session.flush()
    return Added(first_seq, frozenset(of_queue))


def close(session: Session, batch: Batch) -> None:
    """End the adding to a locked batch: it ends when its jobs have; done twice, nothing changes."""
    if batch.is_open:
        batch.is_open = False
        if batch.lane_due_at is not None:
            batch.lane_due_at = now(session)
        session.add(batch)
        batches.finish_if_complete(session, batch)


def call_off(session: Session, batch: Batch) -> None:
    """Cancel a locked batch, unless it has ended or is being cancelled."""
    if batch.state not in TAKES_JOBS:
        return
    batch.is_open = False
    batch.state = BatchState.CANCELLING
    batch.pause_cause = batch.waiting_for = batch.needed_nanos = batch.no_room_since = None
    session.add(batch)
