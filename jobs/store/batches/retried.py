"""What became of a slice's jobs in the batch that theirs retries: the same jobs, by the same numbers."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, func, select
from sqlmodel import Session, col

from jobs.store.batches.jobs import SliceRange
from jobs.store.leases.leases import Lease
from jobs.store.leases.open_jobs import BOUNDS, open_in
from jobs.store.results.origins import Origin
from jobs.store.results.parts import parts_between
from jobs.tables import Batch, Job, Result

LINES_AT_ONCE = 1000
CHARACTERS_AT_ONCE = 8 << 20
"""Of a batch's lines that are read at once, but for a single one that is larger."""


@dataclass(frozen=True, slots=True)
class Retried:
    """The batch that another one retries. `codes` are of the failures that are run again; None for all.

    `retry_of` is the batch that it retries itself, if it does.
    """

    batch_id: int
    defaults: str
    codes: frozenset[str] | None
    retry_of: str | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """A job that has no result in its own batch, and its result in the one before.

    `copied` is that job of the batch before, and `origin` the one that was called for, there or in a still
    earlier batch. `request`, `output` and `parts` (JSON texts) are empty where nobody asked for them.
    """

    seq: int
    kind: str
    status: str
    error_code: str | None
    finish_reason: str | None
    mended: str | None
    copied: Origin
    origin: Origin
    request: str = ""
    output: str | None = None
    parts: tuple[str, ...] = ()


# Built once: putting a statement together costs more than running it.
_OPEN = open_in(select(col(Job.seq), col(Job.kind)), BOUNDS).where(col(Job.first_seq).is_(None))
_RESULTS = select(
    col(Result.seq),
    col(Result.status),
    col(Result.error_code),
    col(Result.finish_reason),
    col(Result.mended),
    col(Result.origin_batch_id),
    col(Result.origin_seq),
).where(
    col(Result.batch_id) == bindparam("batch_id"),
    col(Result.seq).in_(bindparam("seqs", expanding=True)),
)
_REQUESTS = select(col(Job.seq), col(Job.request)).where(
    col(Job.batch_id) == bindparam("batch_id"),
    col(Job.seq).in_(bindparam("seqs", expanding=True)),
)
_OUTPUTS = select(col(Result.seq), col(Result.output)).where(
    col(Result.batch_id) == bindparam("batch_id"),
    col(Result.seq).in_(bindparam("seqs", expanding=True)),
)


def retried(session: Session, lease: Lease) -> Retried:
    """Return the batch that a lease's batch retries."""
    execute = session.connection().execute
    codes = execute(
        select(col(Batch.retry_codes)).where(col(Batch.id) == lease.batch_id)
    ).scalar_one()
    assert lease.retry_of is not None  # or nobody would ask
    batch = retried_before(session, lease.retry_of)
    return replace(batch, codes=None if codes is None else frozenset(codes.split(",")))


def retried_before(session: Session, ref: str) -> Retried:
    """Return a batch that a retry was made of, of which all failures are run again."""
    batch_id, defaults, retry_of = (
        session.connection()
        .execute(
            select(col(Batch.id), col(Batch.defaults), col(Batch.retry_of)).where(
                col(Batch.ref) == ref
            )
        )
        .one()
    )
    assert batch_id is not None  # a stored row has its key
    return Retried(batch_id, defaults, None, retry_of)


def earlier_jobs(
    session: Session,
    lease: Lease,
    cut: SliceRange,
    batch_id: int,
    *,
    with_texts: bool,
    among: Collection[int] | None = None,
) -> list[Earlier]:
    """Return what became of the open jobs of a slice in the batch that theirs retries, in order.

    Without those that get the result of another job of their own batch.

    Args:
        session: a read transaction.
        lease: of the slice.
        cut: the slice.
        batch_id: the batch that is retried.
        with_texts: read lines, outputs and parts as well.
        among: only these; None for all.
    """
    execute = session.connection().execute
    bounds = {"first_seq": cut.first_seq, "last_seq": cut.last_seq, "queue": cut.queue}
    rows = execute(_OPEN, {"batch_id": lease.batch_id, **bounds})
    kinds = {seq: kind for seq, kind in rows if among is None or seq in among}
    if not kinds:
        return []
    of_jobs = {"batch_id": batch_id, "seqs": [*kinds]}
    found = [
        Earlier(
            *(seq, kinds[seq], status, error_code, finish_reason, mended),
            copied=Origin(batch_id, seq),
            origin=Origin(batch_id, seq)
            if origin_batch is None or origin_seq is None
            else Origin(origin_batch, origin_seq),
        )
        for seq, status, error_code, finish_reason, mended, origin_batch, origin_seq in execute(
            _RESULTS, of_jobs
        )
    ]
    if not with_texts:
        return found
    requests = {row[0]: row[1] for row in execute(_REQUESTS, of_jobs)}
    outputs = {row[0]: row[1] for row in execute(_OUTPUTS, of_jobs)}
    parts = parts_between(session, batch_id, min(kinds), max(kinds))
    return [
        replace(
            job,
            request=requests[job.seq],
            output=outputs[job.seq],
            parts=parts.get(job.seq, ()),
        )
        for job in found
    ]


def lines_after(session: Session, batch_id: int, after_seq: int) -> list[bytes]:
    """Return the lines of a batch's next jobs, in order, as many as there is room for; none at the end."""
    sizes = session.connection().execute(
        select(col(Job.seq), func.length(col(Job.request)))
        .where(col(Job.batch_id) == batch_id, col(Job.seq) > after_seq)
        .order_by(col(Job.seq))
        .limit(LINES_AT_ONCE)
    )
    last_seq, sum_characters = after_seq, 0
    for seq, characters in sizes.all():
        sum_characters += characters
        if sum_characters > CHARACTERS_AT_ONCE and last_seq > after_seq:
            break
        last_seq = seq
    lines = session.connection().execute(
        select(col(Job.request))
        .where(col(Job.batch_id) == batch_id, col(Job.seq).between(after_seq + 1, last_seq))
        .order_by(col(Job.seq))
    )
    return [line.encode() for line in lines.scalars()]


def failure_codes(session: Session, batch_id: int) -> set[str]:
    """Return the codes with which jobs of a batch have failed, or were cancelled."""
    found = select(col(Result.error_code)).where(
        col(Result.batch_id) == batch_id, col(Result.error_code).is_not(None)
    )
    return {code for code in session.connection().execute(found.distinct()).scalars() if code}
