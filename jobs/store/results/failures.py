"""What went wrong in a batch: its failed results by their reason, counted within bounds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import func, select, text
from sqlmodel import Session, col

from jobs.tables import Batch, Job, Result

COUNTED = 10_000
"""Failures of one reason that are counted one by one; 2 ms of an index."""

REASONS = 30
"""That are told; there are not so many."""

EXAMPLES = 3

# As the index says it, with its own word: a parameter would keep SQLite from using it.
IS_FAILED = text("result.status = 'failed'")


@dataclass(frozen=True, slots=True)
class Example:
    """A job that failed for a reason, and the message."""

    seq: int
    custom_id: str
    message: str | None


@dataclass(frozen=True, slots=True)
class Reason:
    """An error code, how many jobs failed with it, and the newest of them.

    `is_at_least` tells that there may be more than `jobs`.
    """

    code: str
    jobs: int
    is_at_least: bool
    examples: tuple[Example, ...]


def reasons(session: Session, batch: Batch) -> list[Reason]:
    """Return why jobs of a batch have failed, the most frequent reason first.

    Where only one reason has more failures than are counted, the batch's own total tells its number.
    """
    found = [_reason(session, batch, code) for code in codes(session, batch)]
    large = [reason for reason in found if reason.is_at_least]
    if len(large) == 1 and len(found) < REASONS:
        rest = batch.failed - sum(reason.jobs for reason in found if reason is not large[0])
        exact = replace(large[0], jobs=max(rest, large[0].jobs), is_at_least=False)
        found[found.index(large[0])] = exact
    return sorted(found, key=lambda reason: -reason.jobs)


def codes(session: Session, batch: Batch) -> Iterator[str]:
    """Yield the codes of failures in their order: a step in the index each, however many rows it has."""
    code: str | None = ""
    for _ in range(REASONS):
        code = (
            session.connection()
            .execute(_of(batch, func.min(col(Result.error_code)), code))
            .scalar()
        )
        if code is None:
            return
        yield code


def _of(batch: Batch, what: Any, after_code: str | None) -> Any:
    return select(what).where(
        col(Result.batch_id) == batch.id, IS_FAILED, col(Result.error_code) > after_code
    )


def _reason(session: Session, batch: Batch, code: str) -> Reason:
    connection = session.connection()
    those = (col(Result.batch_id) == batch.id, IS_FAILED, col(Result.error_code) == code)
    bounded = select(col(Result.position)).where(*those).limit(COUNTED + 1).subquery()
    jobs = int(connection.execute(select(func.count()).select_from(bounded)).scalar_one())
    newest = connection.execute(
        select(col(Result.seq), col(Result.error_message))
        .where(*those)
        .order_by(col(Result.position).desc())
        .limit(EXAMPLES)
    ).all()
    examples = tuple(
        Example(seq, _custom_id(session, batch, seq), message) for seq, message in newest
    )
    return Reason(code, min(jobs, COUNTED), jobs > COUNTED, examples)


def _custom_id(session: Session, batch: Batch, seq: int) -> str:
    named = select(col(Job.custom_id)).where(col(Job.batch_id) == batch.id, col(Job.seq) == seq)
    custom_id: str = session.connection().execute(named).scalar_one()
    return custom_id
