"""What a provider says that it billed, beside what we charged: read, and compared job by job.

Pure: `jobs.reconcile` brings the calls and the attempts of a job together and books what is found.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from jobs.exchange import MAX_CREDIBLE_TOKENS, Usage
from jobs.money import parse_usd
from jobs.prices import Price
from jobs.states import Outcome

MAX_CALL_NANOS = 10**15
"""Of one call, a million dollars: an account with more is a typing error, and isn't booked."""

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_CREDIBLE_TOKENS)]
Nanos = Annotated[int, msgspec.Meta(ge=0, le=MAX_CALL_NANOS)]
CustomId = Annotated[str, msgspec.Meta(max_length=512)]
Model = Annotated[str, msgspec.Meta(max_length=256)]


class AccountLine(msgspec.Struct, frozen=True):
    """A line of a provider's account: one call. Fields that it has besides are not read.

    `input_tokens` holds the cached ones and those written to a cache, `output_tokens` those of
    reasoning. The job's name is `custom_id`, or `job_id`.
    """

    input_tokens: Count
    output_tokens: Count
    custom_id: CustomId | None = None
    job_id: CustomId | None = None
    model: Model = ""
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    reasoning_tokens: Count = 0
    cost_nanos: Nanos | None = None
    cost_usd: str | None = None
    answered: bool = True

    def __post_init__(self) -> None:
        if self.custom_id is None and self.job_id is None:
            raise ValueError("expected `custom_id` or `job_id`")
        if self.cached_tokens + self.cache_write_tokens > self.input_tokens:
            raise ValueError("expected `input_tokens` that hold those of the cache")
        if self.reasoning_tokens > self.output_tokens:
            raise ValueError("expected `output_tokens` that hold those of reasoning")
        if self.cost_nanos is not None and self.cost_usd is not None:
            raise ValueError("expected `cost_nanos` or `cost_usd`, not both")
        if self.cost_usd is not None and parse_usd(self.cost_usd) > MAX_CALL_NANOS:
            raise ValueError("expected `cost_usd` of at most 1000000")

    @property
    def name(self) -> str:
        """The job's custom_id."""
        return self.job_id or "" if self.custom_id is None else self.custom_id

    def call(self) -> "BilledCall":
        """Return what the line tells of the call."""
        cost_nanos = self.cost_nanos if self.cost_usd is None else parse_usd(self.cost_usd)
        usage = Usage(
            input_tokens=self.input_tokens - self.cached_tokens - self.cache_write_tokens,
            cached_input_tokens=self.cached_tokens,
            cache_write_tokens=self.cache_write_tokens,
            output_tokens=self.output_tokens,
            reasoning_tokens=self.reasoning_tokens,
        )
        return BilledCall(self.model, usage, cost_nanos, self.answered)


class BilledCall(msgspec.Struct, frozen=True, array_like=True):
    """A call as its provider accounts for it. `cost_nanos` is None where it tells tokens alone."""

    model: str
    usage: Usage
    cost_nanos: int | None
    answered: bool

    @property
    def is_billed(self) -> bool:
        """Whether the provider took anything for it: its account may list refused calls as well."""
        return self.usage != NOTHING or bool(self.cost_nanos)


class ChargedAttempt(msgspec.Struct, frozen=True):
    """An attempt of ours that was billed, or may have been.

    `outcome` is None while it is in flight; `is_unknown`: its use is not known, so that it is
    charged at its worst case.
    """

    n: int
    model: str
    outcome: str | None
    is_unknown: bool
    usage: Usage | None
    cost_nanos: int | None
    price: str | None

    def cost_of(self, call: BilledCall) -> int | None:
        """Return what a call costs: what its provider says, else by the attempt's price."""
        if call.cost_nanos is not None or self.price is None:
            return call.cost_nanos
        return Price.from_json(self.price).cost_nanos(call.usage)


NOTHING = Usage()

Pair = tuple[ChargedAttempt, BilledCall]


@dataclass(slots=True)
class Comparison:
    """What became of a job's calls and attempts.

    Attributes:
        agreed: an attempt and its call, the same to the token and the nano-dollar.
        drifted: an attempt whose use we know, and its call, which differs.
        learned: an attempt of unknown use, and the call that tells it.
        in_flight: an attempt that we have no answer of yet, and its call.
        unseen: attempts whose answer was lost and of which the provider has no call.
        overcharged: answered attempts of which it has none.
        unrecorded: calls that it billed and that we know nothing of.
    """

    agreed: list[Pair] = field(default_factory=list)
    drifted: list[Pair] = field(default_factory=list)
    learned: list[Pair] = field(default_factory=list)
    in_flight: list[Pair] = field(default_factory=list)
    unseen: list[ChargedAttempt] = field(default_factory=list)
    overcharged: list[ChargedAttempt] = field(default_factory=list)
    unrecorded: list[BilledCall] = field(default_factory=list)


def compare(attempts: Sequence[ChargedAttempt], calls: Iterable[BilledCall]) -> Comparison:
    """Find for every billed call of a job the attempt that made it.

    First those that agree; then the attempts whose use we know, then those of unknown use, then
    those in flight take what is left: a call of their own model before any other (providers name
    models by longer names), an answered one before a lost one.
    """
    found = Comparison()
    left = [call for call in calls if call.is_billed]
    known = [made for made in attempts if made.outcome is not None and not made.is_unknown]
    for made in known:
        if made.usage == NOTHING and not made.cost_nanos:
            continue
        if (call := _take(left, [call for call in left if _agree(made, call)], made)) is not None:
            found.agreed.append((made, call))
        else:
            found.overcharged.append(made)
    found.drifted, found.overcharged = _pair(found.overcharged, left)
    # An answer without a usage has a call for certain; a lost answer may have none.
    unknown = sorted(
        (made for made in attempts if made.is_unknown),
        key=lambda made: made.outcome == Outcome.UNKNOWN,
    )
    found.learned, alone = _pair(unknown, left)
    found.unseen = [made for made in alone if made.outcome == Outcome.UNKNOWN]
    found.overcharged += [made for made in alone if made.outcome != Outcome.UNKNOWN]
    found.in_flight, _ = _pair([made for made in attempts if made.outcome is None], left)
    found.unrecorded = left
    return found


def _agree(made: ChargedAttempt, call: BilledCall) -> bool:
    costs = (made.cost_nanos, call.cost_nanos)
    return made.usage == call.usage and (None in costs or costs[0] == costs[1])


def _pair(
    attempts: Sequence[ChargedAttempt], left: list[BilledCall]
) -> tuple[list[Pair], list[ChargedAttempt]]:
    """Take a call out of `left` for each attempt; return the pairs, and the attempts without one.

    Attempts that find a call of their model choose first.
    """
    pairs: list[Pair] = []
    alone: list[ChargedAttempt] = []
    for made in attempts:
        own = [call for call in left if call.model == made.model]
        if (call := _take(left, own, made)) is not None:
            pairs.append((made, call))
        else:
            alone.append(made)
    rest: list[ChargedAttempt] = []
    for made in alone:
        if (call := _take(left, left, made)) is not None:
            pairs.append((made, call))
        else:
            rest.append(made)
    return pairs, rest


def _take(
    left: list[BilledCall], fitting: Sequence[BilledCall], made: ChargedAttempt
) -> BilledCall | None:
    """Take the most fitting call out of `left`."""
    if not fitting:
        return None
    lost = made.outcome == Outcome.UNKNOWN
    best = min(fitting, key=lambda call: (call.model != made.model, call.answered is lost))
    left.remove(best)
    return best
