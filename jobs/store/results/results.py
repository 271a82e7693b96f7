"""Results: read by the page in either order, and written in bulk for jobs that nobody will run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, Integer, any_, func, insert, literal, select
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col

from jobs.exchange import Usage
from jobs.states import FREE_OUTCOMES, ResultStatus
from jobs.store.engine.database import now
from jobs.store.leases.open_jobs import open_in
from jobs.tables import Attempt, Batch, Job, Result, Slice

PAGE_BYTES = 1 << 20
"""Of outputs that are read at once, but for a single one that is larger: a thousand usual ones. Whoever
sends them on holds some five times as much, and many may read."""


RESULT_COLUMNS = (
    "batch_id",
    "seq",
    "position",
    "status",
    "output",
    "finish_reason",
    "error_code",
    "error_message",
    "attempt",
    "source",
    "finished_at",
    "mended",
)
"""Of a result as it is settled; one that was copied tells its origin as well."""

_PAGED = RESULT_COLUMNS[1:]
"""All but the batch, which whoever reads knows."""


class ResultOrder(StrEnum):
    """`finished`: as they arrived, safe to follow while the batch runs. `input`: as submitted."""

    FINISHED = "finished"
    INPUT = "input"


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt of a job that has its result. `cost_nanos` as in `jobs.tables.Attempt`."""

    n: int
    outcome: str | None
    provider: str
    pool: str
    model: str
    cost_nanos: int | None
    latency_ms: int | None
    usage: Usage | None

    @property
    def is_unpriced(self) -> bool:
        """Whether it may have been billed and nobody knows what."""
        return self.cost_nanos is None and self.outcome not in FREE_OUTCOMES

    @property
    def is_estimate(self) -> bool:
        """Whether it is charged at its worst case, as its use is not known."""
        return self.cost_nanos is not None and self.usage is None


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A result with its job's name and all attempts of the job, in their order."""

    seq: int
    position: int
    custom_id: str
    status: str
    output: str | None
    finish_reason: str | None
    error_code: str | None
    error_message: str | None
    attempt: int | None
    source: str
    finished_at: datetime
    mended: str | None
    attempts: Sequence[AttemptRow]
    request: str | None = None
    """The job's own line; None where nobody asked for it."""

    @property
    def deciding(self) -> AttemptRow | None:
        """The attempt that decided, else the last that was made; None if there was none."""
        for made in self.attempts:
            if made.n == self.attempt:
                return made
        return self.attempts[-1] if self.attempts else None

    @property
    def usage(self) -> Usage | None:
        """What all attempts of the job used, as far as it is known; None if of none it is."""
        known = [made.usage.counts() for made in self.attempts if made.usage is not None]
        return Usage(*map(sum, zip(*known, strict=True))) if known else None

    @property
    def cost_nanos(self) -> int | None:
        """What all attempts of the job cost; None if that of one of them is not known."""
        if any(made.is_unpriced for made in self.attempts):
            return None
        return sum(made.cost_nanos or 0 for made in self.attempts)

    @property
    def is_estimate(self) -> bool:
        """Whether some of the cost is a worst case: an answer was lost, or came without usage."""
        return any(made.is_estimate for made in self.attempts)


def page(
    session: Session,
    batch_id: int,
    *,
    order: ResultOrder,
    after: int,
    limit: int,
    with_requests: bool = False,
) -> list[ResultRow]:
    """Return results after a cursor, in order: as many as there are outputs for `PAGE_BYTES`.

    It is empty only if there are none. An attempt that is settled meanwhile may be in it or not.

    Args:
        session: a read transaction.
        batch_id: a batch that the caller may see.
        order: see `ResultOrder`.
        after: the last `position` (finished) or `seq` (input) that was seen; 0 or -1 to begin.
        limit: rows at most.
        with_requests: read the jobs' own lines as well, which count as outputs do.
    """
    seqs = _next_seqs(session, batch_id, order, after, limit)
    if with_requests:
        seqs = _fitting(session, batch_id, seqs)
    of_batch = col(Result.batch_id) == batch_id
    results = session.connection().execute(
        select(*(col(getattr(Result, name)) for name in _PAGED)).where(
            of_batch, is_one_of(session, col(Result.seq), seqs)
        )
    )
    by_seq = {row[0]: dict(zip(_PAGED, row, strict=True)) for row in results}
    custom_ids = _of_jobs(session, batch_id, seqs, col(Job.custom_id))
    requests = _of_jobs(session, batch_id, seqs, col(Job.request)) if with_requests else {}
    attempts = _attempts(session, batch_id, seqs)
    return [
        ResultRow(
            **by_seq[seq],
            custom_id=custom_ids[seq],
            attempts=attempts.get(seq, ()),
            request=requests.get(seq),
        )
        for seq in seqs
    ]


def cancel_jobs(session: Session, batch: Batch, piece: Slice) -> None:
    """Give the open jobs of an idle slice of a locked batch the result `cancelled`."""
    message = "the batch was cancelled before this job was answered"
    batch.cancelled += _end_jobs(
        session, batch, piece, (ResultStatus.CANCELLED, "cancelled", message)
    )
    session.add(batch)


