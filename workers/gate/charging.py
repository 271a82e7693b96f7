"""What a call costs in each dimension of a quota, before it leaves and once its usage is known.

Who counts tokens how is in `jobs/charging.py`.
"""

from typing import NamedTuple

from jobs.charging import Charging, counted_tokens
from jobs.exchange import Usage
from workers.gate.gate import Ask


class Costs(NamedTuple):
    """What a call takes, or a correction of it, by kind: `day_tokens` counts against `tpd`.

    Made for every call, so by position and without loops.
    """

    requests: int = 0
    tokens: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    day_tokens: int = 0

    def negated(self) -> "Costs":
        """Return what gives it all back."""
        return Costs(*(-amount for amount in self))


def taken(charging: Charging, ask: Ask) -> Costs:
    """Return what is reserved for a call before it leaves. Negative counts are read as zero."""
    entering, leaving = max(ask.input_tokens, 0), max(ask.output_tokens, 0)
    tokens = counted_tokens(charging, entering, leaving, ask.max_output_tokens)
    return Costs(1, tokens, entering, leaving, tokens)


def correction(charging: Charging, ask: Ask, usage: Usage) -> Costs:
    """Return what an answered call really took, less what was reserved for it."""
    entering = usage.total_input_tokens
    if charging is Charging.UNCACHED:
        entering -= usage.cached_input_tokens
    leaving = usage.output_tokens
    tokens = counted_tokens(charging, entering, leaving, ask.max_output_tokens)
    _, of_tokens, of_input, of_output, of_day = taken(charging, ask)
    return Costs(0, tokens - of_tokens, entering - of_input, leaving - of_output, tokens - of_day)
