"""Which runs of schedules are due: the newest time that has no run, of those since the schedule is known."""

from datetime import datetime

from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col, or_, select

from jobs.pipelines.cron import newest_due, zone_named
from jobs.pipelines.files import Pipeline
from jobs.states import RunKind
from jobs.store.engine.database import now
from jobs.store.projects import project_named
from jobs.store.runs import runs
from jobs.store.runs.runs import RunWish, scheduled_slot
from jobs.tables import Run, RunSchedule


def due_at(session: Session, pipeline: Pipeline) -> datetime | None:
    """Return the time at which a run of the pipeline was due and was not begun; None if there is none.

    Also when its schedule isn't known yet: then nothing was due before it is (`know`).
    """
    assert pipeline.schedule is not None  # who asks has looked
    known = _known(session, pipeline)
    if known is None or known.schedule != _text(pipeline):
        return None
    due = newest_due(
        pipeline.schedule.cron,
        zone_named(pipeline.schedule.zone),
        since=known.since,
        until=now(session),
    )
    if due is None or _is_begun(session, known.project_id, pipeline.name, due):
        return None
    return due


def is_known(session: Session, pipeline: Pipeline) -> bool:
    """Whether the schedule that its file has is the one that is known."""
    known = _known(session, pipeline)
    return known is not None and known.schedule == _text(pipeline)


def know(session: Session, pipeline: Pipeline) -> None:
    """Know a schedule from now on; doing so twice changes nothing.

    Raises:
        NotFound: there is no such project.
    """
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(RunSchedule).values(
        project_id=project_named(session, pipeline.project),
        pipeline=pipeline.name,
        schedule=_text(pipeline),
        since=now(session),
    )
    session.connection().execute(
        statement.on_conflict_do_update(
            index_elements=["project_id", "pipeline"],
            set_={"schedule": statement.excluded.schedule, "since": statement.excluded.since},
            where=col(RunSchedule.schedule) != statement.excluded.schedule,
        )
    )


def begin(session: Session, pipeline: Pipeline, due: datetime) -> Run | None:
    """Make the run of a due time; None if there is one.

    Raises:
        NotFound: there is no such project.
    """
    wish = RunWish(
        project_id=project_named(session, pipeline.project),
        kind=RunKind.SCHEDULED,
        due_at=due,
        slot=scheduled_slot(due),
    )
    return runs.begin(session, pipeline, wish)


def _known(session: Session, pipeline: Pipeline) -> RunSchedule | None:
    project_id = project_named(session, pipeline.project)
    return session.get(RunSchedule, (project_id, pipeline.name))


def _is_begun(session: Session, project_id: int, pipeline: str, due: datetime) -> bool:
    """Whether that time has a run, or a later one has."""
    found = session.exec(
        select(Run.id)
        .where(
            Run.project_id == project_id,
            Run.pipeline == pipeline,
            or_(
                Run.slot == scheduled_slot(due),
                (col(Run.kind) == RunKind.SCHEDULED) & (col(Run.due_at) >= due),
            ),
        )
        .limit(1)
    )
    return found.first() is not None


def _text(pipeline: Pipeline) -> str:
    assert pipeline.schedule is not None
    return f"{pipeline.schedule.cron} {pipeline.schedule.zone}"
