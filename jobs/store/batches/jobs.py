"""Jobs: copied in by the chunk, read back by the slice."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, insert
from sqlalchemy import select as sa_select
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col

from jobs.errors import DuplicateCustomId
from jobs.states import WORKER_LOST, SliceState
from jobs.store.attempts.attempt_conditions import COUNTS, IS_BAD
from jobs.store.engine.bulk import insert_rows
from jobs.store.leases.open_jobs import BOUNDS, open_in
from jobs.store.results.parts import parts_between
from jobs.store.workers import deaths, remembered_since
from jobs.tables import Attempt, Job, Part, Slice

JobRow = tuple[int, int, str, str, str, str, int, bytes, int | None]
"""batch_id, seq, custom_id, kind, queue, request, estimated_tokens, fingerprint, first_seq"""

JOB_COLUMNS = (
    "batch_id",
    "seq",
    "custom_id",
    "kind",
    "queue",
    "request",
    "estimated_tokens",
    "fingerprint",
    "first_seq",
)

IDS_PER_QUERY = 500
"""Within the number of parameters that every SQLite build takes."""


@dataclass(frozen=True, slots=True)
class SliceRange:
    """A slice as it is cut from a submission."""

    no: int
    queue: str
    first_seq: int
    last_seq: int
    jobs: int


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job without a result. `last_attempt` is its newest attempt's number, 0 if there is none.

    `parts` are the outputs, as JSON texts, of those of its parts that were answered well. The rest is
    of the part that it is at, or a job of hundreds would fail by as many accidents as one of one:
    `counted_attempts` and `bad_answers`; `lost_workers`, which is how many workers were lost while they
    called for it, as far as dead workers are remembered; and `deaths_since`, how many have died since
    the first of these, those included: 0 where no more than one was lost.
    """

    seq: int
    kind: str
    request: str
    estimated_tokens: int
    last_attempt: int
    counted_attempts: int
    bad_answers: int = 0
    lost_workers: int = 0
    deaths_since: int = 0
    parts: tuple[str, ...] = ()


def insert_chunk(session: Session, rows: Iterable[JobRow]) -> None:
    """Insert jobs.

    Raises:
        DuplicateCustomId: two of them, or one of them and a stored one, have the same custom_id;
            the transaction can't go on.
    """
    try:
        insert_rows(session, Job, JOB_COLUMNS, rows)
    except IntegrityError as error:
        raise DuplicateCustomId from error


def seqs_of(session: Session, batch_id: int, custom_ids: Collection[str]) -> dict[str, int]:
    """Return the seq of each job of a batch that has one of these names."""
    # PostgreSQL takes no NUL in a text, so no job has one.
    names = [name for name in custom_ids if "\0" not in name]
    found: dict[str, int] = {}
    for start in range(0, len(names), IDS_PER_QUERY):
        some = names[start : start + IDS_PER_QUERY]
        rows = session.connection().execute(
            sa_select(col(Job.custom_id), col(Job.seq)).where(
                col(Job.batch_id) == batch_id, col(Job.custom_id).in_(some)
            )
        )
        found.update((custom_id, seq) for custom_id, seq in rows)
    return found


def insert_slices(session: Session, batch_id: int, ranges: Sequence[SliceRange]) -> None:
    """Insert slices, waiting to be fed."""
    if not ranges:
        return
    session.connection().execute(
        insert(Slice),
        [
            {
                "batch_id": batch_id,
                "no": cut.no,
                "queue": cut.queue,
                "first_seq": cut.first_seq,
                "last_seq": cut.last_seq,
                "jobs": cut.jobs,
                "state": SliceState.WAITING,
                "fence": 0,
            }
            for cut in ranges
        ],
    )


# An older one has outlived the deaths that might have spoken for its job.
_LOST_ITS_WORKER = (col(Attempt.error_code) == WORKER_LOST) & (
    col(Attempt.sent_at) >= bindparam("remembered_since")
)

