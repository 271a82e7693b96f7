"""What of a call a provider's limits of tokens count.

As the providers document it (facts as of November 2026): OpenAI takes the larger of the input and
the bound on the output, for good: only our estimate of the input is corrected there. Anthropic takes
the input, cached reads apart, and the output that was really produced. Gemini takes the input only.
Mistral and the servers that speak OpenAI's protocol take the real total.
"""

from enum import Enum

from jobs.configuration import Charges, ProtocolName, Provider


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
            return Charging.UP_FRONT if provider.is_openais_own else Charging.TOTAL
        case ProtocolName.ANTHROPIC:
            return Charging.UNCACHED
        case ProtocolName.GEMINI:
            return Charging.INPUT
        case ProtocolName.MISTRAL:
            return Charging.TOTAL


def counted_tokens(charging: Charging, entering: int, leaving: int, bound: int) -> int:
    """Return what counts against tokens per minute (and per day)."""
    if charging is Charging.UP_FRONT:
        return max(entering, bound)
    return entering if charging is Charging.INPUT else entering + leaving
