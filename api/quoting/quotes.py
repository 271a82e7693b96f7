"""Quoting a submission instead of accepting it: the same body is read, and nothing is stored."""

import asyncio
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from api.intake.idempotency import Body
from api.intake.upload import BodyForm, read_body
from api.quoting.reaching import known_limits, reach_of
from api.quoting.shapes import QuoteShape, quote_shape
from api.services import Services
from jobs.clock import utcnow
from jobs.defaults import JobDefaults
from jobs.lines import LineReader
from jobs.quote import Insistence, Quoting, Ratings, duration, kept_answers
from jobs.quote.reach import Wish


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """What is said about the batch as a whole, as far as it matters to a quote."""

    project_id: int
    defaults: JobDefaults
    max_cost_nanos: int | None
    wish: Wish | None = None


async def quote(
    services: Services, request: QuoteRequest, body: Body, form: BodyForm
) -> QuoteShape:
    """Read the whole body and return what it would take.

    Raises:
        SubmissionError: it can't be read, is empty, or has more than a batch may have. Bad lines are
            part of the quote.
        StorageFull: there is no room for temporary files.
        starlette.requests.ClientDisconnect: the sender went away.
    """
    quoting = await run_in_threadpool(_begin, services, request)
    try:
        await read_body(body, quoting, form)
        sums = await run_in_threadpool(quoting.finish)
    finally:
        # A large temporary file takes a moment to delete.
        await asyncio.shield(run_in_threadpool(quoting.close))
    known = await known_limits(services)
    taking = duration(sums.tallies, services.configuration, known)
    found = None
    if request.wish is not None:
        found = await run_in_threadpool(reach_of, services, sums.tallies, request.wish, known)
    return quote_shape(sums, taking, request.max_cost_nanos, found)


def _begin(services: Services, request: QuoteRequest) -> Quoting:
    with services.database.read() as session:
        prices = services.prices_if_budgeted(session, request.project_id, request.max_cost_nanos)
    reader = LineReader(
        request.defaults,
        services.catalogue,
        services.count_tokens,
        prices=prices,
        sizes_calls=True,
    )
    return Quoting(
        reader,
        Insistence.of(request.defaults),
        Ratings(services.configuration, services.prices, utcnow()),
        max_jobs=services.settings.max_jobs_per_batch,
        answered=kept_answers(services.database, request.project_id, request.defaults),
    )
