"""Live calls in the books: a batch of each API process and project holds them, a job for each call.

They are rows like all others, so that money, reports and proofs know nothing of them. But they come one
by one: the batch has a single slice, which grows, and which the process that makes the calls has leased
from the start. When its lease runs out, nobody waits for the answers any more: no call is made again.
"""

from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlmodel import Session

from jobs.defaults import JobDefaults
from jobs.states import CUT_OFF, BatchState, Priority, SliceState
from jobs.store.batches import batches
from jobs.store.batches.jobs import insert_chunk, seqs_of
from jobs.store.engine.database import now
from jobs.store.leases.leases import Lease, require_held
from jobs.store.leases.slices import LEASE, close, void
from jobs.store.refs import new_ref
from jobs.store.results import results
from jobs.tables import Batch, Slice

QUEUE = "tidemill.live"
"""Of their slices: that of no provider, so nobody feeds it."""

CALL_LOST = "call_lost"
"""Error code of a call whose process has died, or was stopped, before it was answered."""

_LOST = "the process that made this call ended before it was answered"


@dataclass(frozen=True, slots=True)
class LiveJob:
    """A live call as it stands in the books. What was asked and answered is not kept."""

    custom_id: str
    kind: str
    model: str
    estimated_tokens: int


@dataclass(frozen=True, slots=True)
class Keeper:
    """Who keeps a batch of live calls: the project, and the process that makes them."""

    project_id: int
    owner: str


def begin(session: Session, keeper: Keeper, job: LiveJob) -> Lease:
    """Make a batch of live calls with its first one, number 0; return the lease of its slice.

    Done twice, the first of the two is given up, and ends when its lease has run out.
    """
    moment = now(session)
    batch = Batch(
        ref=new_ref("bat_"),
        project_id=keeper.project_id,
        name=f"live calls of {moment:%Y-%m-%d}",
        state=BatchState.RUNNING,
        priority=Priority.INTERACTIVE,
        defaults=JobDefaults().to_json(),
        is_live=True,
        created_at=moment,
        touched_at=moment,
        started_at=moment,
        total_jobs=1,
        total_slices=1,
    )
    session.add(batch)
    session.flush()
    assert batch.id is not None  # a stored row has its key
    session.add(_first_slice(batch.id, keeper.owner, moment))
    _insert(session, batch.id, 0, job)
    return Lease(
        batch_id=batch.id,
        batch_ref=batch.ref,
        project_id=batch.project_id,
        priority=batch.priority,
        defaults=batch.defaults,
        slice_no=0,
        queue=QUEUE,
        fence=1,
    )


def add(session: Session, lease: Lease, job: LiveJob) -> int:
    """Add a call and return its number; done twice, it is there once.

    Raises:
        LeaseLost: the lease ran out, and the batch has ended.
    """
    batch = batches.lock(session, lease.batch_id)
    piece = require_held(session, lease)
    known = seqs_of(session, lease.batch_id, [job.custom_id]).get(job.custom_id)
    if known is not None:
        return known
    seq = batch.total_jobs
    _insert(session, lease.batch_id, seq, job)
    batch.total_jobs += 1
    piece.last_seq = seq
    piece.jobs += 1
    session.add(batch)
    session.add(piece)
    return seq


def finish(session: Session, lease: Lease) -> None:
    """End a batch to which no call will be added; those that nobody has ended yet are lost.

    Raises:
        LeaseLost: the lease ran out, and the batch has ended.
    """
    batch = batches.lock(session, lease.batch_id)
    end(session, batch, require_held(session, lease), CUT_OFF)


def end(session: Session, batch: Batch, piece: Slice, error_code: str) -> None:
    """End a locked batch of live calls; the code says why nobody knows how open attempts ended."""
    void(session, batch, piece, error_code)
    session.flush()
    results.fail_jobs(session, batch, piece, CALL_LOST, _LOST)
    close(session, batch, piece)
    batches.finish_if_complete(session, batch)


def _first_slice(batch_id: int, owner: str, moment: datetime) -> Slice:
    return Slice(
        batch_id=batch_id,
        no=0,
        queue=QUEUE,
        first_seq=0,
        last_seq=0,
        jobs=1,
        state=SliceState.LEASED,
        fence=1,
        owner=owner,
        lease_until=moment + LEASE,
    )


def _insert(session: Session, batch_id: int, seq: int, job: LiveJob) -> None:
    request = msgspec.json.encode({"model": job.model}).decode()
    row = (batch_id, seq, job.custom_id, job.kind, QUEUE, request, job.estimated_tokens, b"", None)
    insert_chunk(session, [row])
