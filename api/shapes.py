"""How rows look in answers. Tables are never returned as they are."""

from typing import Any

import msgspec
from pydantic import BaseModel

from api.outlooks import NOTHING, Told, timing_of
from jobs.clock import utcnow
from jobs.exchange import Usage
from jobs.money import format_known, format_usd
from jobs.outlook import Judgement, Outlook
from jobs.store.results.results import ResultRow
from jobs.tables import Batch, NativeBatch
from jobs.timing import Timing


class Counts(BaseModel):
    """Jobs of a batch by where they stand; `running` are in flight, `waiting` is the rest."""

    total: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    running: int
    waiting: int


class Tokens(BaseModel):
    """Tokens; the three input counts are disjoint, reasoning is part of the output."""

    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int


class Eta(BaseModel):
    """Seconds that are left, as a range."""

    low: float
    high: float


class FinalCost(BaseModel):
    """What all of a batch will have cost, as a range of dollars."""

    low: str
    high: str


class ForecastJudged(BaseModel):
    """How good the forecasts of an ended batch were.

    Of `looks`, taken at even distances, the share whose `eta` held the time that it really took, and whose
    `final_cost_usd` held the cost. `time_error` is how far the middle of `eta` was off, in the median, as a
    share of the truth.
    """

    looks: int
    time_held: float
    cost_held: float
    time_error: float


class TimingShape(BaseModel):
    """How a batch stands to its deadline.

    `prospect` is `in_time`, `tight` (the slow end of its forecast is late), `late` (it can't be in time any
    more) or `unknown` while it is open, then `kept` or `missed`. `ready_low` and `ready_high` are when it is
    ready by its forecast, and `late_s` how late that is at the soonest.
    """

    prospect: str
    ready_low: str | None
    ready_high: str | None
    late_s: float


class NativeBatchShape(BaseModel):
    """A batch at a provider that holds jobs of one of ours.

    `state` is `packing`, `sending`, `running`, `cancelling`, `ingesting`, or `lost` while it is only looked
    after. `done` of its `lines` have an answer there, null where the provider doesn't tell. At `rescue_at` it
    is cancelled, so that the rest is run live in time.
    """

    id: str
    provider: str
    pool: str
    model: str
    state: str
    lines: int
    done: int | None
    submitted_at: str | None
    rescue_at: str | None
    trouble: str | None


class BatchShape(BaseModel):
    """A batch, as it is read.

    `cost_usd` is the sum of what is known: it leaves out `unpriced_jobs`, whose model has no price,
    and is null where nothing is known. It holds `unknown_attempts` at their worst case: calls whose
    answer was lost, or came without a credible usage. `bad_answers` were paid for and not usable, and
    cost `bad_answers_cost_usd`, a part of `cost_usd`. `collapsed_jobs` ask for the same as an earlier
    one of the batch and get its result, `reused_jobs` have got that of an earlier batch; both together
    have saved `saved_usd` up to now. `retry_of` is the batch whose jobs these are, if it is a retry.
    `cache_saved_usd` is how much less the calls cost than without the providers' prompt caches: below
    zero while those were written and hardly read, null of a batch that is older than the figure.
    `deadline` is by when it is wanted, and `after_deadline` what becomes of open jobs then: `finish` or
    `expire`. Outside of its `run_window` it waits. `urgency` is its priority by now: its own, or a
    higher one as time runs out. `timing` holds its forecast against its deadline; null without one.
    `lane_saved_usd` is how much less the lines of native batches cost than they had live.
    `native_batches` are those that are open, up to a hundred; null in lists.
    `eta` and `final_cost_usd` are there while it runs, after some seconds; `forecast` once it has ended.
    """

    id: str
    name: str | None
    project: str
    state: str
    created_at: str
    finished_at: str | None
    priority: str
    lane: str
    deadline: str | None
    after_deadline: str
    run_window: str | None
    urgency: str
    timing: TimingShape | None
    counts: Counts
    usage: Tokens
    cost_usd: str | None
    reserved_usd: str
    max_cost_usd: str | None
    unpriced_jobs: int
    unknown_attempts: int
    bad_answers: int
    bad_answers_cost_usd: str
    collapsed_jobs: int
    reused_jobs: int
    saved_usd: str
    cache_saved_usd: str | None
    lane_saved_usd: str
    native_batches: list[NativeBatchShape] | None
    retry_of: str | None
    waiting_for: str | None
    eta: Eta | None
    final_cost_usd: FinalCost | None
    forecast: ForecastJudged | None


class BatchPage(BaseModel):
    """A page of batches, newest first."""

    data: list[BatchShape]
    next_cursor: str | None


