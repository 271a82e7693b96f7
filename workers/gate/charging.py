"""What a call costs in each dimension of a quota, before it leaves and once its usage is known.

As the providers document it (facts as of November 2026): OpenAI takes the larger of the input and
the bound on the output, for good: only our estimate of the input is corrected there. Anthropic takes
the input, cached reads apart, and the output that was really produced. Gemini takes the input only.
Mistral and the servers that speak OpenAI's protocol take the real total.
"""

from enum import Enum
from typing import NamedTuple
from urllib.parse import urlsplit

from jobs.configuration import Charges, ProtocolName, Provider
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


class Charging(Enum):
    """Who counts tokens per minute how."""

    UP_FRONT = "the larger of input and bound, for good"
    UNCACHED = "input without cached reads, and the real output"
    INPUT = "input only"
    TOTAL = "input and real output"


CONFIGURED = {
    Charges.MAX_OUTPUT: Charging.UP_FRONT,
    Charges.REAL: Charging.TOTAL,
    Charges.INPUT: Charging.INPUT,
}


def charging_of(provider: Provider) -> Charging:
    """Return how a provider counts: as configured, else as its protocol does.

    Of those that speak OpenAI's protocol only OpenAI's own hosts charge up front.
    """
    if provider.charges is not None:
        return CONFIGURED[provider.charges]
    match provider.protocol:
        case ProtocolName.OPENAI:
            host = urlsplit(provider.base_url).hostname or ""
            is_openai = f".{host}".endswith(".openai.com")
            return Charging.UP_FRONT if is_openai else Charging.TOTAL
        case ProtocolName.ANTHROPIC:
            return Charging.UNCACHED
        case ProtocolName.GEMINI:
            return Charging.INPUT
        case ProtocolName.MISTRAL:
            return Charging.TOTAL


def taken(charging: Charging, ask: Ask) -> Costs:
    """Return what is reserved for a call before it leaves. Negative counts are read as zero."""
    entering, leaving = max(ask.input_tokens, 0), max(ask.output_tokens, 0)
    tokens = _tokens(charging, entering, leaving, ask.max_output_tokens)
    return Costs(1, tokens, entering, leaving, tokens)


def correction(charging: Charging, ask: Ask, usage: Usage) -> Costs:
    """Return what an answered call really took, less what was reserved for it."""
    entering = usage.total_input_tokens
    if charging is Charging.UNCACHED:
        entering -= usage.cached_input_tokens
    leaving = usage.output_tokens
    tokens = _tokens(charging, entering, leaving, ask.max_output_tokens)
    _, of_tokens, of_input, of_output, of_day = taken(charging, ask)
    return Costs(0, tokens - of_tokens, entering - of_input, leaving - of_output, tokens - of_day)


def _tokens(charging: Charging, entering: int, leaving: int, bound: int) -> int:
    """Return what counts against tokens per minute (and per day)."""
    if charging is Charging.UP_FRONT:
        return max(entering, bound)
    return entering if charging is Charging.INPUT else entering + leaving
