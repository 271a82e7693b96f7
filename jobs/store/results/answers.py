"""Answers that later batches of their project may take: offered in bulk, and found by what was asked.

A row says only where the answer is; it is a result as any other. Rows are appended in the order of their
fingerprints and thousands at a time: they lie at random places of a large table, and each place that is
written costs a page. One by one they would cost 15 us each, so they cost 2 to 4 (a million rows).
"""

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import bindparam, insert, select
from sqlmodel import Session, col

from jobs.states import ResultStatus
from jobs.store.results.origins import JOBS_PER_STATEMENT, Origin, by_batch
from jobs.tables import Answer, BigInt, Job, Result

OFFERED_TOGETHER = 10_000
"""Results of a batch that are looked at in one go, or as many as there are at its end: 60 ms on SQLite."""

MOST_TOGETHER = 2 * OFFERED_TOGETHER
"""However large a slice is, and however many jobs were cancelled at once."""

LIVE = "live"
BATCH = "batch"
"""What a line of a native batch was answered: as good as a live answer."""
"""The source of a result that a call for its own job has brought."""

# Built once: putting a statement together costs more than running it.
# The fingerprint is asked for row by row: joined, PostgreSQL might read all jobs of the batch.
_OFFERED = (
    select(
        col(Result.batch_id),
        col(Result.seq),
        select(col(Job.fingerprint))
        .where(col(Job.batch_id) == bindparam("of"), col(Job.seq) == col(Result.seq))
        .correlate(Result)
        .scalar_subquery()
        .label("fingerprint"),
    )
    .where(
        col(Result.batch_id) == bindparam("of"),
        col(Result.position).between(bindparam("first"), bindparam("last")),
        col(Result.status) == ResultStatus.SUCCEEDED,
        col(Result.source).in_((LIVE, BATCH)),
    )
    .subquery()
)
_OFFER = insert(Answer).from_select(
    ["project_id", "fingerprint", "batch_id", "seq"],
    select(
        bindparam("project", type_=BigInt),
        _OFFERED.c.fingerprint,
        _OFFERED.c.batch_id,
        _OFFERED.c.seq,
    )
    .where(_OFFERED.c.fingerprint != b"")
    .order_by(_OFFERED.c.fingerprint),
)
_FOUND = (
    select(col(Answer.fingerprint), col(Answer.batch_id), col(Answer.seq))
    .where(
        col(Answer.project_id) == bindparam("project"),
        col(Answer.fingerprint).in_(bindparam("fingerprints", expanding=True)),
    )
    .order_by(col(Answer.batch_id), col(Answer.seq))
)
_TAKEN = select(col(Result.seq), col(Result.mended)).where(
    col(Result.batch_id) == bindparam("batch_id"),
    col(Result.seq).in_(bindparam("seqs", expanding=True)),
    col(Result.finished_at) >= bindparam("since"),
)


def offer(session: Session, project_id: int, batch_id: int, *, after: int, last: int) -> int:
    """Offer the answers among a locked batch's results; return up to which place they are offered.

    Args:
        session: a write transaction.
        project_id: the batch's.
        batch_id: the batch.
        after: the place (`Result.position`) up to which they are offered already.
        last: the place of the newest; nothing is looked at beyond `MOST_TOGETHER` more than `after`.
    """
    last_looked_at = min(last, after + MOST_TOGETHER)
    places = {"first": after + 1, "last": last_looked_at}
    session.connection().execute(_OFFER, {"project": project_id, "of": batch_id, **places})
    return last_looked_at


def find(
    session: Session,
    project_id: int,
    fingerprints: Collection[bytes],
    *,
    since: datetime,
    takes_mended: bool,
) -> dict[bytes, Origin]:
    """Return the newest answer of a project to each of some questions, as far as there are any.

    Args:
        session: any transaction.
        project_id: whose answers; never another's.
        fingerprints: the questions, some hundred.
        since: none that was given before counts.
        takes_mended: whether those do that were put right here.
    """
    newest: dict[bytes, Origin] = {}
    wanted = [*fingerprints]
    for start in range(0, len(wanted), JOBS_PER_STATEMENT):
        some = wanted[start : start + JOBS_PER_STATEMENT]
        rows = session.connection().execute(_FOUND, {"project": project_id, "fingerprints": some})
        newest.update((row[0], Origin(row[1], row[2])) for row in rows)
    taken = _taken(session, newest.values(), since, takes_mended=takes_mended)
    return {fingerprint: origin for fingerprint, origin in newest.items() if origin in taken}


def _taken(
    session: Session, origins: Iterable[Origin], since: datetime, *, takes_mended: bool
) -> set[Origin]:
    taken: set[Origin] = set()
    for batch_id, seqs in by_batch(origins):
        values = {"batch_id": batch_id, "seqs": seqs, "since": since}
        rows = session.connection().execute(_TAKEN, values)
        taken.update(Origin(batch_id, seq) for seq, mended in rows if takes_mended or not mended)
    return taken
