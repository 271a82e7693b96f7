"""Where a reader of results is, so that none comes twice and none is left out, whatever breaks off."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import httpx
import msgspec

from . import asks
from .asks import Ask
from .errors import ServiceUnavailable
from .shapes import Result

Order = Literal["finished", "input"]

RESULTS_PER_PAGE = 1000
"""Results held in memory at once; a page is a few megabytes."""

LOOK_EVERY_S = 0.5
LONGEST_PAUSE_S = 5.0
"""Between two looks while nothing comes."""


class Pauses:
    """How long to wait before each next look, while nothing has come: longer and longer."""

    def __init__(self) -> None:
        self._next_s = LOOK_EVERY_S

    def next_s(self) -> float:
        """Return the seconds of the next pause."""
        pause_s, self._next_s = self._next_s, min(1.2 * self._next_s, LONGEST_PAUSE_S)
        return pause_s


class Feed:
    """A place in a batch's results: it says what to ask for, and is told the answers.

    `cursor` is the place after the last result that was handed out; a new feed goes on there.
    """

    def __init__(self, batch_id: str, order: Order, cursor: str | None) -> None:
        self.batch_id = batch_id
        self.cursor = cursor
        self._order: Order = order
        self._is_last_page = False
        self.pauses = Pauses()

    def ask(self) -> Ask[bytes]:
        """Return the request for the next page."""
        return asks.results(self.batch_id, self._order, self.cursor, RESULTS_PER_PAGE)

    def take(self, response: httpx.Response) -> Iterator[Result]:
        """Yield a page's results, read whole before, and move on with each.

        Raises:
            ServiceUnavailable: they are none, so what answers is not Tidemill.
        """
        lines = lines_of(response)
        self._is_last_page = len(lines) < RESULTS_PER_PAGE
        if lines:
            self.pauses = Pauses()
        try:
            results = [_decode(line) for line in lines]
        except msgspec.MsgspecError as error:
            raise ServiceUnavailable(f"what answers at {response.url} is not Tidemill") from error
        for result in results:
            self._move(result)
            yield result
        self.cursor = response.headers.get("x-next-cursor", self.cursor)

    @property
    def is_exhausted(self) -> bool:
        """Whether all that there are now were taken; what comes later needs another page."""
        return self._is_last_page

    @property
    def needs_all(self) -> bool:
        """Whether a result that comes late may belong before those that were taken."""
        return self._order == "input"

    def _move(self, result: Result) -> None:
        # As they came, results are numbered from 1; in the order of the input, by their jobs.
        place = int(self.cursor or 0) + 1 if self._order == "finished" else result.seq
        self.cursor = str(place)


def lines_of(response: httpx.Response) -> list[bytes]:
    """Return a page's lines without their ends."""
    return [line for line in response.content.split(b"\n") if line.strip()]


_decode: Callable[[Any], Result] = msgspec.json.Decoder(Result).decode
