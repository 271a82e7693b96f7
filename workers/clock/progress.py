"""Marks how running batches go on, with what is told about their ends at that moment."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from jobs.outlook import outlook
from jobs.store import Database, now
from jobs.store.batches import progress
from jobs.store.batches.progress import Standing
from jobs.tables import Progress


@dataclass(slots=True)
class _Watched:
    """A batch that is worked on: for how long, when that was looked at, and its newest mark's number."""

    working_s: float
    seen_at_s: float
    last: int | None


class ProgressWatch:
    """Looks at the batches that run, as often as it is told to.

    The time in which a batch rests doesn't count. It knows that from looking: of what was before its own
    time it takes that the batch was worked on.
    """

    def __init__(self, database: Database, steady: Callable[[], float] = time.monotonic) -> None:
        """Watch the batches of a database; `steady` is a clock in seconds that nobody sets."""
        self._database = database
        self._steady = steady
        self._watched: dict[int, _Watched] = {}
        self._resting: dict[int, _Watched] = {}

    def look(self) -> None:
        """Mark those batches of which a mark is due."""
        with self._database.read() as session:
            standings = progress.running(session)
        self._rest({standing.batch_id for standing in standings})
        for standing in standings:
            watched = self._seen(standing)
            number = progress.due(watched.working_s, watched.last)
            if number is not None:
                self._mark(standing, number, watched)

    def _rest(self, running: set[int]) -> None:
        """Put the batches aside that are not worked on now; most of them have ended."""
        for batch_id in self._watched.keys() - running:
            self._resting[batch_id] = self._watched.pop(batch_id)
        while len(self._resting) > progress.MOST_BATCHES:
            del self._resting[next(iter(self._resting))]

    def _seen(self, standing: Standing) -> _Watched:
        now_s = self._steady()
        watched = self._watched.get(standing.batch_id)
        if watched is not None:
            watched.working_s += now_s - watched.seen_at_s
        elif (watched := self._resting.pop(standing.batch_id, None)) is None:
            rows, worked_s = self._past(standing.batch_id)
            watched = _Watched(worked_s, now_s, rows[-1].number if rows else None)
        watched.seen_at_s = now_s
        self._watched[standing.batch_id] = watched
        return watched

    def _past(self, batch_id: int) -> tuple[list[Progress], float]:
        with self._database.read() as session:
            rows = list(progress.marks(session, batch_id))
            return rows, progress.worked_s(rows, now(session))

    def _mark(self, standing: Standing, number: int, watched: _Watched) -> None:
        with self._database.read() as session:
            marks = [*map(progress.mark_of, progress.marks(session, standing.batch_id))]
        told = (
            None
            if standing.is_open
            else outlook([*marks, standing.mark(watched.working_s)], standing.total_jobs)
        )
        with self._database.write() as session:
            progress.add_mark(session, standing, number, watched.working_s, told)
        watched.last = number
