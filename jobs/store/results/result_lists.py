"""A batch's results as a person looks through them: newest first, by status, reason or name.

Every list is a page that is found by an index or by looking at a bounded number of results, so that
the millionth page takes no longer than the first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import nlargest
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col

from jobs.states import ResultStatus
from jobs.store.results.failures import IS_FAILED, codes
from jobs.store.results.results import is_one_of
from jobs.tables import Batch, Job, Result

LOOKED_AT = 20_000
"""Results that are looked at for a page of one status, some 30 ms; what is beyond is for the next page."""

PREVIEW_CHARACTERS = 200

SHOWN_CHARACTERS = 200_000
"""Of a request, for a person; the file of the results has all of it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A job in a list. What has no result yet has no `position`, and no status."""

    seq: int
    custom_id: str
    position: int | None
    status: str | None
    error_code: str | None
    finish_reason: str | None
    preview: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ListPage:
    """A page, and before which place the next one goes on; None where there is none."""

    rows: Sequence[Listed]
    next_before: int | None


@dataclass(frozen=True, slots=True)
class AskedJob:
    """What a job asks; `request` may be cut at `SHOWN_CHARACTERS`."""

    custom_id: str
    kind: str
    request: str


def newest(
    session: Session,
    batch: Batch,
    *,
    status: ResultStatus | None = None,
    code: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> ListPage:
    """Return the results that came before a place (`Result.position`), the newest first.

    A page may have fewer than `limit` and still not be the last: `next_before` tells.
    `code` narrows failed results to those of one reason.
    """
    before = min(before or batch.finished_jobs + 1, batch.finished_jobs + 1)
    if status is ResultStatus.FAILED:
        places = _failed_places(session, batch, code, before, limit + 1)
        shown = places[:limit]
        next_before = shown[-1] if len(places) > limit else None
    else:
        shown, next_before = _places(session, batch, status, before, limit)
    return ListPage(_listed(session, batch, col(Result.position), shown), next_before)


def named(session: Session, batch: Batch, text: str, limit: int = 50) -> ListPage:
    """Return the jobs whose `custom_id` begins with a text, in the database's order of them."""
    rows = session.connection().execute(
        select(col(Job.seq), col(Job.custom_id))
        .where(col(Job.batch_id) == batch.id, col(Job.custom_id) >= text)
        .order_by(col(Job.custom_id))
        .limit(limit)
    )
    names = {seq: custom_id for seq, custom_id in rows if custom_id.startswith(text)}
    ended = {row.seq: row for row in _listed(session, batch, col(Result.seq), list(names))}
    waiting = (None,) * 6
    return ListPage(
        [ended.get(seq, Listed(seq, custom_id, *waiting)) for seq, custom_id in names.items()], None
    )


def asked(session: Session, batch: Batch, seq: int) -> AskedJob | None:
    """Return what a job asks; None if the batch has no such job."""
    row = (
        session.connection()
        .execute(
            select(
                col(Job.custom_id),
                col(Job.kind),
                func.substr(col(Job.request), 1, SHOWN_CHARACTERS),
            ).where(col(Job.batch_id) == batch.id, col(Job.seq) == seq)
        )
        .first()
    )
    return None if row is None else AskedJob(*row)


def _places(
    session: Session, batch: Batch, status: ResultStatus | None, before: int, limit: int
) -> tuple[list[int], int | None]:
    """Return the next places of a status, and where to go on."""
    place = col(Result.position)
    reach = limit if status is None else LOOKED_AT
    first = max(1, before - reach)
    those = [col(Result.batch_id) == batch.id, place.between(first, before - 1)]
    if status is not None:
        those.append(col(Result.status) == status)
    found = select(place).where(*those).order_by(place.desc()).limit(limit + 1)
    places = list(session.connection().execute(found).scalars())
    if len(places) > limit:
        return places[:limit], places[limit - 1]
    return places, first if first > 1 else None


def _failed_places(
    session: Session, batch: Batch, code: str | None, before: int, limit: int
) -> list[int]:
    """Return the next places of failures: the index has them in order for each reason."""
    found: list[int] = []
    for each in codes(session, batch) if code is None else [code]:
        of_reason = (
            select(col(Result.position))
            .where(
                col(Result.batch_id) == batch.id,
                IS_FAILED,
                col(Result.error_code) == each,
                col(Result.position) < before,
            )
            .order_by(col(Result.position).desc())
            .limit(limit)
        )
        found += session.connection().execute(of_reason).scalars()
    return nlargest(limit, found)


def _listed(session: Session, batch: Batch, key: Any, values: Sequence[int]) -> list[Listed]:
    if not values:
        return []
    rows = session.connection().execute(
        select(
            col(Result.seq),
            col(Job.custom_id),
            col(Result.position),
            col(Result.status),
            col(Result.error_code),
            col(Result.finish_reason),
            func.coalesce(
                func.substr(col(Result.error_message), 1, PREVIEW_CHARACTERS),
                func.substr(col(Result.output), 1, PREVIEW_CHARACTERS),
            ),
            col(Result.finished_at),
        )
        .join(Job, (col(Job.batch_id) == batch.id) & (col(Job.seq) == col(Result.seq)))
        .where(col(Result.batch_id) == batch.id, is_one_of(session, key, values))
    )
    listed = [Listed(*row) for row in rows]
    return sorted(listed, key=lambda row: -(row.position or 0))
