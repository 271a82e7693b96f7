"""How a quote looks in an answer."""

from collections.abc import Sequence

from pydantic import BaseModel

from api.shapes import Eta
from jobs.errors import LineFault
from jobs.money import format_known, format_usd
from jobs.quote import Duration, Sufficiency, Sums, Tally, sufficiency_of
from jobs.quote.reach import Reach


class TokenRange(BaseModel):
    """Tokens between two bounds, both included."""

    low: int
    high: int


class UsdRange(BaseModel):
    """Dollars between two bounds, both included, as decimal strings."""

    low: str
    high: str


class FaultShape(BaseModel):
    """A bad line, as a refused submission names it; `column` is 0 where the line is JSON."""

    line: int
    field: str
    code: str
    message: str
    column: int


class Takings(BaseModel):
    """What jobs take: `calls` if no answer is bad, and what goes in and comes out with them.

    Low is that every call answers briefly: one token out, three quarters of the estimated input, read
    from the provider's cache where it can be. High is that every call uses all of its `max_tokens`, and
    a third more input than estimated. Both hold if every call's answer is good and the first target of
    its route gives it. `worst_cost_usd` is every answer bad, and asked for again as often as the batch
    allows, with as much room, of the dearest target; a byte of input is a token then. Costs leave out
    `unpriced_jobs`, and are null where nothing is known; the worst is null where one price is missing.
    """

    calls: int
    estimated_input_tokens: int
    input_tokens: TokenRange
    output_tokens: TokenRange
    cost_usd: UsdRange | None
    worst_cost_usd: str | None
    unpriced_jobs: int


class TargetTakings(Takings):
    """What the jobs take that name `model` and are sent to `target` (PROVIDER/NAME) first.

    Of a hundred models on, the rest of a provider's is one entry, `(others)`.
    """

    model: str
    target: str
    jobs: int


class QuoteShape(Takings):
    """What a submission would take; nothing of it was stored.

    Of its valid `jobs`, `collapsed_jobs` ask for the same as an earlier one, and of `reused_jobs` an
    answer is kept: neither are called for. `max_cost_suffices` says whether `max_cost_usd` lasts:
    `surely` (at the worst), `probably` (at the high end), `perhaps`, or `no` (not at the low one). `eta`
    is how long it takes at the limits of its pools if nothing else runs there; `limited_by` is what
    decides that, `eta_unknown_because` why it is null. `earliest` is when all may be ready at the soonest,
    beside the work that was accepted before; where that is after the `deadline`, the submission would be
    refused, and `would_meet_deadline` says what would do. These four are null without a deadline. A
    submission with `faults` would be refused; `fault_count` counts all of them, up to 100 are listed.
    """

    jobs: int
    collapsed_jobs: int
    reused_jobs: int
    targets: list[TargetTakings]
    unpriced_models: list[str]
    max_cost_usd: str | None
    max_cost_suffices: Sufficiency | None
    eta: Eta | None
    limited_by: str | None
    eta_unknown_because: str | None
    deadline: str | None
    earliest: str | None
    deadline_reachable: bool | None
    would_meet_deadline: str | None
    fault_count: int
    faults: list[FaultShape]


def quote_shape(
    sums: Sums, taking: Duration, max_cost_nanos: int | None, found: Reach | None = None
) -> QuoteShape:
    """Return a quote as it is read."""
    return QuoteShape(
        **_takings(sums.tallies),
        jobs=sums.jobs,
        collapsed_jobs=sums.collapsed_jobs,
        reused_jobs=sums.reused_jobs,
        targets=[_target(tally) for tally in sums.tallies],
        unpriced_models=list(sums.unpriced),
        max_cost_usd=None if max_cost_nanos is None else format_usd(max_cost_nanos),
        max_cost_suffices=sufficiency_of(sums.tallies, max_cost_nanos, sums.least_nanos),
        eta=_eta(taking),
        limited_by=taking.limited_by,
        eta_unknown_because=taking.unknown_because,
        deadline=None if found is None else found.deadline.isoformat(),
        earliest=None if found is None or found.earliest is None else found.earliest.isoformat(),
        deadline_reachable=None if found is None else found.reaches,
        would_meet_deadline=None if found is None or found.reaches else found.sentence(),
        fault_count=sums.fault_count,
        faults=[_fault(fault) for fault in sums.faults],
    )


def _target(tally: Tally) -> TargetTakings:
    return TargetTakings(
        **_takings([tally]),
        model=tally.model,
        target=f"{tally.target.provider}/{tally.target.model}",
        jobs=tally.jobs,
    )


def _takings(tallies: Sequence[Tally]) -> dict[str, object]:
    """Return the fields of `Takings` for the sum of these."""
    unpriced = sum(tally.unpriced_jobs for tally in tallies)
    is_bounded = not any(tally.unbounded_jobs for tally in tallies)
    low = format_known(sum(tally.cost_nanos.low for tally in tallies), unpriced)
    high = format_known(sum(tally.cost_nanos.high for tally in tallies), unpriced)
    worst_nanos = sum(tally.worst_nanos for tally in tallies)
    return {
        "calls": sum(tally.calls for tally in tallies),
        "estimated_input_tokens": sum(tally.estimated_input_tokens for tally in tallies),
        "input_tokens": TokenRange(
            low=sum(tally.input_tokens.low for tally in tallies),
            high=sum(tally.input_tokens.high for tally in tallies),
        ),
        "output_tokens": TokenRange(
            low=sum(tally.output_tokens.low for tally in tallies),
            high=sum(tally.output_tokens.high for tally in tallies),
        ),
        "cost_usd": None if low is None or high is None else UsdRange(low=low, high=high),
        "worst_cost_usd": format_usd(worst_nanos) if is_bounded else None,
        "unpriced_jobs": unpriced,
    }


def _eta(taking: Duration) -> Eta | None:
    if taking.low_s is None or taking.high_s is None:
        return None
    return Eta(low=taking.low_s, high=taking.high_s)


def _fault(fault: LineFault) -> FaultShape:
    return FaultShape(
        line=fault.line,
        field=fault.field,
        code=fault.code,
        message=fault.message,
        column=fault.column,
    )
