"""Of which jobs an answer is kept that the batch may take: asked as a worker asks when it opens a slice."""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta

from jobs.ages import span
from jobs.defaults import JobDefaults
from jobs.store import Database, now
from jobs.store.results.answers import find

ASKED_TOGETHER = 500
"""Questions of one look at the database: some milliseconds of its time."""

Answered = Callable[[Sequence[bytes]], Collection[bytes]]
"""From the fingerprints of some jobs to those of which an answer is kept that the batch may take."""


def nothing_answered(_fingerprints: Sequence[bytes]) -> Collection[bytes]:
    """Return that of no job an answer is kept."""
    return ()


def kept_answers(database: Database, project_id: int, defaults: JobDefaults) -> Answered:
    """Return what looks among a project's answers, if a batch of these defaults does."""
    if defaults.reuse is None:
        return nothing_answered
    age, takes_mended = span(defaults.reuse), defaults.repair

    def answered(fingerprints: Sequence[bytes]) -> Collection[bytes]:
        found: set[bytes] = set()
        for first in range(0, len(fingerprints), ASKED_TOGETHER):
            some = fingerprints[first : first + ASKED_TOGETHER]
            found.update(_find(database, project_id, some, age, takes_mended=takes_mended))
        return found

    return answered


def _find(
    database: Database,
    project_id: int,
    fingerprints: Sequence[bytes],
    age: timedelta,
    *,
    takes_mended: bool,
) -> Collection[bytes]:
    with database.read() as session:
        since = now(session) - age
        return find(
            session, project_id, fingerprints, since=since, takes_mended=takes_mended
        ).keys()
