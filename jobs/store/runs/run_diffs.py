"""What a run has made otherwise than the one before: rows that are new, gone, changed, by key and branch."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlmodel import Session, col

from jobs.pipelines.files import Pipeline
from jobs.pipelines.flow import branched
from jobs.states import ItemState, RunState
from jobs.store.runs.run_items import SOURCE_STAGE
from jobs.tables import Result, Run, RunItem


@dataclass(frozen=True, slots=True)
class Rows:
    """How many rows there are of a sort, and the keys of the first ones."""

    count: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Diff:
    """What one stage has made in a run, beside an earlier run of the same pipeline."""

    stage: str
    same: int
    new: Rows
    gone: Rows
    changed: Rows


def run_before(session: Session, run: Run) -> Run | None:
    """Return the completed run of a pipeline that is of the day before this one's, or of the last before."""
    found = (
        select(col(Run.id))
        .where(
            col(Run.project_id) == run.project_id,
            col(Run.pipeline) == run.pipeline,
            col(Run.state) == RunState.COMPLETED,
            (col(Run.day) < run.day) | ((col(Run.day) == run.day) & (col(Run.id) < run.id)),
        )
        .order_by(col(Run.day).desc(), col(Run.id).desc())
        .limit(1)
    )
    run_id = session.connection().execute(found).scalar()
    return None if run_id is None else session.get(Run, run_id)


def diff(session: Session, run: Run, before: Run, *, stage: str | None, keys: int) -> Diff | None:
    """Return what a stage has made otherwise; None if one of the runs has no such stage.

    Two outputs are the same if they were stored as the same text. Rows that failed are not there.

    Args:
        session: a read transaction.
        run: the run.
        before: the earlier one.
        stage: the stage's name; None for the last one of the run's file.
        keys: how many keys of each sort are named.
    """
    now_names = [one.name for one in Pipeline.from_json(run.definition).stages]
    then_names = [one.name for one in Pipeline.from_json(before.definition).stages]
    name = stage or now_names[-1]
    if name not in now_names or name not in then_names:
        return None
    mine = _made(run, now_names.index(name)).subquery("mine")
    theirs = _made(before, then_names.index(name)).subquery("theirs")
    is_one_row = (mine.c.key == theirs.c.key) & (mine.c.branch == theirs.c.branch)
    both = mine.join(theirs, is_one_row)
    same = select(func.count()).select_from(both).where(mine.c.output == theirs.c.output)
    changed = _named(mine).select_from(both).where(mine.c.output != theirs.c.output)
    new = _named(mine).select_from(mine.outerjoin(theirs, is_one_row)).where(theirs.c.key.is_(None))
    gone = (
        _named(theirs).select_from(theirs.outerjoin(mine, is_one_row)).where(mine.c.key.is_(None))
    )
    return Diff(
        name,
        int(session.connection().execute(same).scalar_one()),
        _rows(session, new, keys),
        _rows(session, gone, keys),
        _rows(session, changed, keys),
    )


def _made(run: Run, stage_no: int) -> Select[Any]:
    """Return the statement of (key, branch, output) of what a stage has done."""
    source = (
        select(col(RunItem.number), col(RunItem.key))
        .where(col(RunItem.run_id) == run.id, col(RunItem.stage_no) == SOURCE_STAGE)
        .subquery()
    )
    return (
        select(
            source.c.key, col(RunItem.branch), func.coalesce(col(Result.output), "").label("output")
        )
        .join(source, source.c.number == col(RunItem.number))
        .join(
            Result,
            (col(Result.batch_id) == col(RunItem.batch_id)) & (col(Result.seq) == col(RunItem.seq)),
        )
        .where(
            col(RunItem.run_id) == run.id,
            col(RunItem.stage_no) == stage_no,
            col(RunItem.state) == ItemState.DONE,
        )
    )


def _named(rows: Any) -> Select[Any]:
    return select(rows.c.key, rows.c.branch)


def _rows(session: Session, statement: Select[Any], keys: int) -> Rows:
    execute = session.connection().execute
    count = execute(select(func.count()).select_from(statement.subquery())).scalar_one()
    first = execute(statement.order_by(*statement.selected_columns).limit(keys))
    return Rows(int(count), tuple(branched(key, branch) for key, branch in first))
