"""Submissions: read, quoted or accepted, and answered with their batch."""

import time
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from api.access.audit import note
from api.access.auth import SubmitterProject
from api.amounts import UsdOrNone, nanos_of
from api.description.problems import SUBMISSION
from api.intake.bodies import StrictRoute
from api.intake.idempotency import Body, Key
from api.intake.sheets import SheetForm
from api.intake.upload import BodyForm, form_of, form_of_source, receive
from api.query import Flag
from api.quoting.quotes import QuoteRequest, quote
from api.quoting.reaching import DeadlineInspector, known_limits
from api.quoting.shapes import QuoteShape
from api.routes.batches import get_batch
from api.services import Services, ServicesDep
from api.shapes import BatchShape
from jobs.characters import has_hidden
from jobs.clock import utcnow
from jobs.deadlines import AfterDeadline, Deadline, RunWindow
from jobs.defaults import JobDefaults
from jobs.errors import InvalidParameter
from jobs.ingest import Intake
from jobs.lines import LineReader
from jobs.quote import Known
from jobs.quote.reach import Wish
from jobs.sheets.csv_rows import DELIMITERS
from jobs.sources import check_source
from jobs.states import LaneWish, Priority
from jobs.store import now
from jobs.store.batches import idempotency
from jobs.store.batches.idempotency import Claim, Receipt
from jobs.store.batches.uploads import BatchDraft

router = APIRouter(tags=["batches"], route_class=StrictRoute)


OF_THE_BATCH = frozenset(
    {
        "name",
        "priority",
        "lane",
        "max_cost_usd",
        "deadline",
        "after_deadline",
        "accept_late",
        "run_window",
        "dry_run",
        "from_url",
        "id_column",
        "delimiter",
    }
)
"""Parameters of a submission that are no defaults of its lines."""


