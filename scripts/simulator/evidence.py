"""Evidence of the simulated model: for each thing that it found, words of the text that it read."""

from typing import Any

QUOTE_CHARACTERS = 60

Quotes = list[dict[str, str]]


def has_evidence(document: Any) -> bool:
    """Whether a document is a value with the evidence for it."""
    return isinstance(document, dict) and document.keys() == {"value", "evidence"}


def quotes_of(value: Any, text: str) -> Quotes:
    """Return a quote for each property of `value`, of one that is a list for each item of it.

    What is quoted is the beginning of the longest line, for want of a better reason.
    """
    quote = max(text.splitlines(), key=len, default="").strip()[:QUOTE_CHARACTERS].strip()
    return [{"path": path, "quote": quote} for path in _paths(value)]


def _paths(value: Any) -> list[str]:
    found = []
    for name, inner in value.items() if isinstance(value, dict) else ():
        if isinstance(inner, list):
            found += [f"/{name}/{index}" for index in range(len(inner))]
        elif inner is not None:
            found.append(f"/{name}")
    return found
