"""Whether a budget will do for what was quoted. Pure."""

from collections.abc import Sequence
from enum import StrEnum

from jobs.quote.tally import Tally


class Sufficiency(StrEnum):
    """How sure it is that a budget lasts to the end."""

    SURELY = "surely"
    """Whatever the answers are, and however often they are asked for."""
    PROBABLY = "probably"
    """If every call uses all of its `max_tokens`; not if bad answers come on top without end."""
    PERHAPS = "perhaps"
    """It depends on how long the answers are."""
    NO = "no"
    """Not even if every call answers briefly, or no call could be sent at all."""


def sufficiency_of(
    tallies: Sequence[Tally], max_cost_nanos: int | None, least_nanos: int | None
) -> Sufficiency | None:
    """Return whether the budget lasts; None without one, or without the price of a job.

    `least_nanos` is what the cheapest call may cost: below it nothing is ever sent.
    """
    if max_cost_nanos is None or any(tally.unpriced_jobs for tally in tallies):
        return None
    low = sum(tally.cost_nanos.low for tally in tallies)
    high = sum(tally.cost_nanos.high for tally in tallies)
    worst = sum(tally.worst_nanos for tally in tallies)
    if max_cost_nanos < max(low, least_nanos or 0):
        return Sufficiency.NO
    if max_cost_nanos < high:
        return Sufficiency.PERHAPS
    is_bounded = not any(tally.unbounded_jobs for tally in tallies)
    return Sufficiency.SURELY if is_bounded and max_cost_nanos >= worst else Sufficiency.PROBABLY
