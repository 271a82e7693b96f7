"""What models put around a translation, taken off where it is certain that the source has no such thing."""

import re
from typing import NamedTuple

_PREAMBLE = re.compile(
    r"\s*(?:(?:sure|certainly|of course|okay|ok)[,!.:]?\s.{0,80}|(?:here|below)(?:'s|’s| is| are)\b.{0,100}"
    r"|[^\n]{0,60}(?:translat|traduc|traduz|tradu[cç]|übersetz|vertal|переклад|перевод|翻译|翻訳|번역)[^\n]{0,60})"
    r"[:：]\s*",
    re.IGNORECASE,
)
_LONGEST_LINE = 160
_FENCE = "```"
_FENCE_NAME = re.compile(r"[\w-]{0,20}")
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»", "「": "」", "『": "』"}
_TAGS = ("translation", "text", "target", "output")
_MOST = 3
"""Things around one another: a preamble, then a fence, then quotation marks."""


class Tidied(NamedTuple):
    """An answer without what was around it, and what that was."""

    text: str
    mended: str | None


def tidied(answer: str, source: str) -> Tidied:
    """Return the answer by itself, in linear time."""
    text, removed = answer.strip(), []
    for _ in range(_MOST):
        for name, strip in (
            ("an introduction", _without_preamble),
            ("a fence", _without_fence),
            ("tags", _without_tags),
            ("quotation marks", _without_quotes),
        ):
            rest = strip(text, source)
            if rest is not None and rest.strip():
                text = rest.strip()
                removed.append(name)
                break
        else:
            break
    return Tidied(text, f"{' and '.join(removed)} around the translation" if removed else None)


def _without_preamble(text: str, source: str) -> str | None:
    """An introduction is a line of its own that ends in a colon, where the source's first doesn't."""
    first, line_end, rest = text.partition("\n")
    if not line_end or _PREAMBLE.fullmatch(first[:_LONGEST_LINE]) is None:
        return None
    is_sources_own = source.lstrip().partition("\n")[0].rstrip().endswith((":", "："))
    return None if is_sources_own or len(first) > _LONGEST_LINE else rest


def _without_fence(text: str, source: str) -> str | None:
    first, line_end, rest = text.partition("\n")
    if not line_end or not first.startswith(_FENCE) or not rest.endswith(_FENCE):
        return None
    if _FENCE in source or _FENCE_NAME.fullmatch(first.removeprefix(_FENCE).strip()) is None:
        return None
    return rest.removesuffix(_FENCE)


def _without_tags(text: str, source: str) -> str | None:
    for tag in _TAGS:
        opening, closing = f"<{tag}>", f"</{tag}>"
        if text.startswith(opening) and text.endswith(closing) and opening not in source:
            return text[len(opening) : -len(closing)]
    return None


def _without_quotes(text: str, source: str) -> str | None:
    closing = _QUOTES.get(text[:1])
    if closing is None or len(text) < len("''") or not text.endswith(closing):
        return None
    bare = source.strip()
    if bare[:1] in _QUOTES or bare[-1:] in {*_QUOTES.values(), *_QUOTES}:
        return None
    inner = text[1:-1]
    # "Yes", he said, and left "at once" is no text in quotation marks.
    return None if text[0] in inner or closing in inner else inner
