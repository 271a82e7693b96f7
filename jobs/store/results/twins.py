"""Results of jobs that ask for the same as an earlier one of their batch: copied once that has its own.

Looked up by number, a slice's at a time: a join would be bounded by the slice only if the planner knew
the batch, and a new one it doesn't.
"""

from collections import Counter
from typing import Any

from sqlalchemy import bindparam, select
from sqlmodel import Session, col

from jobs.states import ResultStatus
from jobs.store.batches.jobs import SliceRange
from jobs.store.engine.bulk import insert_rows
from jobs.store.engine.database import now
from jobs.store.leases.open_jobs import answered_between
from jobs.store.results.origins import Origin, costs_of
from jobs.tables import Batch, Job, Result

DUPLICATE = "duplicate"
"""The source of such a result."""

COPIED = ("status", "output", "finish_reason", "error_code", "error_message", "mended")
_COLUMNS = ("batch_id", "seq", "position", "source", "finished_at", *COPIED)

# Built once: putting a statement together costs more than running it.
_TWINS = select(col(Job.seq), col(Job.first_seq)).where(
    col(Job.batch_id) == bindparam("batch_id"),
    col(Job.seq).between(bindparam("first_seq"), bindparam("last_seq")),
    col(Job.queue) == bindparam("queue"),
    col(Job.first_seq).is_not(None),
)
_RESULTS = select(
    col(Result.seq),
    col(Result.origin_batch_id),
    col(Result.origin_seq),
    *(col(getattr(Result, name)) for name in COPIED),
).where(
    col(Result.batch_id) == bindparam("batch_id"),
    col(Result.seq).in_(bindparam("seqs", expanding=True)),
    # Of a job that was cancelled its twins are as well, each for itself.
    col(Result.status).in_([ResultStatus.SUCCEEDED, ResultStatus.FAILED]),
)


def answer_twins(session: Session, batch: Batch, cut: SliceRange) -> None:
    """Give the twins of a slice whose first job has its result the same one.

    Args:
        session: a write transaction.
        batch: locked; its totals are advanced.
        cut: the slice.
    """
    assert batch.id is not None  # a stored row has its key
    batch_id, execute = batch.id, session.connection().execute
    of_batch = {"batch_id": batch_id}
    bounds = of_batch | {"first_seq": cut.first_seq, "last_seq": cut.last_seq}
    copies = execute(_TWINS, bounds | {"queue": cut.queue}).all()
    if not copies:
        return
    answered = answered_between(session, batch_id, cut.first_seq, cut.last_seq)
    twins = [
        (seq, first_seq)
        for seq, first_seq in copies
        if first_seq is not None and seq not in answered
    ]
    if not twins:
        return
    firsts = of_batch | {"seqs": list({first_seq for _, first_seq in twins})}
    found = execute(_RESULTS, firsts).all()
    results = {row[0]: row[3:] for row in found}
    due = [(seq, first_seq) for seq, first_seq in twins if first_seq in results]
    if not due:
        return
    # A first one that was answered by an earlier batch has saved what that paid, and so do its twins.
    origins = {
        row[0]: Origin(row[1] or batch_id, row[0] if row[2] is None else row[2]) for row in found
    }
    moment, costs = now(session), costs_of(session, origins.values())
    rows: list[tuple[Any, ...]] = [
        (batch.id, seq, position, DUPLICATE, moment, *results[first_seq])
        for position, (seq, first_seq) in enumerate(due, start=batch.finished_jobs + 1)
    ]
    insert_rows(session, Result, _COLUMNS, rows)
    statuses = Counter(results[first_seq][0] for _, first_seq in due)
    batch.succeeded += statuses[ResultStatus.SUCCEEDED]
    batch.failed += statuses[ResultStatus.FAILED]
    batch.saved_nanos += sum([costs.get(origins[first_seq], 0) for _, first_seq in due])
    session.add(batch)
    session.flush()
