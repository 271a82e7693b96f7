"""The sums over a submission's jobs, by the model that they name and the target that is asked first."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.charging import counted_tokens
from jobs.lines import CallSize
from jobs.quote.calls import BRIEF_TOKENS, Insistence, high_nanos, low_nanos, range_of
from jobs.quote.ratings import Rating
from jobs.routing import Target


@dataclass(slots=True)
class Range:
    """A number that lies between two, both included; sums are of both ends."""

    low: int = 0
    high: int = 0

    def add(self, low: int, high: int) -> None:
        """Add to each end."""
        self.low += low
        self.high += high


@dataclass(slots=True)
class Tally:
    """What the jobs take that name `model` and are sent to `target` first.

    `counted_tokens` is what the provider's limits count. `cost_nanos` leaves out `unpriced_jobs`, and
    `worst_nanos` the `unbounded_jobs`, one of whose targets has no known price.
    """

    model: str
    target: Target
    jobs: int = 0
    calls: int = 0
    estimated_input_tokens: int = 0
    input_tokens: Range = field(default_factory=Range)
    output_tokens: Range = field(default_factory=Range)
    counted_tokens: Range = field(default_factory=Range)
    cost_nanos: Range = field(default_factory=Range)
    worst_nanos: int = 0
    unpriced_jobs: int = 0
    unbounded_jobs: int = 0

    def add(self, calls: Sequence[CallSize], rating: Rating, insistence: Insistence) -> None:
        """Add a job of these calls."""
        self.jobs += 1
        self.unpriced_jobs += rating.price is None
        self.unbounded_jobs += rating.prices is None
        for number, call in enumerate(calls):
            self._add_call(call, rating, insistence, is_first=number == 0)

    def _add_call(
        self, size: CallSize, rating: Rating, insistence: Insistence, *, is_first: bool
    ) -> None:
        call = range_of(size, rating.target.model, is_first=is_first)
        bound, charging = call.max_output, rating.charging
        self.calls += 1
        self.estimated_input_tokens += size.estimated_tokens
        self.input_tokens.add(call.low_input, call.high_input)
        self.output_tokens.add(BRIEF_TOKENS, bound)
        self.counted_tokens.add(
            counted_tokens(charging, call.low_input, BRIEF_TOKENS, bound),
            counted_tokens(charging, call.high_input, bound, bound),
        )
        if rating.price is not None:
            self.cost_nanos.add(low_nanos(call, rating.price), high_nanos(call, rating.price))
        if rating.prices is not None:
            self.worst_nanos += insistence.worst_nanos(call, rating.prices)