def batch_shape(batch: Batch, project: str, told: Told = NOTHING) -> BatchShape:
    """Return a batch as it is read, with what is told of its end."""
    finished = batch.finished_jobs
    running = min(batch.in_flight, batch.total_jobs - finished)
    return BatchShape(
        id=batch.ref,
        name=batch.name,
        project=project,
        state=batch.state,
        created_at=batch.created_at.isoformat(),
        finished_at=batch.finished_at.isoformat() if batch.finished_at else None,
        priority=batch.priority,
        lane=batch.lane,
        deadline=batch.deadline.isoformat() if batch.deadline else None,
        after_deadline=batch.after_deadline,
        run_window=batch.run_window,
        urgency=batch.urgency or batch.priority,
        timing=_timing(timing_of(batch, told.outlook, utcnow())),
        counts=Counts(
            total=batch.total_jobs,
            succeeded=batch.succeeded,
            failed=batch.failed,
            cancelled=batch.cancelled,
            expired=batch.expired,
            running=running,
            waiting=batch.total_jobs - finished - running,
        ),
        usage=Tokens.model_validate({name: getattr(batch, name) for name in Tokens.model_fields}),
        cost_usd=format_known(batch.spent_nanos, _unpriced(batch)),
        reserved_usd=format_usd(batch.reserved_nanos),
        max_cost_usd=_usd_or_none(batch.max_cost_nanos),
        unpriced_jobs=batch.unpriced_jobs,
        unknown_attempts=batch.unknown_attempts,
        bad_answers=batch.bad_answers,
        bad_answers_cost_usd=format_usd(batch.bad_nanos),
        collapsed_jobs=batch.collapsed_jobs,
        reused_jobs=batch.reused_jobs,
        saved_usd=format_usd(batch.saved_nanos),
        cache_saved_usd=_usd_or_none(batch.cache_saved_nanos),
        lane_saved_usd=format_usd(batch.lane_saved_nanos),
        native_batches=None,
        retry_of=batch.retry_of,
        waiting_for=batch.waiting_for,
        eta=None if told.outlook is None else eta_of(told.outlook),
        final_cost_usd=None if told.outlook is None else final_cost_of(batch, told.outlook),
        forecast=None if told.judgement is None else _judged(told.judgement),
    )


def native_shape(of: NativeBatch) -> NativeBatchShape:
    """Return a native batch as it is read."""
    return NativeBatchShape(
        id=of.ref,
        provider=of.provider,
        pool=of.pool,
        model=of.model,
        state=of.state,
        lines=of.jobs,
        done=of.done,
        submitted_at=of.submitted_at.isoformat() if of.submitted_at else None,
        rescue_at=of.rescue_at.isoformat() if of.rescue_at else None,
        trouble=of.trouble,
    )


def _timing(told: Timing | None) -> TimingShape | None:
    if told is None:
        return None
    low, high = told.ready or (None, None)
    return TimingShape(
        prospect=told.prospect,
        ready_low=None if low is None else low.replace(microsecond=0).isoformat(),
        ready_high=None if high is None else high.replace(microsecond=0).isoformat(),
        late_s=round(told.late_s),
    )


def eta_of(told: Outlook) -> Eta:
    """Return the time that is left, as it is read."""
    return Eta(low=round(told.left_s.low, 1), high=round(told.left_s.high, 1))


def final_cost_of(batch: Batch, told: Outlook) -> FinalCost | None:
    """Return the range of the final cost, within the budget; None where jobs have no price."""
    if _unpriced(batch):
        return None
    low, high = (round(nanos) for nanos in told.final_nanos)
    if batch.max_cost_nanos is not None:
        low, high = min(low, batch.max_cost_nanos), min(high, batch.max_cost_nanos)
    return FinalCost(low=format_usd(low), high=format_usd(high))


def _judged(judgement: Judgement) -> ForecastJudged:
    return ForecastJudged(
        looks=judgement.looks,
        time_held=round(judgement.time_held, 3),
        cost_held=round(judgement.cost_held, 3),
        time_error=round(judgement.time_error, 3),
    )


def _usd_or_none(nanos: int | None) -> str | None:
    return None if nanos is None else format_usd(nanos)


def _unpriced(batch: Batch) -> int:
    """Return how many jobs have no known cost; lost calls count until an answer tells the price."""
    return batch.unpriced_jobs or (0 if batch.succeeded else batch.unknown_attempts)


def result_line(row: ResultRow, **more: Any) -> bytes:
    """Return a result as a line of NDJSON; `more` are members beside its own.

    `attempts` are all calls that were made for the job, and `cost_usd` is what they cost together,
    so that the costs of a batch's results add up to the batch's. It is null where it is not known,
    and zero where nothing was billed. `cost_is_estimate` tells that some of it is a worst case.
    `usage` adds up in the same way. Provider, pool, model and latency are those of the attempt that
    decided; of a job whose attempts were used up without an answer, those of the last. `mended` says
    what was put right in the answer without asking again, and is null where nothing was.
    """
    return _encode(result_object(row) | more) + b"\n"


_encode = msgspec.json.Encoder().encode


def result_object(row: ResultRow) -> dict[str, Any]:
    """Return the members of a result line, whose `output` is encoded already."""
    made, cost_nanos, error = row.deciding, row.cost_nanos, None
    if row.error_code is not None:
        error = {"code": row.error_code, "message": row.error_message}
    return {
        "custom_id": row.custom_id,
        "seq": row.seq,
        "status": row.status,
        "output": None if row.output is None else msgspec.Raw(row.output.encode()),
        "finish_reason": row.finish_reason,
        "error": error,
        "usage": None if row.usage is None else _tokens(row.usage),
        "cost_usd": None if cost_nanos is None else format_usd(cost_nanos),
        "provider": None if made is None else made.provider,
        "pool": None if made is None else made.pool,
        "model": None if made is None else made.model,
        "attempts": len(row.attempts),
        "source": row.source,
        "latency_ms": None if made is None else made.latency_ms,
        "finished_at": row.finished_at.isoformat(),
        "cost_is_estimate": row.is_estimate,
        "mended": row.mended,
    }


def _tokens(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
