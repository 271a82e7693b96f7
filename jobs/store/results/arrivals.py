"""How a batch went on over time, read from a few of its results.

Results are numbered in the order of their arrival, without gaps. So when the n-th came is one look
into an index, and a curve costs as many of them as it has points, however many results there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, or_, select
from sqlmodel import Session, col

from jobs.store.engine.database import now
from jobs.store.results.results import is_one_of
from jobs.tables import Batch, Result

LOOKS_BACK = 30
"""So many results back a pace is measured at least, where there are as many."""

LATELY = 20
"""The newest of so many parts of a batch's results is what its pace is measured by: of a quick batch the
last thirty came within a blink, and tell nothing of what the forecast, by its marks, goes by."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """So many jobs had their result at that time."""

    finished_jobs: int
    at: datetime


def curve(session: Session, batch: Batch, points: int) -> list[Arrival]:
    """Return when evenly spaced results of a batch came, the first and the newest among them."""
    last = batch.finished_jobs
    places = evenly(last, points)
    found = _arrivals(session, batch, places)
    return [Arrival(place, found[place]) for place in places if place in found]


@dataclass(frozen=True, slots=True)
class Pace:
    """How a batch moves: jobs per second up to this moment, None with fewer than two results.

    One that stands still is so seen to slow down. `quiet_s` is how long ago its newest result came,
    None where it has none.
    """

    per_s: float | None = None
    quiet_s: float | None = None


def paces(session: Session, batches: Sequence[Batch]) -> Mapping[str, Pace]:
    """Return how each batch moves, by its ref. One statement, two looks into an index for each batch."""
    moment = now(session)
    begun = [batch for batch in batches if batch.finished_jobs]
    found: dict[int, dict[int, datetime]] = {}
    if begun:
        ends = [
            and_(col(Result.batch_id) == batch.id, col(Result.position).in_(_ends(batch)))
            for batch in begun
        ]
        rows = session.connection().execute(
            select(col(Result.batch_id), col(Result.position), col(Result.finished_at)).where(
                or_(*ends)
            )
        )
        for batch_id, position, at in rows:
            found.setdefault(batch_id, {})[position] = at
    return {batch.ref: _pace(batch, found.get(batch.id or 0, {}), moment) for batch in batches}


def _ends(batch: Batch) -> tuple[int, int]:
    """Return between which two places of the order of arrival a batch's pace is measured."""
    last = batch.finished_jobs
    return max(last - max(LOOKS_BACK, last // LATELY), 1), last


def _pace(batch: Batch, found: Mapping[int, datetime], moment: datetime) -> Pace:
    first, last = _ends(batch)
    ages_s = {place: max(0.1, (moment - at).total_seconds()) for place, at in found.items()}
    is_known = first < last and first in ages_s
    return Pace((last - first) / ages_s[first] if is_known else None, ages_s.get(last))


def evenly(last: int, points: int) -> list[int]:
    """Return up to so many different whole numbers from 1 to `last`, evenly spaced, both included."""
    if last <= points:
        return list(range(1, last + 1))
    return sorted({1 + round(step * (last - 1) / (points - 1)) for step in range(points)})


def _arrivals(session: Session, batch: Batch, places: Sequence[int]) -> dict[int, datetime]:
    if not places:
        return {}
    rows = session.connection().execute(
        select(col(Result.position), col(Result.finished_at)).where(
            col(Result.batch_id) == batch.id, is_one_of(session, col(Result.position), places)
        )
    )
    return {row[0]: row[1] for row in rows}
