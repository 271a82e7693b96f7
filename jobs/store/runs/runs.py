"""Runs of pipelines: made, found, and moved from state to state by guarded writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import insert, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, select

from jobs.errors import IllegalTransition, InvalidCursor, NotFound
from jobs.pipelines.files import Pipeline
from jobs.pipelines.turns import Other, first_state
from jobs.states import FINAL_RUN_STATES, RunKind, RunState, SinkState, run_sources
from jobs.store.engine.database import now
from jobs.store.light_rows import without
from jobs.store.refs import new_ref
from jobs.tables import Run, RunSink, RunStage

LATELY = 50
"""Runs that are looked at to tell how things stand."""

NO_SUCH_RUN = "there is no such run in this project"


@dataclass(frozen=True, slots=True)
class RunWish:
    """A run that is to be made. `day` is what `{date}` stands for, by default that of `due_at`.

    There is one run for each `slot` of a pipeline: see `scheduled_slot`; None makes one that nobody else has.
    """

    project_id: int
    kind: RunKind
    due_at: datetime
    day: date | None = None
    slot: str | None = None
    group_ref: str | None = None
    at_once: int = 1


def scheduled_slot(due_at: datetime) -> str:
    """Return the slot of a run that a schedule wants at that time."""
    return f"scheduled {due_at.timestamp():.0f}"


def begin(session: Session, pipeline: Pipeline, wish: RunWish) -> Run | None:
    """Make a run with its stages and sinks; None if there is one for its slot already.

    It waits for its turn, or is skipped at once: see `jobs.pipelines.turns`.
    """
    others = unfinished_of(session, wish.project_id, pipeline.name)
    overlap = pipeline.schedule.overlap if pipeline.schedule else "queue"
    state = first_state(wish.kind, overlap, others)
    moment, ref = now(session), new_ref("run_")
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    made = session.connection().execute(
        dialect.insert(Run)
        .values(
            ref=ref,
            project_id=wish.project_id,
            pipeline=pipeline.name,
            kind=wish.kind,
            slot=wish.slot or ref,
            state=state,
            definition=pipeline.to_json(),
            digest=pipeline.digest,
            day=wish.day or pipeline.day_of(wish.due_at),
            due_at=wish.due_at,
            deadline=pipeline.deadline_of(wish.due_at),
            budget_nanos=pipeline.budget_nanos,
            group_ref=wish.group_ref,
            at_once=wish.at_once,
            round=0,
            created_at=moment,
            finished_at=moment if state in FINAL_RUN_STATES else None,
            rows=0,
            old_rows=0,
            double_rows=0,
            tries=0,
            trouble="an earlier run went on when it was due" if state is RunState.SKIPPED else None,
        )
        .on_conflict_do_nothing()
        .returning(col(Run.id))
    )
    run_id = made.scalar_one_or_none()
    if run_id is None:
        return None
    _insert_parts(session, run_id, pipeline)
    return session.get(Run, run_id)


def find(session: Session, project_id: int, ref: str) -> Run:
    """Return a run of the project.

    Raises:
        NotFound: there is no such run.
    """
    statement = select(Run).where(Run.ref == ref, Run.project_id == project_id)
    run = None if "\0" in ref else session.exec(statement).first()
    if run is None:
        raise NotFound(NO_SUCH_RUN)
    return run


def page(
    session: Session, project_id: int, *, pipeline: str | None, before: str | None, limit: int
) -> list[Run]:
    """Return runs, newest first, from the one that was made before `before`; of one pipeline or of all.

    Raises:
        InvalidCursor: `before` names no run of the project.
    """
    statement = select(Run).where(Run.project_id == project_id)
    if pipeline is not None:
        statement = statement.where(Run.pipeline == pipeline)
    if before is not None:
        try:
            last = find(session, project_id, before)
        except NotFound:
            raise InvalidCursor from None
        statement = statement.where(col(Run.id) < last.id)
    return list(session.exec(statement.order_by(col(Run.id).desc()).limit(limit)))


def lately(session: Session, project_id: int, since: datetime) -> list[Run]:
    """Return the project's unfinished runs and those that ended since a time, newest first, `LATELY` at most.

    Of the finished ones only those are found that are among the project's newest.
    """
    mine = (
        select(Run).where(Run.project_id == project_id).order_by(col(Run.id).desc()).limit(LATELY)
    )
    unfinished = session.exec(mine.where(col(Run.finished_at).is_(None)))
    found = {run.id: run for run in unfinished}
    found |= {
        run.id: run for run in session.exec(mine) if run.finished_at and run.finished_at >= since
    }
    return [found[key] for key in sorted(found, key=lambda key: -(key or 0))][:LATELY]


def unfinished_of(session: Session, project_id: int, pipeline: str) -> list[Other]:
    """Return the runs of a pipeline that have not ended, in the order in which they were made."""
    rows = session.exec(
        select(Run.id, Run.kind, Run.state, Run.group_ref)
        .where(
            Run.project_id == project_id,
            Run.pipeline == pipeline,
            col(Run.finished_at).is_(None),
        )
        .order_by(col(Run.id))
    )
    return [
        Other(run_id, RunKind(kind), RunState(state), group)
        for run_id, kind, state, group in rows
        if run_id is not None
    ]


def newest_completed(session: Session, project_id: int, pipeline: str) -> Run | None:
    """Return the run of a pipeline that was due last of those that are completed."""
    return session.exec(
        select(Run)
        .where(
            Run.project_id == project_id,
            Run.pipeline == pipeline,
            Run.state == RunState.COMPLETED,
        )
        .order_by(col(Run.due_at).desc(), col(Run.id).desc())
        .limit(1)
    ).first()


def in_states(session: Session, states: Sequence[RunState]) -> list[Run]:
    """Return the unfinished runs in one of these states, oldest first, without their definitions."""
    return list(
        session.exec(
            select(Run)
            .where(col(Run.state).in_(states), col(Run.finished_at).is_(None))
            .order_by(col(Run.id))
            .options(*without(Run.definition))
        )
    )


def definition_of(session: Session, run_id: int) -> str:
    """Return the definition of a run."""
    return session.exec(select(Run.definition).where(Run.id == run_id)).one()


def lock(session: Session, run_id: int) -> Run:
    """Lock a run's row for this transaction and return it as it is now. Before all batches."""
    return session.exec(
        select(Run)
        .where(Run.id == run_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def move(
    session: Session,
    run_id: int,
    target: RunState,
    trouble: str | None = None,
    *,
    source: RunState | None = None,
) -> bool:
    """Move a run to a state that follows its present one, which is `source` if that is given.

    Returns:
        whether it did.
    """
    sources = run_sources(target) if source is None else {source} & run_sources(target)
    moment = now(session)
    values: dict[str, object] = {"state": target, "trouble": trouble}
    if target in FINAL_RUN_STATES:
        values["finished_at"] = moment
    if target is RunState.RUNNING:
        values["started_at"] = moment
    moved = session.connection().execute(
        update(Run).where(col(Run.id) == run_id, col(Run.state).in_(sources)).values(values)
    )
    return moved.rowcount == 1


def require_move(session: Session, run: Run, target: RunState, trouble: str | None = None) -> None:
    """Move a run as `move` does.

    Raises:
        IllegalTransition: its state does not allow it.
    """
    assert run.id is not None  # a stored row has its key
    if not move(session, run.id, target, trouble):
        raise IllegalTransition(f"run {run.ref} is {run.state}, so it can't become {target}")


def stages(session: Session, run_id: int) -> list[RunStage]:
    """Return the stages of a run, in order."""
    return list(
        session.exec(
            select(RunStage).where(RunStage.run_id == run_id).order_by(col(RunStage.stage_no))
        )
    )


def sinks(session: Session, run_id: int) -> list[RunSink]:
    """Return the sinks of a run, in order."""
    return list(
        session.exec(select(RunSink).where(RunSink.run_id == run_id).order_by(col(RunSink.sink_no)))
    )


def _insert_parts(session: Session, run_id: int, pipeline: Pipeline) -> None:
    connection = session.connection()
    none = {"sent": 0, "again": 0, "done": 0, "failed": 0, "left_out": 0}
    connection.execute(
        insert(RunStage),
        [
            {"run_id": run_id, "stage_no": number, "name": stage.name, **none}
            for number, stage in enumerate(pipeline.stages)
        ],
    )
    if pipeline.sinks:
        connection.execute(
            insert(RunSink),
            [
                {"run_id": run_id, "sink_no": number, "state": SinkState.WAITING, "tries": 0}
                for number in range(len(pipeline.sinks))
            ],
        )
