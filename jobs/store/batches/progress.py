"""How batches went on: a mark of each every few seconds of its work, and fewer of them the longer it takes.

Marks are for people and forecasts; no decision about a job or its money rests on one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, col

from jobs.outlook import Look, Mark, Outlook, Range
from jobs.states import BatchState
from jobs.store.engine.database import now
from jobs.tables import Batch, Progress

PERIOD_S = 4.0
"""Of work, between two marks of a batch that has just begun."""

KEPT = 128
"""Marks of a batch at most, give or take one: above, every second one is dropped."""

MOST_BATCHES = 200
"""That are marked in one go, oldest first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a running batch stands."""

    batch_id: int
    total_jobs: int
    done_jobs: int
    failed_jobs: int
    tokens: int
    spent_nanos: int
    is_open: bool
    """Whether jobs are still added to it, so that nobody knows its end."""

    @classmethod
    def of(cls, batch: Batch) -> "Standing":
        """Return where the batch of a row stands."""
        assert batch.id is not None  # it is in the database
        return cls(
            batch_id=batch.id,
            total_jobs=batch.total_jobs,
            done_jobs=batch.finished_jobs,
            failed_jobs=batch.failed,
            tokens=batch.input_tokens
            + batch.cached_input_tokens
            + batch.cache_write_tokens
            + batch.output_tokens,
            spent_nanos=batch.spent_nanos,
            is_open=batch.is_open,
        )

    def mark(self, working_s: float) -> Mark:
        """Return the mark of it after so much work."""
        return Mark(working_s, self.done_jobs, self.spent_nanos)


def spacing(number: int) -> int:
    """Return how many periods lie between two marks, where the newest is of this period."""
    return int(2 ** (number // KEPT).bit_length())


def due(working_s: float, last: int | None) -> int | None:
    """Return the number of the mark that is due after so much work; None if none is.

    `last` is the number of the newest one that is there.
    """
    number = int(working_s // PERIOD_S)
    number -= number % spacing(number)
    return number if last is None or number > last else None


def running(session: Session) -> list[Standing]:
    """Return where the batches stand that are worked on; those of live calls have no end to be told."""
    statement = (
        select(Batch)
        .where(
            col(Batch.state) == BatchState.RUNNING,
            col(Batch.finished_at).is_(None),
            col(Batch.is_live).is_(False),
        )
        .order_by(col(Batch.id))
        .limit(MOST_BATCHES)
    )
    return [Standing.of(batch) for batch in session.execute(statement).scalars()]


def marks(session: Session, batch_id: int) -> Sequence[Progress]:
    """Return the marks of a batch in their order: some hundred."""
    statement = (
        select(Progress).where(col(Progress.batch_id) == batch_id).order_by(col(Progress.number))
    )
    return session.execute(statement).scalars().all()


def marks_of_each(session: Session, batch_ids: Sequence[int]) -> Mapping[int, Sequence[Progress]]:
    """Return the marks of each batch that has any, in their order, by one statement."""
    found: dict[int, list[Progress]] = {}
    if not batch_ids:
        return found
    statement = (
        select(Progress)
        .where(col(Progress.batch_id).in_(batch_ids))
        .order_by(col(Progress.batch_id), col(Progress.number))
    )
    for row in session.execute(statement).scalars():
        found.setdefault(row.batch_id, []).append(row)
    return found


def add_mark(
    session: Session, standing: Standing, number: int, working_s: float, told: Outlook | None
) -> None:
    """Add a mark with the outlook that was told at it, and drop those that lie too close by now.

    Of two sweeps that come to the same mark the first one's stays.
    """
    moment = now(session)
    values = {
        "batch_id": standing.batch_id,
        "number": number,
        "at": moment,
        "working_s": working_s,
        "done_jobs": standing.done_jobs,
        "failed_jobs": standing.failed_jobs,
        "tokens": standing.tokens,
        "spent_nanos": standing.spent_nanos,
    }
    if told is not None:
        values |= {
            "low_s": told.left_s.low,
            "high_s": told.left_s.high,
            "low_nanos": round(told.final_nanos.low),
            "high_nanos": round(told.final_nanos.high),
        }
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    connection = session.connection()
    connection.execute(dialect.insert(Progress).values(**values).on_conflict_do_nothing())
    if (apart := spacing(number)) > 1:
        connection.execute(
            delete(Progress).where(
                col(Progress.batch_id) == standing.batch_id, col(Progress.number) % apart != 0
            )
        )


def mark_of(row: Progress) -> Mark:
    """Return what a row marks."""
    return Mark(row.working_s, row.done_jobs, row.spent_nanos)


def looks_of(rows: Iterable[Progress]) -> list[Look]:
    """Return the outlooks that were told at these marks."""
    return [
        Look(
            row.working_s,
            Outlook(Range(row.low_s, row.high_s), Range(row.low_nanos, row.high_nanos)),
        )
        for row in rows
        if row.low_s is not None
        and row.high_s is not None
        and row.low_nanos is not None
        and row.high_nanos is not None
    ]


def worked_s(rows: Sequence[Progress], moment: datetime) -> float:
    """Return how long a batch was worked on until a moment, if it was not paused since its last mark."""
    if not rows:
        return 0.0
    last = rows[-1]
    return last.working_s + max((moment - last.at).total_seconds(), 0.0)
