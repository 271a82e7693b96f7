"""The sinks of a run: written one by one, each until it is, and then the run is complete."""

from datetime import timedelta

from sqlalchemy import update
from sqlmodel import Session, col, select

from jobs.pipelines.rows import Written
from jobs.states import RunState, SinkState
from jobs.store.engine.database import now
from jobs.store.light_rows import without
from jobs.store.runs import run_claims, runs
from jobs.tables import Run, RunSink

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=15)
"""Between two tries: a folder, a database or a host may be away for a night."""


def to_write(session: Session, run_id: int) -> list[int]:
    """Return which sinks of a run are due to be written."""
    moment = now(session)
    rows = session.exec(
        select(RunSink.sink_no)
        .where(
            RunSink.run_id == run_id,
            RunSink.state != SinkState.WRITTEN,
            col(RunSink.next_try_at).is_(None) | (col(RunSink.next_try_at) <= moment),
        )
        .order_by(col(RunSink.sink_no))
    )
    return list(rows.all())


def note_written(
    session: Session, run_id: int, sink_no: int, claim: tuple[str, int], written: Written
) -> None:
    """Note that a sink is written.

    Raises:
        LeaseLost: the claim is another's; nothing is noted.
    """
    runs.lock(session, run_id)
    run_claims.hold(session, run_id, *claim)
    _set(
        session,
        run_id,
        sink_no,
        state=SinkState.WRITTEN,
        rows=written.rows,
        place=written.place,
        trouble=None,
        next_try_at=None,
        written_at=now(session),
    )


def note_failed(
    session: Session, run_id: int, sink_no: int, claim: tuple[str, int], trouble: str
) -> None:
    """Note that a sink could not be written: it is tried again, later and later.

    Raises:
        LeaseLost: the claim is another's; nothing is noted.
    """
    runs.lock(session, run_id)
    run_claims.hold(session, run_id, *claim)
    sink = session.get(RunSink, (run_id, sink_no))
    tries = sink.tries if sink is not None else 0
    _set(
        session,
        run_id,
        sink_no,
        state=SinkState.FAILED,
        tries=tries + 1,
        trouble=trouble,
        next_try_at=now(session) + backoff(tries),
    )


def note_unread(session: Session, run_id: int, claim: tuple[str, int], trouble: str) -> int:
    """Note that a run's source could not be read, for a try later; return how often it could not by now.

    Raises:
        LeaseLost: the claim is another's; nothing is noted.
    """
    run = runs.lock(session, run_id)
    run_claims.hold(session, run_id, *claim)
    run.next_try_at = now(session) + backoff(run.tries)
    run.tries += 1
    run.trouble = trouble
    session.add(run)
    return run.tries


def complete(session: Session, run_id: int) -> bool:
    """End a run whose sinks are all written; return whether that was the last thing it waited for."""
    run = runs.lock(session, run_id)
    unwritten = session.exec(
        select(RunSink.sink_no)
        .where(RunSink.run_id == run_id, RunSink.state != SinkState.WRITTEN)
        .limit(1)
    ).first()
    if run.state != RunState.DELIVERING or unwritten is not None:
        return False
    return runs.move(session, run_id, RunState.COMPLETED)


def backoff(tries: int) -> timedelta:
    """Return how long to wait after so many failures before."""
    return min(LONGEST_WAIT, FIRST_WAIT * (1 << min(tries, 10)))


def _set(session: Session, run_id: int, sink_no: int, **values: object) -> None:
    session.connection().execute(
        update(RunSink)
        .where(col(RunSink.run_id) == run_id, col(RunSink.sink_no) == sink_no)
        .values(values)
    )


def due_to_read(session: Session) -> list[Run]:
    """Return the running runs whose source is to be read now, without their definitions."""
    moment = now(session)
    return list(
        session.exec(
            select(Run)
            .where(
                Run.state == RunState.RUNNING,
                col(Run.read_at).is_(None),
                col(Run.next_try_at).is_(None) | (col(Run.next_try_at) <= moment),
            )
            .order_by(col(Run.id))
            .options(*without(Run.definition))
        )
    )
