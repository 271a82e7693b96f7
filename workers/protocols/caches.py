"""What is known of the providers' prompt caches: what they hold, for how long, and whether it is asked for.

Facts as of November 2026. Anthropic writes what a request marks (at 1.25 times the price of input) and
nothing else; a mark on less than the model's minimum is ignored. That is 1,024 tokens or more, by model,
so what a model really takes is learned from its answers. The others write by themselves: OpenAI from
1,024 tokens, Gemini from 2,048, with its third generation from 4,096; Mistral doesn't say.

An entry can be read only once the answer to the call that writes it has begun.
"""

import re
from typing import NamedTuple

from jobs.configuration import ProtocolName

_GEMINI_2 = re.compile(r"gemini-[12](?!\d)", re.ASCII)


class CacheRules(NamedTuple):
    """A model's prompt cache. `kept_s` counts from an entry's last use."""

    fewest_tokens: int
    kept_s: float
    is_asked_for: bool


KEPT_S = 300.0
"""Anthropic's figure. The others don't promise any; a call alone in vain costs nothing but its time."""


def cache_rules(protocol: ProtocolName, model: str) -> CacheRules:
    """Return what is known of the cache of a model behind such an interface."""
    match protocol:
        case ProtocolName.ANTHROPIC:
            return CacheRules(1024, KEPT_S, is_asked_for=True)
        case ProtocolName.GEMINI:
            fewest = 2048 if _GEMINI_2.search(model) else 4096
            return CacheRules(fewest, KEPT_S, is_asked_for=False)
        case ProtocolName.OPENAI | ProtocolName.MISTRAL:
            return CacheRules(1024, KEPT_S, is_asked_for=False)
