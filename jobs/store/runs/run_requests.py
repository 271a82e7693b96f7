"""Runs that somebody asks for: one now, for a day, or one for each day of the past."""

import hashlib
from datetime import date, timedelta

from sqlmodel import Session, select

from jobs.errors import InvalidParameter
from jobs.pipelines.files import Pipeline
from jobs.states import RunKind
from jobs.store.engine.database import now
from jobs.store.refs import new_ref
from jobs.store.runs import runs
from jobs.store.runs.runs import RunWish
from jobs.tables import Run

MOST_DAYS = 366
"""Of one backfill."""

MOST_AT_ONCE = 32


def ask(
    session: Session,
    project_id: int,
    pipeline: Pipeline,
    *,
    day: date | None = None,
    key: str | None = None,
) -> tuple[Run, bool]:
    """Make a run that is due now; return it, and whether it is new.

    Under the same `key`, which may be any text, it is made once.
    """
    slot = None if key is None else f"asked {hashlib.sha256(key.encode()).hexdigest()}"
    wish = RunWish(project_id, RunKind.MANUAL, due_at=now(session), day=day, slot=slot)
    run = runs.begin(session, pipeline, wish)
    if run is not None:
        return run, True
    return session.exec(
        select(Run).where(
            Run.project_id == project_id, Run.pipeline == pipeline.name, Run.slot == slot
        )
    ).one(), False


def backfill(
    session: Session,
    project_id: int,
    pipeline: Pipeline,
    *,
    first: date,
    last: date,
    at_once: int = 1,
) -> list[Run]:
    """Make a run for each day, `at_once` of which go on at the same time, in the order of the days.

    Raises:
        InvalidParameter: there is no such day, or there are too many.
    """
    days = (last - first).days + 1
    if not 1 <= days <= MOST_DAYS:
        raise InvalidParameter(
            f"from {first} to {last} are {max(days, 0)} days; expected 1 to {MOST_DAYS}"
        )
    if not 1 <= at_once <= MOST_AT_ONCE:
        raise InvalidParameter(f"`at_once`: expected 1 to {MOST_AT_ONCE}")
    group_ref, moment = new_ref("fill_"), now(session)
    made = []
    for number in range(days):
        day = first + timedelta(days=number)
        wish = RunWish(
            project_id,
            RunKind.BACKFILL,
            due_at=moment,
            day=day,
            slot=f"{group_ref} {day}",
            group_ref=group_ref,
            at_once=at_once,
        )
        run = runs.begin(session, pipeline, wish)
        assert run is not None  # nobody else has its group
        made.append(run)
    return made
