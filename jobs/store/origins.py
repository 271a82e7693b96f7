"""Where an answer that was kept comes from: a job that was called for, and what its calls have cost."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import bindparam, func, select, tuple_
from sqlmodel import Session, col

from jobs.tables import Attempt

ORIGINS_PER_STATEMENT = 300


class Origin(NamedTuple):
    """A job, of this batch or of an earlier one."""

    batch_id: int
    seq: int


# Built once: putting a statement together costs more than running it.
_JOB = (col(Attempt.batch_id), col(Attempt.seq))
_COSTS = (
    select(*_JOB, func.sum(func.coalesce(col(Attempt.cost_nanos), 0)))
    .where(tuple_(*_JOB).in_(bindparam("origins", expanding=True)))
    .group_by(*_JOB)
)


def costs_of(session: Session, origins: Iterable[Origin]) -> dict[Origin, int]:
    """Return what all calls for some jobs have cost, in nano-dollars; jobs without a call are left out."""
    wanted = [*{*origins}]
    costs: dict[Origin, int] = {}
    for start in range(0, len(wanted), ORIGINS_PER_STATEMENT):
        some = wanted[start : start + ORIGINS_PER_STATEMENT]
        rows = session.connection().execute(_COSTS, {"origins": some})
        costs.update((Origin(batch_id, seq), int(nanos)) for batch_id, seq, nanos in rows)
    return costs