class SubmissionQuery(BaseModel):
    """What is said about a batch as a whole; line defaults fill what a line leaves out."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str | None, Field(max_length=200)] = None
    priority: Priority = Priority.NORMAL
    lane: LaneWish = LaneWish.LIVE
    max_cost_usd: UsdOrNone = None
    deadline: str | None = None
    after_deadline: AfterDeadline = AfterDeadline.FINISH
    run_window: str | None = None
    accept_late: Annotated[
        Flag, Field(description="take it in also where the deadline can't be met")
    ] = False
    dry_run: Annotated[Flag, Field(description="quote the jobs, and store nothing")] = False
    from_url: Annotated[
        str | None,
        Field(description="read this file instead of a body, where the operator allows it"),
    ] = None
    id_column: Annotated[
        str | None,
        Field(description="of a sheet; default: `custom_id`, else `id`, else the rows' numbers"),
    ] = None
    delimiter: Annotated[
        Literal["comma", "semicolon", "tab", "pipe"] | None,
        Field(description="of CSV; default: what its header has most of"),
    ] = None
    kind: str | None = None
    model: str | None = None
    system: str | None = None
    max_tokens: str | None = None
    temperature: str | None = None
    top_p: str | None = None
    stop: str | None = None
    seed: str | None = None
    source: Annotated[str | None, Field(description="a language's tag, such as en")] = None
    target: Annotated[str | None, Field(description="a language's tag, such as pt-BR")] = None
    format: str | None = None
    glossary: Annotated[str | None, Field(description="terms by terms, as JSON text")] = None
    examples: Annotated[str | None, Field(description="texts by texts, as JSON text")] = None
    tone: str | None = None
    part_tokens: str | None = None
    failover_after_s: str | None = None
    repair: str | None = None
    ask_again: str | None = None
    raise_max_tokens: str | None = None
    escalate: str | None = None
    collapse: str | None = None
    reuse: Annotated[str | None, Field(description="how old an earlier answer may be, as 7d")] = (
        None
    )
    schema_: Annotated[str | None, Field(alias="schema", description="a JSON Schema, as text")] = (
        None
    )
    template: str | None = None
    n: str | None = None
    keep_truncated: str | None = None
    instructions: str | None = None
    evidence: str | None = None
    merge_key: str | None = None

    @field_validator("name")
    @classmethod
    def _is_visible(cls, text: str | None) -> str | None:
        if text is not None and has_hidden(text):
            raise ValueError("expected a name without control or format characters")
        return text

    @field_validator("deadline")
    @classmethod
    def _is_deadline(cls, text: str | None) -> str | None:
        if text is not None:
            Deadline.of(text)
        return text

    @field_validator("run_window")
    @classmethod
    def _is_window(cls, text: str | None) -> str | None:
        return None if text is None else str(RunWindow.of(text))

    @property
    def window(self) -> RunWindow | None:
        """The hours in which the batch may run; None for all."""
        return None if self.run_window is None else RunWindow.of(self.run_window)

    def wish_after(self, now: datetime) -> Wish | None:
        """Return by when and in which hours the batch is wanted; None without a deadline.

        Raises:
            InvalidParameter: it is over, or far too far away.
        """
        if self.deadline is None:
            return None
        try:
            moment = Deadline.of(self.deadline).after(now)
        except ValueError as error:
            raise InvalidParameter(f"`deadline`: {error}", field="deadline") from None
        return Wish(moment, self.window, self.priority)


@router.post(
    "/batches",
    status_code=202,
    response_model=BatchShape,
    responses={200: {"model": QuoteShape, "description": "What it would take (dry_run=true)."}},
    openapi_extra=SUBMISSION,
)
async def submit(
    request: Request,
    response: Response,
    services: ServicesDep,
    project_id: SubmitterProject,
    query: Annotated[SubmissionQuery, Query()],
    idempotency_key: Key = None,
) -> BatchShape | Response:
    """Accept a batch of jobs: NDJSON, `{"jobs": [...]}` as JSON, or the rows of CSV or Parquet.

    The jobs are parsed as they arrive. Either all of them are accepted, or none is and the answer
    names up to 100 bad lines with the field and what was expected. The body may be packed with
    gzip or zstd, as Content-Encoding says.

    With an `Idempotency-Key` the same request may be sent again, whatever became of the first: the
    answer is the one batch, with `idempotent-replayed: true` if it was accepted before. Another body
    or query under the key is answered with 422, and one that is still in progress with 409.

    With `dry_run=true` nothing is stored or sent: the answer, 200, is what the batch would take, and
    which of its lines are bad. An `Idempotency-Key` says nothing there.
    """
    began_ns = time.time_ns()
    given = query.model_dump(exclude_none=True, by_alias=True)
    of_lines = {name: text for name, text in given.items() if name not in OF_THE_BATCH}
    default_max_tokens = str(services.configuration.default_max_tokens)
    defaults = JobDefaults.from_query({"max_tokens": default_max_tokens, **of_lines})
    form = _form(request, services, query, defaults)
    max_cost_nanos = nanos_of(query.max_cost_usd)
    if query.dry_run:
        wish = query.wish_after(utcnow())
        asked = QuoteRequest(project_id, defaults, max_cost_nanos, wish)
        shape = await quote(services, asked, Body(request, is_digested=False), form)
        return JSONResponse(shape.model_dump(mode="json"))
    draft = BatchDraft(
        project_id=project_id,
        defaults=defaults.to_json(),
        name=query.name,
        priority=query.priority,
        lane=query.lane,
        max_cost_nanos=max_cost_nanos,
        after_deadline=query.after_deadline,
        run_window=query.window,
    )
    known = await known_limits(services) if query.deadline is not None else {}
    claim = None if idempotency_key is None else Claim.of(project_id, idempotency_key)

    body = Body(request, is_digested=claim is not None)
    begun = await run_in_threadpool(_begin, services, query, draft, defaults, claim, known)
    if isinstance(begun, Receipt):
        await body.drain(form.max_bytes)
        begun.check(body.digest())
        response.headers["idempotent-replayed"] = "true"
        return await run_in_threadpool(get_batch, services, project_id, begun.ref)
    accepted = await receive(body, begun, form)
    note("batch_submitted", project_id, batch=accepted.ref)
    if services.tracing is not None:
        services.tracing.submitted(accepted.ref, began_ns)
    services.feed(accepted.queues)
    return await run_in_threadpool(get_batch, services, project_id, accepted.ref)


def _begin(
    services: Services,
    query: SubmissionQuery,
    draft: BatchDraft,
    defaults: JobDefaults,
    claim: Claim | None,
    known: Known,
) -> Intake | Receipt:
    """Begin to take a submission in; or return what became of the request before."""
    with services.database.read() as session:
        if claim is not None and (receipt := idempotency.receipt(session, claim)) is not None:
            return receipt
        wish = query.wish_after(now(session))
        prices = services.prices_if_budgeted(session, draft.project_id, draft.max_cost_nanos)
    reader = LineReader(
        defaults,
        services.catalogue,
        services.count_tokens,
        prices=prices,
        sizes_calls=wish is not None,
    )
    intake = Intake(
        services.database,
        draft if wish is None else replace(draft, deadline=wish.deadline),
        reader,
        slice_size=services.settings.slice_size,
        max_jobs=services.settings.max_jobs_per_batch,
        claim=claim,
    )
    if wish is not None:
        inspector = DeadlineInspector(
            services, draft.project_id, defaults, wish, known, accepts_late=query.accept_late
        )
        intake.inspect_by(inspector)
    return intake


def _form(
    request: Request, services: Services, query: SubmissionQuery, defaults: JobDefaults
) -> BodyForm:
    delimiter = None if query.delimiter is None else DELIMITERS[query.delimiter]
    sheet = SheetForm(defaults, query.id_column, delimiter, services.settings.spool_folder())
    max_bytes = services.settings.max_upload_bytes
    if query.from_url is None:
        return form_of(request, max_bytes, sheet)
    check_source(query.from_url, services.configuration.sources.allowed)
    return form_of_source(request, query.from_url, max_bytes, sheet)
