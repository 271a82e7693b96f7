"""Evidence: for what was extracted, the words of the text that say so.

A model that has to quote its source can be checked: the quote either occurs in the text or it doesn't.
White space and the shape of quotation marks and dashes don't count, as models change both.
"""

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from jobs.kinds.merge import units_of
from jobs.kinds.references import moved

MAX_QUOTES = 2_000
"""Of one answer that are looked for, each in the whole text. The schema does not say so: llama.cpp makes
no grammar for a list of more than a few hundred items."""

NAMED_UNITS = 10
"""That are named where the evidence is missing."""

_WORD = re.compile(r"\S+")
_ALIKE = str.maketrans("“”„‟«»‘’‚‛‐‑‒–—―", '""""""' + "''''" + "------")
"""Signs that are taken for one another, each for one."""

_INDEX = re.compile(r"\[(\d{1,9})\]")


def with_evidence(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an answer that holds a `value` of `schema` and the `evidence` for it."""
    quote = {
        "type": "object",
        "properties": {"path": {"type": "string"}, "quote": {"type": "string"}},
        "required": ["path", "quote"],
        "additionalProperties": False,
    }
    inner = dict(schema) if "$id" in schema else moved(dict(schema), "/properties/value")
    dialect = {"$schema": inner.pop("$schema")} if "$schema" in inner else {}
    return {
        **dialect,
        "type": "object",
        "properties": {
            "value": inner,
            "evidence": {"type": "array", "items": quote},
        },
        "required": ["value", "evidence"],
        "additionalProperties": False,
    }


@dataclass(frozen=True)
class Source:
    """A text in which quotes are looked for."""

    text: str

    def find(self, quote: str) -> tuple[int, int] | None:
        """Return where the quote first occurs, as the characters from and to; None if nowhere.

        In linear time: 13 us for a quote at the end of 30 KB that is there to the letter; the first
        that isn't takes 1 ms.
        """
        quote = quote.strip()
        if not quote:
            return None
        exact = self.text.find(quote)
        if exact >= 0:
            return exact, exact + len(quote)
        text, starts, ends = self._compact
        wanted = "".join(quote.split()).translate(_ALIKE)
        at = text.find(wanted)
        if at < 0:
            return None
        return self._place(at, starts, ends), self._place(at + len(wanted) - 1, starts, ends) + 1

    @staticmethod
    def _place(at: int, starts: list[int], ends: list[int]) -> int:
        word = bisect_right(ends, at)
        before = ends[word - 1] if word else 0
        return starts[word] + at - before

    @cached_property
    def _compact(self) -> tuple[str, list[int], list[int]]:
        """The text without white space; where its words start in the text, and end in this."""
        words = list(_WORD.finditer(self.text))
        compact = "".join([word.group() for word in words]).translate(_ALIKE)
        ends = list(accumulate(word.end() - word.start() for word in words))
        return compact, [word.start() for word in words], ends


def checked(
    value: Any, quotes: list[dict[str, str]], source: Source
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the evidence that holds, and the units of the value (`units_of`) that have none.

    Of those, the last quote that was given and does not occur in the text, empty if none was.

    The evidence is `{"path", "quote", "start", "end"}`: the unit's JSON Pointer, and the words of the
    text with their place in it. A quote for a part of a unit is one for the unit. Those after the
    first `MAX_QUOTES` don't count.
    """
    units = set(units_of(value))
    found: dict[tuple[str, int, int], dict[str, Any]] = {}
    wrong: dict[str, str] = {}
    for given in quotes[:MAX_QUOTES]:
        unit = _unit(given["path"], units)
        span = source.find(given["quote"]) if unit is not None else None
        if unit is None:
            continue
        if span is None:
            wrong[unit] = given["quote"]
            continue
        start, end = span
        quote = source.text[start:end]
        found[unit, start, end] = {"path": unit, "quote": quote, "start": start, "end": end}
    proven = {unit for unit, _, _ in found}
    missing = {unit: wrong.get(unit, "") for unit in units_of(value) if unit not in proven}
    return list(found.values()), missing


def _unit(path: str, units: set[str]) -> str | None:
    """Return the unit that a path leads to or into, however the model wrote it."""
    steps = path
    if not steps.startswith("/"):
        steps = "/" + _INDEX.sub(r".\1", steps.removeprefix("$")).strip(".").replace(".", "/")
    steps = steps.rstrip("/")
    for form in (steps, steps.removeprefix("/value")):
        parts = form.split("/")
        for length in (3, 2, 1):
            unit = "/".join(parts[:length])
            if len(parts) >= length and unit in units:
                return unit
    return None
