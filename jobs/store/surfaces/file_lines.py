"""What stands in the files of a batch: its results, split into answers and the rest, in their order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlmodel import Session, col

from jobs.states import FileContent, ResultStatus
from jobs.store.results.results import PAGE_BYTES
from jobs.tables import Job, Result

POSITIONS = 2000
"""Results that are looked at for one page, whichever of them are wanted."""


@dataclass(frozen=True, slots=True)
class FileLine:
    """A result with its job's name. `output` is JSON."""

    position: int
    seq: int
    custom_id: str
    status: str
    output: str | None
    error_code: str | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Lines, and the position up to which there are no others: from there the next page begins."""

    lines: Sequence[FileLine]
    looked_at: int


def page(
    session: Session, batch_id: int, content: FileContent | None, *, after: int, until: int
) -> Page:
    """Return the next lines: as many as there are outputs for `PAGE_BYTES`, at least one if there is one.

    Args:
        session: a read transaction.
        batch_id: a batch that the caller may see.
        content: which of its results; None for all.
        after: the position that was looked at last; 0 to begin.
        until: the last position that counts.
    """
    last = min(after + POSITIONS, until)
    # Positions have no gaps; said so, nothing else is looked at, whatever the statistics are.
    wanted = [
        col(Result.batch_id) == batch_id,
        col(Result.position).between(after + 1, last),
    ]
    if content is not None:
        is_answer = col(Result.status) == ResultStatus.SUCCEEDED
        wanted.append(is_answer if content is FileContent.ANSWERS else ~is_answer)
    last = _last_that_fits(session, wanted, after, last)
    rows = session.connection().execute(
        select(
            col(Result.position),
            col(Result.seq),
            col(Job.custom_id),
            col(Result.status),
            col(Result.output),
            col(Result.error_code),
            col(Result.error_message),
        )
        .join(Job, (col(Job.batch_id) == col(Result.batch_id)) & (col(Job.seq) == col(Result.seq)))
        .where(*wanted, col(Result.position) <= last)
        .order_by(col(Result.position))
    )
    return Page([FileLine(*row) for row in rows], last)


def _last_that_fits(
    session: Session, wanted: Sequence[ColumnElement[bool]], after: int, last: int
) -> int:
    """Return up to which position there is room on the page for all that is wanted; at most `last`."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    # Before its 3.43 SQLite counts characters only; PostgreSQL's bytes are told without unpacking.
    size: Any = func.length if is_sqlite else func.octet_length
    sizes = select(col(Result.position), size(col(Result.output))).where(*wanted)
    sum_bytes, fits = 0, after
    for position, size_bytes in session.connection().execute(sizes.order_by(col(Result.position))):
        sum_bytes += size_bytes or 0
        if fits > after and sum_bytes > PAGE_BYTES:
            return fits
        fits = position
    return last
