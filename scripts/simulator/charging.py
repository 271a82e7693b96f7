"""What a call is charged, and when: it differs from provider to provider.

As documented in November 2026: OpenAI takes the larger of `max_tokens` and the input before the
call; Anthropic takes the input before and the real output after; Gemini takes the input before;
Mistral takes the real total after. A request that was refused is charged nothing, one that was lost
later is charged as if it had not been.
"""

from typing import NamedTuple

from scripts.simulator.calls import Call


class Charge(NamedTuple):
    """Tokens that a call takes from each kind of bucket; a day's tokens are charged as `tpm`."""

    tpm: int = 0
    itpm: int = 0
    otpm: int = 0


def charge_before(protocol: str, call: Call, cached_tokens: int = 0) -> Charge:
    """Return what is taken when the call is admitted; Anthropic lets what is cached go free."""
    tokens = call.input_tokens
    match protocol:
        case "anthropic":
            return Charge(tokens - cached_tokens, tokens - cached_tokens)
        case "openai":
            return Charge(max(call.max_tokens or 0, tokens), tokens)
        case "mistral":
            return Charge(0, tokens)
        case _:
            return Charge(tokens, tokens)


def charge_after(protocol: str, input_tokens: int, output_tokens: int) -> Charge:
    """Return what is taken when the call has ended, in addition."""
    match protocol:
        case "anthropic":
            return Charge(output_tokens, 0, output_tokens)
        case "mistral":
            return Charge(input_tokens + output_tokens, 0, output_tokens)
        case _:
            return Charge(0, 0, output_tokens)
