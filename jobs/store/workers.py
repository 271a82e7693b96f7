"""Worker processes and their signs of life."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, func
from sqlalchemy import select as sa_select
from sqlmodel import Session, col, select

from jobs.states import SliceState
from jobs.store.engine.database import now
from jobs.tables import Slice, Worker

ALIVE = timedelta(seconds=15)
"""A worker that was not heard of for so long is not counted; it says something every 4 s."""

FORGOTTEN = timedelta(days=1)
"""Dead workers are remembered for so long, and what they died of is judged by what is remembered.
Longer than a thousand suspects take, who go one by one; a row each."""


@dataclass(frozen=True, slots=True)
class WorkerCard:
    """Who a worker process is."""

    id: str
    host: str
    pid: int
    queues: Sequence[str]
    slots: int


# Built once: putting it together costs more than running it.
_LIVE = (
    sa_select(func.count())
    .select_from(Worker)
    .where(
        col(Worker.queues).contains(bindparam("named"), escape="/"),
        col(Worker.seen_at) > bindparam("since"),
    )
)


def beat(session: Session, card: WorkerCard, in_flight: int) -> None:
    """Note that a worker lives and how many calls it has in flight."""
    moment = now(session)
    row = session.get(Worker, card.id)
    if row is None:
        row = Worker(
            id=card.id,
            host=card.host,
            pid=card.pid,
            queues=f",{','.join(card.queues)},",
            slots=card.slots,
            in_flight=in_flight,
            started_at=moment,
            seen_at=moment,
        )
    row.in_flight = in_flight
    row.seen_at = moment
    session.add(row)


def leave(session: Session, worker_id: str) -> None:
    """Forget a worker that has stopped in order."""
    session.connection().execute(delete(Worker).where(col(Worker.id) == worker_id))


def forget_silent(session: Session) -> None:
    """Delete workers that have been silent for longer than is remembered."""
    session.connection().execute(
        delete(Worker).where(col(Worker.seen_at) < now(session) - FORGOTTEN)
    )


def remembered_since(session: Session) -> datetime:
    """Return since when a worker that was lost with a call is certainly still one of `deaths`."""
    return now(session) - FORGOTTEN + ALIVE


def deaths(session: Session, since: datetime) -> list[datetime]:
    """Return of each worker that died since then when it was certainly dead.

    Those that stopped in order have left, and those that were only cut off for a while are heard of
    again.
    """
    silent_since = now(session) - ALIVE
    last_signs = session.exec(
        select(Worker.seen_at).where(
            col(Worker.seen_at) >= since - ALIVE, col(Worker.seen_at) < silent_since
        )
    )
    return [last_sign + ALIVE for last_sign in last_signs]


def live_workers(session: Session, queue: str) -> int:
    """Return how many living workers consume a queue."""
    # In the database's patterns these stand for any character.
    named = re.sub("([/%_])", r"/\1", queue)
    values = {"named": f",{named},", "since": now(session) - ALIVE}
    return session.connection().execute(_LIVE, values).scalar_one()


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker that was heard of within a day, and how many slices it holds."""

    card: WorkerCard
    in_flight: int
    slices: int
    started_at: datetime
    seen_at: datetime
    is_alive: bool


LISTED = 200
"""Workers in a list, those that were heard of last."""


def listed(session: Session) -> list[WorkerState]:
    """Return the workers that are remembered, the living first."""
    silent_since = now(session) - ALIVE
    held = sa_select(col(Slice.owner), func.count()).where(col(Slice.owner).is_not(None))
    held_by = session.connection().execute(held.group_by(col(Slice.owner)))
    slices: dict[str | None, int] = {row[0]: row[1] for row in held_by}
    rows = session.exec(select(Worker).order_by(col(Worker.seen_at).desc()).limit(LISTED))
    return sorted(
        (
            WorkerState(
                WorkerCard(row.id, row.host, row.pid, row.queues.strip(",").split(","), row.slots),
                row.in_flight,
                slices.get(row.id, 0),
                row.started_at,
                row.seen_at,
                row.seen_at > silent_since,
            )
            for row in rows
        ),
        key=lambda worker: (not worker.is_alive, worker.card.host, worker.card.id),
    )


def unattended_queues(session: Session, batch_id: int) -> list[str]:
    """Return those queues in which slices of a batch wait and that no living worker consumes."""
    waiting = session.exec(
        select(Slice.queue)
        .where(
            Slice.batch_id == batch_id,
            col(Slice.state).in_((SliceState.WAITING, SliceState.FED)),
        )
        .distinct()
        .order_by(Slice.queue)
    )
    return [queue for queue in waiting if live_workers(session, queue) == 0]
