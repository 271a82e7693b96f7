"""Batches and results as values. What a newer server adds is left out, what it lacks is None."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol, TypeVar

import msgspec

Parsed_co = TypeVar("Parsed_co", covariant=True)

FINAL_STATES = frozenset({"completed", "failed", "cancelled", "expired"})
"""States in which a batch changes no more."""


class Model(Protocol[Parsed_co]):
    """A pydantic model class, or anything that validates alike."""

    def model_validate(self, value: Any, /) -> Parsed_co:
        """Return the value as an instance."""
        ...


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What all have in common: they are never changed, and read by name."""


class Counts(Shape, frozen=True, kw_only=True):
    """Jobs of a batch by where they stand; `running` are in flight, `waiting` is the rest."""

    total: int
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    running: int = 0
    waiting: int = 0

    @property
    def finished(self) -> int:
        """Jobs that have their result."""
        return self.succeeded + self.failed + self.cancelled + self.expired


class Usage(Shape, frozen=True, kw_only=True):
    """Tokens; the three input counts are disjoint, reasoning is part of the output."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0


class Eta(Shape, frozen=True, kw_only=True):
    """Seconds that are left, as a range."""

    low: float
    high: float


class UsdRange(Shape, frozen=True, kw_only=True):
    """Dollars between two bounds, both included."""

    low: Decimal
    high: Decimal


class Forecast(Shape, frozen=True, kw_only=True):
    """How good the forecasts of an ended batch were: of `looks`, the shares that held the truth.

    `time_error` is how far the middle of the time's range was off in the median, as a share of the truth.
    """

    looks: int
    time_held: float
    cost_held: float
    time_error: float


class Timing(Shape, frozen=True, kw_only=True):
    """How a batch stands to its deadline: `in_time`, `tight`, `late`, `unknown`, then `kept` or `missed`.

    It is ready from `ready_low` to `ready_high`, by its forecast; `late_s` is how late, at the soonest.
    """

    prospect: str
    ready_low: datetime | None = None
    ready_high: datetime | None = None
    late_s: float = 0.0


class NativeBatch(Shape, frozen=True, kw_only=True):
    """A batch at a provider that holds jobs of one of ours: where it stands, and how many lines are done."""

    id: str
    provider: str
    pool: str
    model: str
    state: str
    lines: int
    done: int | None = None
    submitted_at: datetime | None = None
    rescue_at: datetime | None = None
    trouble: str | None = None


class Batch(Shape, frozen=True, kw_only=True):
    """A batch where it stood when it was asked for. Amounts are dollars, None where not known.

    `state` is `queued`, `running`, `paused`, `cancelling`, or one of the final: `completed`, `failed`,
    `cancelled`, `expired`. `waiting_for` says what keeps it. `eta` and `final_cost_usd` are there while it
    runs, after some seconds; `forecast` once it has ended.
    """

    id: str
    state: str
    counts: Counts
    name: str | None = None
    project: str = ""
    created_at: datetime | None = None
    finished_at: datetime | None = None
    priority: str = "normal"
    lane: str = "live"
    deadline: datetime | None = None
    after_deadline: str = "finish"
    run_window: str | None = None
    urgency: str = "normal"
    timing: Timing | None = None
    usage: Usage = Usage()
    cost_usd: Decimal | None = None
    reserved_usd: Decimal | None = None
    max_cost_usd: Decimal | None = None
    unpriced_jobs: int = 0
    unknown_attempts: int = 0
    bad_answers: int = 0
    bad_answers_cost_usd: Decimal | None = None
    collapsed_jobs: int = 0
    reused_jobs: int = 0
    saved_usd: Decimal | None = None
    cache_saved_usd: Decimal | None = None
    lane_saved_usd: Decimal = Decimal(0)
    native_batches: tuple[NativeBatch, ...] | None = None
    retry_of: str | None = None
    waiting_for: str | None = None
    eta: Eta | None = None
    final_cost_usd: UsdRange | None = None
    forecast: Forecast | None = None

    @property
    def is_final(self) -> bool:
        """Whether it has ended, and every job has its result."""
        return self.state in FINAL_STATES


class BatchPage(Shape, frozen=True, kw_only=True):
    """A page of batches."""

    data: list[Batch]
    next_cursor: str | None = None


class ResultError(Shape, frozen=True, kw_only=True):
    """Why a job has no answer; `docs/errors.md` lists the codes."""

    code: str
    message: str = ""


class Result(Shape, frozen=True, kw_only=True):
    """The one result of a job. `status` is `succeeded`, `failed`, `cancelled` or `expired`.

    `output` is a text, or what the job's schema says. `attempts`, `usage` and `cost_usd` are of all
    calls for the job; `source` is `live`, `duplicate`, `cache`, …
    """

    custom_id: str
    seq: int
    status: str
    output: Any = None
    finish_reason: str | None = None
    error: ResultError | None = None
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    cost_is_estimate: bool = False
    provider: str | None = None
    pool: str | None = None
    model: str | None = None
    attempts: int = 0
    source: str = ""
    latency_ms: int | None = None
    finished_at: datetime | None = None
    mended: str | None = None

    @property
    def has_succeeded(self) -> bool:
        """Whether there is an answer."""
        return self.status == "succeeded"

    def parse(self, model: Model[Parsed_co]) -> Parsed_co:
        """Return the output as an instance of a pydantic model.

        Raises:
            ValueError: there is no answer; or it doesn't fit, as pydantic says it.
        """
        if not self.has_succeeded:
            reason = self.error.code if self.error else self.status
            raise ValueError(f"job {self.custom_id!r} has no answer: {reason}")
        return model.model_validate(self.output)
