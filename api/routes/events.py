"""A batch as server-sent events: how it stands, and what comes out of it, until it ends."""

import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, assert_never

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Send
from starlette.types import Scope as ASGIScope

from api.access.auth import ReaderProject, may_go_on
from api.errors import problem_of
from api.listening.following import Ended, Listening, Piece, Progress, Quiet, Revoked, Wish
from api.listening.pages import ResultPage
from api.query import Flag, WholeNumber
from api.services import ServicesDep
from jobs.errors import InvalidCursor, NotAuthorised
from jobs.scopes import Scope

router = APIRouter(tags=["listening"])

_LAST_ID = re.compile(r"([0-9]{1,9})(-end)?", re.ASCII)

RECONNECT = b"retry: 2000\n\n"
"""After how many milliseconds a browser comes again that was cut off."""

HEADERS = {"x-accel-buffering": "no"}
"""For nginx, which else gathers what is to be seen at once."""


@router.get(
    "/batches/{batch_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}},
        204: {"description": "The `Last-Event-ID` is that of the last event there will be."},
    },
)
async def get_events(  # noqa: PLR0913 - FastAPI's way to say what a request may have
    request: Request,
    services: ServicesDep,
    project_id: ReaderProject,
    batch_id: str,
    results: Annotated[Flag, Query(description="tell also every result that comes out")] = False,
    after: Annotated[
        WholeNumber, Query(ge=0, le=2**31 - 1, description="the position to go on after")
    ] = 0,
    last_event_id: Annotated[
        str | None, Header(description="the id of the last event that was seen; over `after`")
    ] = None,
) -> Response:
    """Tell how a batch stands as it changes, at most once a second, and end with it.

    Events are `progress` (the batch, as it is read), with `results=true` also `result` (a line of
    the results, in the order of their arrival), and at the end `end`. An event's id is the position
    of the last result that was told: who was cut off goes on after it, and misses and gets none twice.
    A slow reader hears of fewer steps. Each 15 s without news there is a comment.
    """
    if last_event_id is not None:
        found = _LAST_ID.fullmatch(last_event_id)
        if found is None:
            raise InvalidCursor
        if found[2]:
            return Response(status_code=204)  # which a browser takes for a reason not to come again
        after = int(found[1])
    listening: Listening = request.app.state.listening
    # Here, so that what is not there is answered with 404.
    watched = await listening.watcher.join(project_id, batch_id)
    is_allowed = partial(may_go_on, request, services, Scope.READ)
    pieces = listening.follow(watched, Wish(results, after), is_allowed)
    return EventStream(pieces, partial(listening.watcher.leave, watched))


class EventStream(StreamingResponse):
    """Pieces as server-sent events; says at its end, whatever that is, that nobody listens any more."""

    def __init__(self, pieces: AsyncIterator[Piece], leave: Callable[[], None]) -> None:
        super().__init__(_events(pieces), media_type="text/event-stream", headers=HEADERS)
        self._leave = leave

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


async def _events(pieces: AsyncIterator[Piece]) -> AsyncIterator[bytes]:
    yield RECONNECT
    async for piece in pieces:
        yield _event(piece)


def _event(piece: Piece) -> bytes:
    match piece:
        case Progress(body):
            return b"event: progress\ndata: %b\n\n" % body
        case ResultPage():
            return piece.events
        case Quiet():
            return b": no news\n\n"
        case Ended(state, cursor):
            return b'id: %d-end\nevent: end\ndata: {"state":"%b"}\n\n' % (cursor, state.encode())
        case Revoked():
            return b"event: error\ndata: %b\n\n" % bytes(problem_of(NotAuthorised()).body)
        case _:
            assert_never(piece)
