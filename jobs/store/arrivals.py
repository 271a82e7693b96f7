"""How a batch went on over time, read from a few of its results.

Results are numbered in the order of their arrival, without gaps. So when the n-th came is one look
into an index, and a curve costs as many of them as it has points, however many results there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlmodel import Session, col

from jobs.store.database import now
from jobs.store.results import is_one_of
from jobs.tables import Batch, Result

LOOKS_BACK = 30
"""So many results back a pace is measured, where there are as many."""


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
    """Return how each batch moves, by its ref. Two looks into an index for each batch."""
    moment = now(session)
    return {batch.ref: _pace(session, batch, moment) for batch in batches}


def _pace(session: Session, batch: Batch, moment: datetime) -> Pace:
    last = batch.finished_jobs
    first = max(last - LOOKS_BACK, 1)
    found = _arrivals(session, batch, sorted({first, last}) if last else [])
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
