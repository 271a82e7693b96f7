"""Claims on a run's duties: one process at a time advances it, reads its source, writes a sink.

A claim is a number in a row. Whoever finds it run out raises the number and goes on; every write of a
duty names the number that it was begun under, and is void under another. So two at once do no harm,
and one that dies is followed by the next.
"""

from datetime import timedelta

from sqlalchemy import update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from jobs.errors import LeaseLost
from jobs.store.engine.database import now
from jobs.tables import RunClaim

HELD = timedelta(seconds=15)
"""For how long a claim is held without a sign of life: above a step's time, with the database slow."""

ADVANCE = "advance"
READ = "read"


def sink_duty(sink_no: int) -> str:
    """Return the duty of writing a sink."""
    return f"sink {sink_no}"


def take(session: Session, run_id: int, duty: str) -> int | None:
    """Claim a duty; return the claim's number, None if somebody else holds it."""
    moment = now(session)
    taken = session.connection().execute(
        update(RunClaim)
        .where(col(RunClaim.run_id) == run_id, col(RunClaim.duty) == duty)
        .where(col(RunClaim.until) < moment)
        .values(number=col(RunClaim.number) + 1, until=moment + HELD)
        .returning(col(RunClaim.number))
    )
    number = taken.scalar_one_or_none()
    if number is not None:
        return number
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    made = session.connection().execute(
        dialect.insert(RunClaim)
        .values(run_id=run_id, duty=duty, number=1, until=moment + HELD)
        .on_conflict_do_nothing()
        .returning(col(RunClaim.number))
    )
    return made.scalar_one_or_none()


def hold(session: Session, run_id: int, duty: str, number: int) -> None:
    """Renew a claim, and keep everybody else from it until the end of the transaction.

    Raises:
        LeaseLost: somebody else has taken it over; nothing may be written.
    """
    held = session.connection().execute(
        update(RunClaim)
        .where(
            col(RunClaim.run_id) == run_id,
            col(RunClaim.duty) == duty,
            col(RunClaim.number) == number,
        )
        .values(until=now(session) + HELD)
    )
    if held.rowcount != 1:
        raise LeaseLost(f"another process does this for run {run_id}: {duty}")


def release(session: Session, run_id: int, duty: str, number: int) -> None:
    """Let others have a duty at once; nothing happens if they have it already."""
    session.connection().execute(
        update(RunClaim)
        .where(
            col(RunClaim.run_id) == run_id,
            col(RunClaim.duty) == duty,
            col(RunClaim.number) == number,
        )
        .values(until=now(session) - HELD)
    )
