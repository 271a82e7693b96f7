"""Where an answer that was kept comes from: a job that was called for, and what its calls have cost.

Looked up batch by batch: by pairs of batch and number SQLite reads the whole table, and PostgreSQL takes
four times as long.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sqlalchemy import bindparam, func, select
from sqlmodel import Session, col

from jobs.tables import Attempt

JOBS_PER_STATEMENT = 500
"""Within the number of parameters that every SQLite build takes."""


class Origin(NamedTuple):
    """A job, of this batch or of an earlier one."""

    batch_id: int
    seq: int


# Built once: putting a statement together costs more than running it.
_COSTS = (
    select(col(Attempt.seq), func.sum(func.coalesce(col(Attempt.cost_nanos), 0)))
    .where(
        col(Attempt.batch_id) == bindparam("batch_id"),
        col(Attempt.seq).in_(bindparam("seqs", expanding=True)),
    )
    .group_by(col(Attempt.seq))
)


def by_batch(origins: Iterable[Origin]) -> Iterator[tuple[int, list[int]]]:
    """Yield the numbers of some jobs by batch, as many at once as a statement takes."""
    seqs: dict[int, set[int]] = defaultdict(set)
    for batch_id, seq in origins:
        seqs[batch_id].add(seq)
    for batch_id, of_batch in sorted(seqs.items()):
        numbers = sorted(of_batch)
        for start in range(0, len(numbers), JOBS_PER_STATEMENT):
            yield batch_id, numbers[start : start + JOBS_PER_STATEMENT]


def costs_of(session: Session, origins: Iterable[Origin]) -> dict[Origin, int]:
    """Return what all calls for some jobs have cost, in nano-dollars; jobs without a call are left out."""
    costs: dict[Origin, int] = {}
    for batch_id, seqs in by_batch(origins):
        rows = session.connection().execute(_COSTS, {"batch_id": batch_id, "seqs": seqs})
        costs.update((Origin(batch_id, seq), int(nanos)) for seq, nanos in rows)
    return costs
