"""What is added up, as values: quotes, usage, receipts, budgets."""

from datetime import datetime
from decimal import Decimal

import msgspec

from .shapes import Eta, Shape, UsdRange


class TokenRange(Shape, frozen=True, kw_only=True):
    """Tokens between two bounds, both included."""

    low: int
    high: int


class QuoteFault(Shape, frozen=True, kw_only=True):
    """A line that would be refused."""

    line: int
    code: str
    field: str
    message: str
    column: int = 0


class Takings(Shape, frozen=True, kw_only=True):
    """What jobs take, from low to high, and at worst; see `docs/quotes.md`."""

    calls: int
    estimated_input_tokens: int
    input_tokens: TokenRange
    output_tokens: TokenRange
    cost_usd: UsdRange | None = None
    worst_cost_usd: Decimal | None = None
    unpriced_jobs: int = 0


class TargetTakings(Takings, frozen=True, kw_only=True):
    """The same of those jobs that name `model` and are sent to `target` first."""

    model: str
    target: str
    jobs: int


class Quote(Takings, frozen=True, kw_only=True):
    """What a submission would take. With `faults` it would be refused."""

    jobs: int
    collapsed_jobs: int = 0
    reused_jobs: int = 0
    targets: list[TargetTakings] = msgspec.field(default_factory=list)
    unpriced_models: list[str] = msgspec.field(default_factory=list)
    max_cost_usd: Decimal | None = None
    max_cost_suffices: str | None = None
    eta: Eta | None = None
    limited_by: str | None = None
    eta_unknown_because: str | None = None
    deadline: datetime | None = None
    earliest: datetime | None = None
    deadline_reachable: bool | None = None
    would_meet_deadline: str | None = None
    fault_count: int = 0
    faults: list[QuoteFault] = msgspec.field(default_factory=list)


class UsageRow(Shape, frozen=True, kw_only=True):
    """Sums of attempts; of what they were grouped by, the rest is None."""

    day: str | None = None
    project: str | None = None
    provider: str | None = None
    pool: str | None = None
    model: str | None = None
    outcome: str | None = None
    attempts: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    unpriced_attempts: int = 0
    cost_usd: Decimal | None = None
    cache_saved_usd: Decimal | None = None


class UsageReport(Shape, frozen=True, kw_only=True):
    """Rows of sums, and their total."""

    data: list[UsageRow]
    total: UsageRow


class ReceiptPart(Shape, frozen=True, kw_only=True):
    """What calls to a model cost; `lane` is `live` or `batch`, None of a month."""

    provider: str
    model: str
    lane: str | None = None
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal | None = None


class ReceiptSavings(Shape, frozen=True, kw_only=True):
    """What native batches, prompt caches, and answers that were there have saved."""

    lanes_usd: Decimal
    caches_usd: Decimal
    answers_usd: Decimal
    total_usd: Decimal
    share: float | None = None


class ReceiptWaste(Shape, frozen=True, kw_only=True):
    """What was paid for answers that were not usable, and for calls whose answer never came."""

    bad_answers: int
    bad_answers_usd: Decimal
    unknown_calls: int
    unknown_calls_usd: Decimal
    total_usd: Decimal


class ReceiptDeadlines(Shape, frozen=True, kw_only=True):
    """How many deadlines were kept, missed, and are still open; the worst miss in seconds.

    `unreachable` is of a run: why its deadline surely couldn't be met, as it was told at its beginning.
    """

    kept: int = 0
    missed: int = 0
    open: int = 0
    worst_late_s: float = 0.0
    unreachable: str | None = None


class Receipt(Shape, frozen=True, kw_only=True):
    """What a batch or a month cost: `list_usd` less `saved.total_usd` is `paid_usd`."""

    is_final: bool
    jobs: int
    succeeded: int
    saved: ReceiptSavings
    wasted: ReceiptWaste
    deadlines: ReceiptDeadlines
    parts: list[ReceiptPart]
    id: str | None = None
    month: str | None = None
    batches: int = 1
    not_called: int = 0
    list_usd: Decimal | None = None
    paid_usd: Decimal | None = None
    unpriced_calls: int = 0


class Period(Shape, frozen=True, kw_only=True):
    """What the calls sent in the present day or month cost; `resets_at` is when it ends."""

    spent_usd: Decimal
    reserved_usd: Decimal
    resets_at: datetime


class Budget(Shape, frozen=True, kw_only=True):
    """A project's caps, None where it has none, and the present day and month (UTC)."""

    project: str
    day: Period
    month: Period
    daily_usd: Decimal | None = None
    monthly_usd: Decimal | None = None