# Built once: putting these together costs more than running them.
_OPEN_JOBS = open_in(
    sa_select(col(Job.seq), col(Job.kind), col(Job.request), col(Job.estimated_tokens)), BOUNDS
).order_by(col(Job.seq))
_CALLED_FOR = _OPEN_JOBS.where(col(Job.first_seq).is_(None))
_ANY_OPEN_JOB = _OPEN_JOBS.with_only_columns(col(Job.seq)).limit(1)
_ANSWERED = (
    sa_select(col(Part.seq), func.max(Part.attempt).label("attempt"))
    .where(
        col(Part.batch_id) == bindparam("batch_id"),
        col(Part.seq).between(bindparam("first_seq"), bindparam("last_seq")),
    )
    .group_by(col(Part.seq))
    .subquery()
)
_OF_THIS_PART = col(Attempt.n) > func.coalesce(_ANSWERED.c.attempt, 0)
_LOST = _OF_THIS_PART & _LOST_ITS_WORKER
_ATTEMPTS = (
    sa_select(
        col(Attempt.seq),
        func.max(Attempt.n),
        func.count(col(Attempt.n)).filter(_OF_THIS_PART & COUNTS),
        func.count(col(Attempt.n)).filter(_OF_THIS_PART & IS_BAD),
        func.count(col(Attempt.n)).filter(_LOST),
        func.min(Attempt.sent_at).filter(_LOST),
    )
    .outerjoin(_ANSWERED, _ANSWERED.c.seq == col(Attempt.seq))
    .where(
        col(Attempt.batch_id) == bindparam("batch_id"),
        col(Attempt.seq).between(bindparam("first_seq"), bindparam("last_seq")),
    )
    .group_by(col(Attempt.seq))
)


def open_jobs(
    session: Session, batch_id: int, cut: SliceRange, *, is_first_lease: bool
) -> list[OpenJob]:
    """Return the jobs of a slice that have no result yet, in order, with their attempts counted.

    Without those that get the result of an earlier one.

    To be read after the slice was leased: from then on nobody else answers its jobs.
    """
    rows = session.connection().execute(_CALLED_FOR, _range(batch_id, cut))
    if is_first_lease:
        return [OpenJob(*row, last_attempt=0, counted_attempts=0) for row in rows]
    attempts = _attempts(session, batch_id, cut)
    parts = parts_between(session, batch_id, cut.first_seq, cut.last_seq)
    return [
        OpenJob(
            *(seq, kind, request, tokens),
            *attempts.get(seq, (0, 0, 0, 0, 0)),
            parts=parts.get(seq, ()),
        )
        for seq, kind, request, tokens in rows
    ]


def has_open_jobs(session: Session, batch_id: int, cut: SliceRange) -> bool:
    """Return whether a slice has a job without a result."""
    row = session.connection().execute(_ANY_OPEN_JOB, _range(batch_id, cut)).first()
    return row is not None


def _attempts(
    session: Session, batch_id: int, cut: SliceRange
) -> Mapping[int, tuple[int, int, int, int, int]]:
    """Return what `OpenJob` says of the attempts of each job that has any, in the order of its fields."""
    values = _range(batch_id, cut) | {"remembered_since": remembered_since(session)}
    rows = session.connection().execute(_ATTEMPTS, values).all()
    firsts = [first for *_, lost, first in rows if lost > 1]
    died = deaths(session, since=min(firsts)) if firsts else []
    return {
        seq: (last, counted, bad, lost, sum(at >= first for at in died) if lost > 1 else 0)
        for seq, last, counted, bad, lost, first in rows
    }


def _range(batch_id: int, cut: SliceRange) -> dict[str, object]:
    return {
        "batch_id": batch_id,
        "first_seq": cut.first_seq,
        "last_seq": cut.last_seq,
        "queue": cut.queue,
    }
