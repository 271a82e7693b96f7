"""Jobs: copied in by the chunk, read back by the slice."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from jobs.errors import DuplicateCustomId
from jobs.states import COUNTED_OUTCOMES, SliceState
from jobs.store.bulk import insert_rows
from jobs.tables import Attempt, Job, Result, Slice

JobRow = tuple[int, int, str, str, str, str, int, bytes]
"""batch_id, seq, custom_id, kind, queue, request, estimated_tokens, fingerprint"""

JOB_COLUMNS = (
    "batch_id",
    "seq",
    "custom_id",
    "kind",
    "queue",
    "request",
    "estimated_tokens",
    "fingerprint",
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
    """A job without a result. `last_attempt` is its newest attempt's number, 0 if there is none."""

    seq: int
    kind: str
    request: str
    estimated_tokens: int
    last_attempt: int
    counted_attempts: int


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


def known_custom_ids(session: Session, batch_id: int, custom_ids: Sequence[str]) -> set[str]:
    """Return which of these a batch's stored jobs have already."""
    known: set[str] = set()
    for start in range(0, len(custom_ids), IDS_PER_QUERY):
        some = custom_ids[start : start + IDS_PER_QUERY]
        known.update(
            session.exec(
                select(Job.custom_id).where(Job.batch_id == batch_id, col(Job.custom_id).in_(some))
            )
        )
    return known


def open_jobs(session: Session, piece: Slice) -> list[OpenJob]:
    """Return the jobs of a slice that have no result yet, in order, with their attempts counted."""
    rows = session.exec(
        select(Job.seq, Job.kind, Job.request, Job.estimated_tokens)
        .outerjoin(
            Result, (col(Result.batch_id) == col(Job.batch_id)) & (col(Result.seq) == col(Job.seq))
        )
        .where(
            Job.batch_id == piece.batch_id,
            col(Job.seq).between(piece.first_seq, piece.last_seq),
            Job.queue == piece.queue,
            col(Result.seq).is_(None),
        )
        .order_by(col(Job.seq))
    ).all()
    # Only a slice that was leased before can have attempts.
    attempts = _attempts(session, piece) if piece.fence > 1 else {}
    return [
        OpenJob(seq, kind, request, tokens, *attempts.get(seq, (0, 0)))
        for seq, kind, request, tokens in rows
    ]


def _attempts(session: Session, piece: Slice) -> Mapping[int, tuple[int, int]]:
    """Return the newest number and the count of counted attempts of each job that has any."""
    counted = col(Attempt.outcome).in_(COUNTED_OUTCOMES)
    rows = session.exec(
        select(Attempt.seq, func.max(Attempt.n), func.count(col(Attempt.n)).filter(counted))
        .where(
            Attempt.batch_id == piece.batch_id,
            col(Attempt.seq).between(piece.first_seq, piece.last_seq),
        )
        .group_by(col(Attempt.seq))
    )
    return {seq: (last, count) for seq, last, count in rows}
