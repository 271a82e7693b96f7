"""Results of jobs whose answer is there already, in this project: copied when their slice is opened.

Outputs are copied within the database, however large they are.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Integer, Text, bindparam, insert, literal, select
from sqlmodel import Session, col

from jobs.ages import Age, span
from jobs.states import ResultStatus
from jobs.store.batches import batches
from jobs.store.batches.jobs import SliceRange
from jobs.store.engine.bulk import insert_rows
from jobs.store.engine.database import now
from jobs.store.leases.leases import Lease, require_held
from jobs.store.leases.open_jobs import BOUNDS, answered_between, open_in
from jobs.store.results.answers import find
from jobs.store.results.origins import Origin, costs_of
from jobs.tables import BigInt, Job, Result, UtcDateTime

KEPT = "cache"
"""The source of such a result."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer that was judged again, and is good. `output` is JSON text."""

    output: str
    finish_reason: str | None
    mended: str | None


@dataclass(frozen=True, slots=True)
class Keeping:
    """What a job gets: the result of `copied`, with this status; its calls were those for `origin`.

    With `judged` it is that instead, and succeeds.
    """

    seq: int
    status: ResultStatus
    copied: Origin
    origin: Origin
    judged: Judged | None = None


# Built once: putting a statement together costs more than running it.
_OPEN_QUESTIONS = open_in(select(col(Job.seq), col(Job.fingerprint)), BOUNDS).where(
    col(Job.first_seq).is_(None), col(Job.fingerprint) != b""
)
_COPIED = ("output", "finish_reason", "error_code", "error_message", "mended")
_WRITTEN = (
    *("batch_id", "seq", "position", "status", "source"),
    *("finished_at", "origin_batch_id", "origin_seq"),
)
_COPY = insert(Result).from_select(
    [*_WRITTEN, *_COPIED],
    select(
        bindparam("batch_id", type_=BigInt),
        bindparam("new_seq", type_=Integer()),
        bindparam("new_position", type_=Integer()),
        bindparam("new_status", type_=Text()),
        literal(KEPT, Text()),
        bindparam("moment", type_=UtcDateTime()),
        bindparam("origin_batch", type_=BigInt),
        bindparam("origin_job", type_=Integer()),
        *(col(getattr(Result, name)) for name in _COPIED),
    ).where(
        col(Result.batch_id) == bindparam("copied_batch"),
        col(Result.seq) == bindparam("copied_job"),
    ),
)


def reusable(
    session: Session, lease: Lease, cut: SliceRange, age: Age, *, takes_mended: bool
) -> list[Keeping]:
    """Return what jobs of a slice that has just been leased may get of earlier batches.

    Jobs that get the result of an earlier one of their batch wait for that.

    Args:
        session: any transaction.
        lease: of the slice.
        cut: the slice.
        age: how old an answer may be.
        takes_mended: whether it may have been put right without asking.
    """
    bounds = {"first_seq": cut.first_seq, "last_seq": cut.last_seq, "queue": cut.queue}
    rows = session.connection().execute(_OPEN_QUESTIONS, {"batch_id": lease.batch_id, **bounds})
    questions: dict[int, bytes] = {row[0]: row[1] for row in rows}
    if not questions:
        return []
    answers = find(
        session,
        lease.project_id,
        {*questions.values()},
        since=now(session) - span(age),
        takes_mended=takes_mended,
    )
    return [
        Keeping(seq, ResultStatus.SUCCEEDED, answers[fingerprint], answers[fingerprint])
        for seq, fingerprint in questions.items()
        if fingerprint in answers
    ]


def keep(session: Session, lease: Lease, keepings: Collection[Keeping]) -> None:
    """Give jobs of a leased slice results that are there already; those that have one are left alone.

    Raises:
        LeaseLost: the fence is newer; nothing was changed.
    """
    batch = batches.lock(session, lease.batch_id)
    require_held(session, lease)
    if not keepings:
        return
    seqs = [keeping.seq for keeping in keepings]
    answered = answered_between(session, lease.batch_id, min(seqs), max(seqs))
    due = [keeping for keeping in keepings if keeping.seq not in answered]
    if not due:
        return
    moment, placed = now(session), [*enumerate(due, start=batch.finished_jobs + 1)]
    _copy(session, lease.batch_id, moment, [each for each in placed if each[1].judged is None])
    _write(session, lease.batch_id, moment, [each for each in placed if each[1].judged is not None])
    costs = costs_of(session, (keeping.origin for keeping in due))
    statuses = Counter(keeping.status for keeping in due)
    batch.succeeded += statuses[ResultStatus.SUCCEEDED]
    batch.failed += statuses[ResultStatus.FAILED]
    batch.reused_jobs += len(due)
    batch.saved_nanos += sum(costs.get(keeping.origin, 0) for keeping in due)
    session.add(batch)
    session.flush()


def _copy(
    session: Session, batch_id: int, moment: datetime, placed: Sequence[tuple[int, Keeping]]
) -> None:
    """Copy results to their places."""
    if not placed:
        return
    session.connection().execute(
        _COPY,
        [
            {
                "batch_id": batch_id,
                "new_seq": keeping.seq,
                "new_position": position,
                "new_status": keeping.status.value,
                "moment": moment,
                "origin_batch": keeping.origin.batch_id,
                "origin_job": keeping.origin.seq,
                "copied_batch": keeping.copied.batch_id,
                "copied_job": keeping.copied.seq,
            }
            for position, keeping in placed
        ],
    )


def _write(
    session: Session, batch_id: int, moment: datetime, placed: Sequence[tuple[int, Keeping]]
) -> None:
    """Write the results of judged answers to their places."""
    rows = [
        (
            *(batch_id, keeping.seq, position, keeping.status.value, KEPT, moment, *keeping.origin),
            *(keeping.judged.output, keeping.judged.finish_reason, keeping.judged.mended),
        )
        for position, keeping in placed
        if keeping.judged is not None
    ]
    insert_rows(session, Result, (*_WRITTEN, "output", "finish_reason", "mended"), rows)
