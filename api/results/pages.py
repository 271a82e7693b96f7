"""The results of a batch, read a page at a time while they are sent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jobs.store import Database
from jobs.store.results.results import ResultOrder, ResultRow, page

ROWS_PER_PAGE = 1000
"""Rows that are read in one short transaction: a slow reader holds no snapshot of the database."""

PAGE_S = 10.0
"""How long a page may take to be read: an answer that has begun can only be cut off."""


@dataclass(frozen=True, slots=True)
class ResultReading:
    """What is read of a batch: its results, with the jobs' own lines if somebody wants them."""

    database: Database
    batch_id: int
    order: ResultOrder
    with_requests: bool = False

    def pages(self, after: int, left: int) -> Iterator[Sequence[ResultRow]]:
        """Yield the next `left` results after a cursor (`jobs.store.results.results.page`), in pages."""
        database = self.database.with_patience(PAGE_S, insists=True)
        while left > 0:
            with database.read() as session:
                rows = page(
                    session,
                    self.batch_id,
                    order=self.order,
                    after=after,
                    limit=min(left, ROWS_PER_PAGE),
                    with_requests=self.with_requests,
                )
            if not rows:
                return
            yield rows
            left -= len(rows)
            after = rows[-1].position if self.order is ResultOrder.FINISHED else rows[-1].seq
