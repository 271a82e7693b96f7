"""Live calls: answered at once instead of in a batch, through the same limits, routes and budgets.

The web process takes them and knows no provider; who makes them is handed to it.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from jobs.exchange import Answer
from jobs.lines import JobLine


class LiveCall(msgspec.Struct, frozen=True):
    """A call for which somebody waits; a job of a batch in every other respect.

    `id` is a name that no other call of the project has. `max_tokens` bounds the answer where the line
    has no bound. One that `is_streamed` is answered in pieces.
    """

    id: str
    project_id: int
    job: JobLine
    max_tokens: int
    is_streamed: bool


class Text(msgspec.Struct, frozen=True):
    """More of an answer's text."""

    text: str


class Event(msgspec.Struct, frozen=True):
    """A provider's own event, byte by byte: the request was passed to it as it was written."""

    data: bytes


class Answered(msgspec.Struct, frozen=True):
    """The answer is complete, and in the books. `output` is that of the job, as JSON text."""

    answer: Answer
    output: str


Piece = Text | Event | Answered


class LiveCalls(Protocol):
    """Who makes live calls."""

    def pieces(self, call: LiveCall) -> AsyncGenerator[Piece, None]:
        """Make a call; yield what of a streamed answer has come, and at last `Answered`.

        Whoever stops reading hangs up: the call is cut off, and booked at its worst case.

        Raises:
            LiveCallError: there is no answer; the subclass says why. After the first piece none is
                tried any more to be got from anybody else.
            ServiceUnavailable: the database does not answer.
        """

    async def drain(self, within_s: float) -> None:
        """Wait until no call is under way; cut off, and say so, what isn't over within that time."""
