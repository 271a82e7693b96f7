"""Receipts: what a batch, a run or a month cost, what that saved, and whether deadlines were kept."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from api.access.auth import ReaderProject
from api.services import COUNTING_S, ServicesDep
from jobs.clock import utcnow
from jobs.errors import InvalidParameter
from jobs.money import format_known, format_usd
from jobs.receipt import Part, Receipt
from jobs.store.batches import batches
from jobs.store.money import receipts
from jobs.store.runs import runs

router = APIRouter(tags=["usage"])


class ReceiptPart(BaseModel):
    """What calls to a model cost; `lane` is `live` or `batch`, null of a month, where both are together."""

    provider: str
    model: str
    lane: str | None
    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: str | None


class ReceiptSavings(BaseModel):
    """What was saved against the list price, by native batches, prompt caches, and answers that were there.

    `caches_usd` is below zero where caches were written, and hardly read.
    """

    lanes_usd: str
    caches_usd: str
    answers_usd: str
    total_usd: str
    share: float | None


class ReceiptWaste(BaseModel):
    """What was paid for nothing: answers that were not usable, and calls whose answer never came.

    It is a part of what was paid.
    """

    bad_answers: int
    bad_answers_usd: str
    unknown_calls: int
    unknown_calls_usd: str
    total_usd: str


class ReceiptDeadlines(BaseModel):
    """How many batches kept their deadline, missed it, and have it before them; the worst miss in seconds.

    One that expired has missed it, whatever its `worst_late_s`. `unreachable` is of a run: why its deadline
    surely couldn't be met, as it was told when its source was read.
    """

    kept: int
    missed: int
    open: int
    worst_late_s: float
    unreachable: str | None


class ReceiptShape(BaseModel):
    """A receipt. `list_usd` less `saved.total_usd` is `paid_usd`, to the nano-dollar.

    `paid_usd` leaves out `unpriced_calls`, whose model has no price, and is null where nothing is known.
    `not_called` jobs needed no call. `is_final` tells that all of the work has ended.
    """

    id: str | None
    month: str | None
    is_final: bool
    batches: int
    jobs: int
    succeeded: int
    not_called: int
    list_usd: str | None
    paid_usd: str | None
    unpriced_calls: int
    saved: ReceiptSavings
    wasted: ReceiptWaste
    deadlines: ReceiptDeadlines
    parts: list[ReceiptPart]


@router.get("/batches/{batch_id}/receipt")
def batch_receipt(services: ServicesDep, project_id: ReaderProject, batch_id: str) -> ReceiptShape:
    """Return what a batch cost up to now, by model and lane, and what it saved against the list price.

    Its attempts are added up: that takes some seconds of a million.
    """
    with services.database.with_patience(COUNTING_S).read() as session:
        batch = batches.find(session, project_id, batch_id)
        assert batch.id is not None  # a stored row has its key
        return receipt_shape(receipts.of_batches(session, [batch.id]), ref=batch.ref)


@router.get("/runs/{run_id}/receipt")
def run_receipt(services: ServicesDep, project_id: ReaderProject, run_id: str) -> ReceiptShape:
    """Return what the batches of a run cost together, as that of a batch; its deadline is the run's."""
    with services.database.with_patience(COUNTING_S).read() as session:
        run = runs.find(session, project_id, run_id)
        return receipt_shape(receipts.of_run(session, run), ref=run.ref)


@router.get("/receipts")
def month_receipt(
    services: ServicesDep,
    project_id: ReaderProject,
    month: Annotated[
        str | None, Query(description="as 2026-11; default: the present (UTC)")
    ] = None,
) -> ReceiptShape:
    """Return what the project paid in a month, by model, and what that saved.

    What was paid is by the days of the ledger, and so is what prompt caches saved. Jobs, deadlines, waste and
    the other savings are of the batches that ended in the month.
    """
    first_day = utcnow().date().replace(day=1) if month is None else month_of(month)
    with services.database.with_patience(COUNTING_S).read() as session:
        found = receipts.of_month(session, project_id, first_day)
    return receipt_shape(found, month=f"{first_day:%Y-%m}")


def month_of(text: str) -> date:
    """Return the first day of a month as it is written.

    Raises:
        InvalidParameter: it is none.
    """
    try:
        if len(text) != len("2026-11"):
            raise ValueError(text)
        return date.fromisoformat(f"{text}-01")
    except ValueError:
        raise InvalidParameter("`month`: expected a month as 2026-11", field="month") from None


def receipt_shape(
    found: Receipt, *, ref: str | None = None, month: str | None = None
) -> ReceiptShape:
    """Return a receipt as it is read: of the batch, the run or the month that is named."""
    share = found.saved_share
    return ReceiptShape(
        id=ref,
        month=month,
        is_final=found.is_final,
        batches=found.batches,
        jobs=found.jobs,
        succeeded=found.succeeded,
        not_called=found.not_called,
        list_usd=format_known(found.list_nanos, found.unpriced),
        paid_usd=format_known(found.paid_nanos, found.unpriced),
        unpriced_calls=found.unpriced,
        saved=ReceiptSavings(
            lanes_usd=format_usd(found.lane_saved_nanos),
            caches_usd=format_usd(found.cache_saved_nanos),
            answers_usd=format_usd(found.reuse_saved_nanos),
            total_usd=format_usd(found.saved_nanos),
            share=None if share is None else round(share, 4),
        ),
        wasted=ReceiptWaste(
            bad_answers=found.bad_answers,
            bad_answers_usd=format_usd(found.bad_nanos),
            unknown_calls=found.unknown_calls,
            unknown_calls_usd=format_usd(found.unknown_nanos),
            total_usd=format_usd(found.wasted_nanos),
        ),
        deadlines=ReceiptDeadlines(
            kept=found.deadlines.kept,
            missed=found.deadlines.missed,
            open=found.deadlines.open,
            worst_late_s=round(found.deadlines.worst_late_s, 1),
            unreachable=found.deadlines.unreachable,
        ),
        parts=[_part(part) for part in found.parts],
    )


def _part(part: Part) -> ReceiptPart:
    return ReceiptPart(
        provider=part.provider,
        model=part.model,
        lane=part.lane,
        calls=part.calls,
        input_tokens=part.input_tokens,
        output_tokens=part.output_tokens,
        cost_usd=format_known(part.cost_nanos, part.unpriced_calls),
    )