def expire_jobs(session: Session, batch: Batch, piece: Slice) -> None:
    """Give the open jobs of an idle slice of a locked batch the result `expired`."""
    message = "the batch's deadline passed before this job was answered"
    batch.expired += _end_jobs(session, batch, piece, (ResultStatus.EXPIRED, "expired", message))
    session.add(batch)


def fail_jobs(session: Session, batch: Batch, piece: Slice, code: str, message: str) -> None:
    """Give the open jobs of an idle slice of a locked batch the result `failed`, for this reason."""
    batch.failed += _end_jobs(session, batch, piece, (ResultStatus.FAILED, code, message))
    session.add(batch)


def _end_jobs(
    session: Session, batch: Batch, piece: Slice, end: tuple[ResultStatus, str, str]
) -> int:
    """Give the open jobs of a slice this status, error code and message; return how many there are."""
    status, code, message = end
    position = func.row_number().over(order_by=col(Job.seq)) + batch.finished_jobs
    values = select(
        col(Job.batch_id),
        col(Job.seq),
        position,
        literal(status.value),
        literal(code),
        literal(message),
        literal("live"),
        literal(now(session), Result.__table__.c.finished_at.type),  # type: ignore[attr-defined]  # SQLModel sets it, untyped
    )
    columns = [
        "batch_id",
        "seq",
        "position",
        "status",
        "error_code",
        "error_message",
        "source",
        "finished_at",
    ]
    statement = insert(Result).from_select(columns, open_in(values, piece))
    written = session.connection().execute(statement, execution_options={"preserve_rowcount": True})
    return written.rowcount


def _next_seqs(
    session: Session, batch_id: int, order: ResultOrder, after: int, limit: int
) -> list[int]:
    """Return the jobs whose results fit into the next page: one, however large it is.

    SQLite reads on row by row, so it looks at little more than the page.
    """
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    # Before its 3.43 SQLite counts characters only; PostgreSQL's bytes are told without unpacking.
    size = func.length if is_sqlite else func.octet_length
    if order is ResultOrder.FINISHED:
        place = col(Result.position)
        # Positions have no gaps; said so, nothing else is looked at, whatever the statistics are.
        is_next: ColumnElement[bool] = place.between(after + 1, after + limit)
    else:
        place = col(Result.seq)
        is_next = place > after
    sizes = session.connection().execute(
        select(col(Result.seq), size(col(Result.output)))
        .where(col(Result.batch_id) == batch_id, is_next)
        .order_by(place)
        .limit(limit)
    )
    seqs: list[int] = []
    sum_bytes = 0
    for seq, size_bytes in sizes:
        sum_bytes += size_bytes or 0
        if seqs and sum_bytes > PAGE_BYTES:
            sizes.close()
            break
        seqs.append(seq)
    return seqs


def is_one_of(session: Session, column: Mapped[int], seqs: Sequence[int]) -> ColumnElement[bool]:
    """Return the condition `column IN seqs`; to PostgreSQL as one parameter, not a thousand."""
    if session.get_bind().dialect.name == "sqlite":
        return column.in_(seqs)
    return column == any_(literal(seqs, ARRAY(Integer)))


def _fitting(session: Session, batch_id: int, seqs: Sequence[int]) -> list[int]:
    """Return the first of some jobs, as many as there are lines for `PAGE_BYTES`; one at least."""
    sizes = _of_jobs(session, batch_id, seqs, func.length(col(Job.request)))
    fitting: list[int] = []
    sum_characters = 0
    for seq in seqs:
        sum_characters += sizes[seq]
        if fitting and sum_characters > PAGE_BYTES:
            break
        fitting.append(seq)
    return fitting


def _of_jobs(session: Session, batch_id: int, seqs: Sequence[int], wanted: Any) -> dict[int, Any]:
    """Return what is wanted of some jobs, by seq."""
    rows = session.connection().execute(
        select(col(Job.seq), wanted).where(
            col(Job.batch_id) == batch_id, is_one_of(session, col(Job.seq), seqs)
        )
    )
    return {row[0]: row[1] for row in rows}


def _attempts(
    session: Session, batch_id: int, seqs: Sequence[int]
) -> dict[int, Sequence[AttemptRow]]:
    """Return the attempts of some jobs by seq, in their order.

    Not joined to the results: each output would come as often as there were attempts, and PostgreSQL
    would join whole batches where it has no statistics yet.
    """
    rows = session.connection().execute(
        select(
            col(Attempt.seq),
            *(col(getattr(Attempt, name)) for name in (*_OF_ATTEMPT, *Usage.__struct_fields__)),
        )
        .where(col(Attempt.batch_id) == batch_id, is_one_of(session, col(Attempt.seq), seqs))
        .order_by(col(Attempt.seq), col(Attempt.n))
    )
    return {
        seq: [_attempt_row(tuple(row)[1:]) for row in of_job]
        for seq, of_job in groupby(rows, key=lambda row: row[0])
    }


def _attempt_row(columns: tuple[Any, ...]) -> AttemptRow:
    plain, counts = columns[: len(_OF_ATTEMPT)], columns[len(_OF_ATTEMPT) :]
    values = dict(zip(_OF_ATTEMPT, plain, strict=True))
    return AttemptRow(**values, usage=None if counts[0] is None else Usage(*counts))


_OF_ATTEMPT = ("n", "outcome", "provider", "pool", "model", "cost_nanos", "latency_ms")
