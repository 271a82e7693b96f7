"""The results of a batch, as a stream of NDJSON; they can be read while it runs."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from api.auth import ReaderProject
from api.etags import etag_of, unchanged
from api.query import WholeNumber
from api.services import Services, ServicesDep
from api.shapes import result_line
from jobs.store import batches
from jobs.store.results import ResultOrder, ResultRow, page

router = APIRouter(tags=["results"])

ROWS_PER_PAGE = 1000
"""Rows that are read in one short transaction: a slow reader holds no snapshot of the database."""

PIECE_BYTES = 256 * 1024
"""Of lines that are handed over to the server at once."""

PAGE_S = 10.0
"""How long a page may take to be read: an answer that has begun can only be cut off."""


@router.get(
    "/batches/{batch_id}/results",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/x-ndjson": {}}}},
)
def get_results(  # noqa: PLR0913 - each is a part of the request
    request: Request,
    services: ServicesDep,
    project_id: ReaderProject,
    batch_id: str,
    order: Annotated[
        ResultOrder, Query(description="`finished`: as they came; `input`: as they were submitted")
    ] = ResultOrder.FINISHED,
    after: Annotated[
        WholeNumber | None,
        Query(
            ge=-1,
            le=2**31 - 1,
            description="`x-next-cursor` of an earlier answer; for order=input the last `seq` seen",
        ),
    ] = None,
    limit: Annotated[WholeNumber | None, Query(ge=1, le=10_000_000)] = None,
) -> Response:
    """Stream the results that are there. `x-next-cursor` continues after them (order=finished).

    Who asks again with the answer's `etag` as `If-None-Match` gets 304 while it would be the same.

    A line's `attempts` and `cost_usd` are those of all calls for the job; `cost_usd` is null where
    a call's cost is not known, `"0.000000000"` where nothing was billed, and `cost_is_estimate`
    tells that some of it is charged at its worst case.

    What arrives while the answer is being sent is left for the next request, so that the cursor is
    exact.
    """
    with services.database.read() as session:
        batch = batches.find(session, project_id, batch_id)
        arrived, row_id, total = batch.finished_jobs, batch.id, batch.total_jobs
        booked = (batch.spent_nanos, batch.unknown_attempts)  # what lines tell may still change
    assert row_id is not None
    # What a model wrote is saved by a browser, never shown as a page of ours.
    headers = {"content-disposition": f'attachment; filename="{batch.ref}.jsonl"'}
    if order is ResultOrder.FINISHED:
        start = max(after or 0, 0)
        last = arrived if limit is None else min(arrived, start + limit)
        headers["x-next-cursor"] = str(max(start, last))
        left = max(0, last - start)
    else:
        start = -1 if after is None else after
        left = total if limit is None else limit
    asked = (request.url.query, request.headers.get("accept"))
    etag = etag_of(batch.ref, *asked, arrived if left else start, *(booked if left else ()))
    if known := unchanged(request, etag, headers):
        return known
    headers["etag"] = etag
    lines = _lines(services, row_id, order, start, left)
    return StreamingResponse(lines, media_type="application/x-ndjson", headers=headers)


def _lines(
    services: Services, batch_id: int, order: ResultOrder, after: int, left: int
) -> Iterator[bytes]:
    database = services.database.with_patience(PAGE_S, insists=True)
    while left > 0:
        with database.read() as session:
            rows = page(session, batch_id, order=order, after=after, limit=min(left, ROWS_PER_PAGE))
        if not rows:
            return
        yield from _pieces(rows)
        left -= len(rows)
        after = rows[-1].position if order is ResultOrder.FINISHED else rows[-1].seq


def _pieces(rows: Sequence[ResultRow]) -> Iterator[bytes]:
    """Yield lines together, as each piece costs a thread's turn, and not all: they are held till sent."""
    piece = bytearray()
    for row in rows:
        piece += result_line(row)
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
