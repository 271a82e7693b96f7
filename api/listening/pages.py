"""Pages of results as they arrived, read once for all who are at the same place."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from starlette.concurrency import run_in_threadpool

from api.shapes import result_line
from jobs.store import Database
from jobs.store.results.results import ResultOrder, page

ROWS_PER_PAGE = 100
"""Pages end at multiples of it, so that listeners who began at different places come to share them."""

KEPT_BYTES = 32 << 20
"""Of pages that are kept for the next one who comes to their place."""

READERS = 4
"""Pages that are read at once: a thousand who start from the beginning leave the others their threads."""

PAGE_S = 10.0
"""How long a page may take to be read, as those of the results' own route."""

Place = tuple[int, int, int]
"""A batch, after which position, and up to which."""


@dataclass(frozen=True)
class ResultPage:
    """Results in the order of their positions."""

    first: int
    lines: Sequence[bytes]
    """As `result_line` makes them, without their ends."""

    @property
    def last(self) -> int:
        """The position of the last, from which the next page goes on."""
        return self.first + len(self.lines) - 1

    @cached_property
    def events(self) -> bytes:
        """The results as server-sent events, whose ids are the positions."""
        return b"".join(
            b"id: %d\nevent: result\ndata: %b\n\n" % (position, line)
            for position, line in enumerate(self.lines, self.first)
        )

    @property
    def size_bytes(self) -> int:
        """How much memory it takes, its events included."""
        return 2 * sum(map(len, self.lines)) + 200 * len(self.lines)


class Pages:
    """The pages of a process. Used by its one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database.with_patience(PAGE_S, insists=True)
        self._kept: OrderedDict[Place, ResultPage] = OrderedDict()
        self._kept_bytes = 0
        self._being_read: dict[Place, asyncio.Task[ResultPage]] = {}
        self._readers = asyncio.Semaphore(READERS)

    async def read(self, batch_id: int, *, after: int, finished: int) -> ResultPage:
        """Return the results after a position, of a batch that has `finished`, which is more.

        Raises:
            ServiceUnavailable: the database can't be used now.
        """
        end = (after // ROWS_PER_PAGE + 1) * ROWS_PER_PAGE
        place = (batch_id, after, min(end, finished))
        kept = self._kept.get(place)
        if kept is not None:
            self._kept.move_to_end(place)
            return kept
        reading = self._being_read.get(place)
        if reading is None:
            reading = self._being_read[place] = asyncio.create_task(self._read(place))
            reading.add_done_callback(lambda _: self._being_read.pop(place))
        # One who goes away must not end it for the others.
        return await asyncio.shield(reading)

    async def _read(self, place: Place) -> ResultPage:
        async with self._readers:
            found = await run_in_threadpool(self._look_up, place)
        self._kept[place] = found
        self._kept_bytes += found.size_bytes
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= dropped.size_bytes
        return found

    def _look_up(self, place: Place) -> ResultPage:
        batch_id, after, upto = place
        with self._database.read() as session:
            rows = page(
                session, batch_id, order=ResultOrder.FINISHED, after=after, limit=upto - after
            )
        return ResultPage(after + 1, [result_line(row)[:-1] for row in rows])
