"""Token counts as providers report them: believed only where they can be true.

A count that can't be true makes the whole usage unknown: then the reservation stays charged, which
is dear but safe, where a guess would be neither.
"""

from jobs.exchange import MAX_CREDIBLE_TOKENS, Usage


class NotCredibleError(ValueError):
    """A reported count can't be true."""


def required(count: object) -> int:
    """Return a count that must be there.

    Raises:
        NotCredibleError: absent, null, negative, absurdly large, or not a whole number.
    """
    # `type() is` because True is an int, and msgspec gives the very type.
    if type(count) is int and 0 <= count <= MAX_CREDIBLE_TOKENS:
        return count
    raise NotCredibleError


def optional(count: object) -> int:
    """Return a count that is left out, or null, where it is zero.

    Raises:
        NotCredibleError: there, but as no count can be.
    """
    return 0 if count is None else required(count)


def part(usage: dict[str, object], name: str) -> dict[str, object]:
    """Return an object within the usage, empty where it is absent, null or something else."""
    value = usage.get(name)
    return value if isinstance(value, dict) else {}


def disjoint(
    taken: int, output: int, *, total: int, cached: int, written: int, reasoning: int
) -> Usage:
    """Return the usage where `taken` includes what was read from and written to the cache.

    Where the total exceeds the sum, as at Gemini's endpoint of OpenAI's format, which leaves thinking out
    of the output, the difference is output.
    """
    output = max(output, total - taken)
    return Usage(
        input_tokens=max(0, taken - cached - written),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=output,
        reasoning_tokens=min(reasoning, output),
    )
