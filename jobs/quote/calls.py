"""What one call may take and cost: between a brief answer and the longest, and at the very worst. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.defaults import JobDefaults
from jobs.exchange import Usage
from jobs.lines import CallSize
from jobs.prices import Price
from jobs.vocabularies import start_ratio

BRIEF_TOKENS = 1
"""Output of a call that answers briefly: no answer has less."""

LEAST_INPUT, MOST_INPUT = 0.75, 1.35
"""Of the estimated input, what is really counted: a little more than the estimate errs by in nineteen of
twenty texts (see `jobs/tokens.py`). A sum over many texts is off by less."""

EARLIER_TOKENS = 400
"""Input that comes on top when a part of a long text is told how the part before it ended."""

CACHED_FROM_TOKENS = 1024
"""Shorter inputs no provider reads from its cache, or writes there, at another rate."""

FAULT_TOKENS = 500
"""What a model is told of a bad answer, beside the answer."""


@dataclass(frozen=True, slots=True)
class CallRange:
    """What a call takes at each end: `low_input` tokens and a brief answer, or the longest."""

    low_input: int
    high_input: int
    most_input: int
    max_output: int


def range_of(call: CallSize, model: str, *, is_first: bool) -> CallRange:
    """Return the range of a call to `model`; `is_first` of its job, or a later part."""
    ratio = start_ratio(model)
    earlier = 0 if is_first else EARLIER_TOKENS
    most_input = call.most_input_tokens + earlier
    likely_most = math.ceil(call.estimated_tokens * MOST_INPUT * max(ratio, 1.0)) + earlier
    return CallRange(
        low_input=math.floor(call.estimated_tokens * LEAST_INPUT * min(ratio, 1.0)),
        high_input=min(likely_most, most_input),
        most_input=most_input,
        max_output=call.max_tokens,
    )


def low_nanos(call: CallRange, price: Price) -> int:
    """Return what the call costs if it answers briefly, read from a cache where it can be."""
    tokens, output = call.low_input, BRIEF_TOKENS
    plain = price.cost_nanos(Usage(input_tokens=tokens, output_tokens=output))
    if tokens < CACHED_FROM_TOKENS:
        return plain
    return min(plain, price.cost_nanos(Usage(cached_input_tokens=tokens, output_tokens=output)))


def high_nanos(call: CallRange, price: Price) -> int:
    """Return what the call costs if it uses all of its `max_tokens`, and fills a cache if it can."""
    tokens, output = call.high_input, call.max_output
    plain = price.cost_nanos(Usage(input_tokens=tokens, output_tokens=output))
    if tokens < CACHED_FROM_TOKENS:
        return plain
    return max(plain, price.cost_nanos(Usage(cache_write_tokens=tokens, output_tokens=output)))


@dataclass(frozen=True, slots=True)
class Insistence:
    """How far a batch goes for one good answer: the arithmetic of what `workers/job/dialogue.py` does."""

    ask_again: int
    raise_max_tokens: int | None
    escalate: bool

    @classmethod
    def of(cls, defaults: JobDefaults) -> "Insistence":
        """Return how far a batch of these defaults goes."""
        return cls(defaults.ask_again, defaults.raise_max_tokens, defaults.escalate)

    def limits(self, max_tokens: int) -> tuple[int, ...]:
        """Return the bounds that answers are cut off at, one after the other; the last one stays."""
        highest = 2 * max_tokens if self.raise_max_tokens is None else self.raise_max_tokens
        limits = [max_tokens]
        while limits[-1] < highest:
            limits.append(min(2 * limits[-1], highest))
        return tuple(limits)

    def worst_nanos(self, call: CallRange, prices: Sequence[Price]) -> int:
        """Return what one answer costs at most: every call is bad, and as dear as can be.

        `prices` are of all targets that may serve it: any of them may be asked each time. A byte of
        input is a token, as it is for reserving. A bad answer that the model is shown counts again.
        """
        *raised, highest = self.limits(call.max_output)
        turns = self._turns(len(prices))
        told_input = call.most_input + highest + FAULT_TOKENS
        return max(
            sum(price.worst_case_nanos(call.most_input, limit) for limit in raised)
            + turns * price.worst_case_nanos(call.most_input, highest)
            + turns * self.ask_again * price.worst_case_nanos(told_input, highest)
            for price in prices
        )

    def _turns(self, targets: int) -> int:
        return targets if self.escalate else 1
