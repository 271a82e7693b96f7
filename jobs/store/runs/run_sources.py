"""Which rows of a source a run takes: not those that it has, and if asked for only those that are new."""

from collections.abc import Mapping

from sqlalchemy import select, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col

from jobs.states import ItemState, RunState
from jobs.store.engine.database import now
from jobs.store.runs import run_claims, runs
from jobs.tables import Run, RunItem

COUNTS_AS_DONE = (RunState.RUNNING, RunState.DELIVERING, RunState.COMPLETED)
"""Runs whose rows are done, or will be; those of others are taken again."""


def done_before(session: Session, run: Run, digests: Mapping[str, str]) -> set[str]:
    """Return the keys of rows that an earlier run of the pipeline has done as they are, or is doing.

    A row that failed in a stage there is not done.
    """
    run_id = run.id
    assert run_id is not None  # a stored row has its key
    item, failed = aliased(RunItem), aliased(RunItem)
    has_failed = select(col(failed.run_id)).where(
        col(failed.run_id) == col(item.run_id),
        col(failed.number) == col(item.number),
        col(failed.state) == ItemState.FAILED,
        # Every branch is. Said, for else SQLite takes an index of states and reads all of the run's rows.
        col(failed.branch) >= "",
    )
    rows = session.connection().execute(
        select(col(item.key), col(item.digest))
        .join(Run, col(Run.id) == col(item.run_id))
        .where(
            col(Run.project_id) == run.project_id,
            col(Run.pipeline) == run.pipeline,
            col(Run.id) < run_id,
            col(Run.state).in_(COUNTS_AS_DONE),
            col(item.key).in_(list(digests)),
            ~has_failed.exists(),
        )
    )
    return {key for key, digest in rows if key is not None and digests[key] == digest}


def count_left_out(session: Session, run_id: int, old_rows: int, double_rows: int) -> None:
    """Note how many rows of a run's source were left out, when all are read."""
    session.connection().execute(
        update(Run).where(col(Run.id) == run_id).values(old_rows=old_rows, double_rows=double_rows)
    )


def finish_reading(session: Session, run_id: int, claim: tuple[str, int]) -> None:
    """Note that a run's source was wholly read.

    Raises:
        LeaseLost: the claim is another's; nothing is written.
    """
    runs.lock(session, run_id)
    run_claims.hold(session, run_id, *claim)
    session.connection().execute(
        update(Run)
        .where(col(Run.id) == run_id, col(Run.read_at).is_(None))
        .values(read_at=now(session), tries=0, next_try_at=None, trouble=None)
    )


def rows_taken(session: Session, run_id: int) -> int:
    """Return how many rows of its source a run has taken: the number of the last one."""
    rows = session.connection().execute(select(col(Run.rows)).where(col(Run.id) == run_id))
    return rows.scalar_one()
