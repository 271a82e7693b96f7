"""The results of a batch, as a stream of lines or as a table; they can be read while it runs."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from api.access.auth import ReaderProject
from api.etags import etag_of, unchanged
from api.formats import FORMATS, MEDIA_TYPES, Format
from api.query import Flag, WholeNumber
from api.results.as_csv import csv_pieces
from api.results.as_lines import line_pieces
from api.results.as_parquet import parquet_pieces
from api.results.pages import ResultReading
from api.results.tables import Joined
from api.services import ServicesDep
from jobs.sheets.columns import columns_from
from jobs.store.batches import batches
from jobs.store.results.results import ResultOrder, ResultRow

router = APIRouter(tags=["results"])

SHAPES = {Format.NDJSON: ".jsonl", Format.CSV: ".csv", Format.PARQUET: ".parquet"}
"""Formats of results, and how the names of such files end."""


@router.get(
    "/batches/{batch_id}/results",
    response_class=StreamingResponse,
    responses={200: {"content": {MEDIA_TYPES[shape]: {} for shape in SHAPES}}},
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
    shape: Annotated[
        Literal["ndjson", "csv", "parquet"] | None,
        Query(alias="format", description="default: what `Accept` names, else `ndjson`"),
    ] = None,
    join: Annotated[
        Literal["input"] | None,
        Query(description="beside each result the columns of its sheet, or its line"),
    ] = None,
    bom: Annotated[Flag, Query(description="begin CSV as Excel expects UTF-8 to begin")] = False,
) -> Response:
    """Stream the results that are there. `x-next-cursor` continues after them (order=finished).

    Who asks again with the answer's `etag` as `If-None-Match` gets 304 while it would be the same.

    A line's `attempts` and `cost_usd` are those of all calls for the job; `cost_usd` is null where
    a call's cost is not known, `"0.000000000"` where nothing was billed, and `cost_is_estimate`
    tells that some of it is charged at its worst case.

    CSV and Parquet have the same as columns.

    What arrives while the answer is being sent is left for the next request, so that the cursor is
    exact.
    """
    with services.database.read() as session:
        batch = batches.find(session, project_id, batch_id)
        arrived, row_id, total = batch.finished_jobs, batch.id, batch.total_jobs
        booked = (batch.spent_nanos, batch.unknown_attempts)  # what lines tell may still change
        columns = None if batch.columns is None else columns_from(batch.columns)
    assert row_id is not None
    wanted = Format(shape) if shape is not None else _accepted(request.headers.get("accept", ""))
    # What a model wrote is saved by a browser, never shown as a page of ours.
    headers = {
        "content-disposition": f'attachment; filename="{batch.ref}{SHAPES[wanted]}"',
        "vary": "accept",
    }
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
    joined = None if join is None else Joined(columns)
    reading = ResultReading(services.database, row_id, order, with_requests=joined is not None)
    pieces = _pieces(wanted, reading.pages(start, left), joined, has_mark=bom)
    return StreamingResponse(pieces, media_type=MEDIA_TYPES[wanted], headers=headers)


def _accepted(accept: str) -> Format:
    """Return the first format that an Accept names and results have; lines if there is none."""
    for part in accept.lower().split(","):
        found = FORMATS.get(part.partition(";")[0].strip())
        if found in SHAPES:
            return found
    return Format.NDJSON


def _pieces(
    wanted: Format, pages: Iterable[Sequence[ResultRow]], joined: Joined | None, *, has_mark: bool
) -> Iterator[bytes]:
    match wanted:
        case Format.CSV:
            return csv_pieces(pages, joined, has_mark=has_mark)
        case Format.PARQUET:
            return parquet_pieces(pages, joined)
        case _:
            return line_pieces(pages, joined)
