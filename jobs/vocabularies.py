"""How much more tokens a model's own vocabulary makes of a text than the one that we estimate by."""

import re
from functools import lru_cache

KNOWN_MODELS = 1024
"""Names whose ratio is kept; a fleet uses a few."""

_START_RATIOS = (
    (re.compile(r"mistral|ministral|mixtral|codestral|magistral|devstral|pixtral"), 1.08),
)
_CLAUDE = re.compile(r"claude-(?:[a-z]+-)*(\d{1,2})(?:[-.](\d{1,2}))?(?!\d)", re.ASCII)
_NEW_VOCABULARY = (4, 7)
"""The Claude from which on the same text is some 30 % more tokens."""


@lru_cache(maxsize=KNOWN_MODELS)
def start_ratio(model: str) -> float:
    """Return real input over estimated input before anything is known: a guess by the name."""
    name = model.lower()
    if "claude" in name:
        found = _CLAUDE.search(name)
        if found is not None and (int(found[1]), int(found[2] or 0)) < _NEW_VOCABULARY:
            return 1.1
        return 1.4
    return next((ratio for pattern, ratio in _START_RATIOS if pattern.search(name)), 1.0)
