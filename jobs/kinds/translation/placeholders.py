"""What a program will fill in or act on: it must stand in the translation as it stands in the source.

A model sees these as they are, since `{count} files` tells it what it is about, and they are counted
afterwards. What would only be in its way is hidden from it, see `protection`.
"""

import re
from collections import Counter
from collections.abc import Iterator

_BRACES = r"\{\{[^{}\n]{0,200}\}\}|\$\{[^{}\n]{1,200}\}|\{ ?[\w.\-\[\]!:@#$%]{0,100} ?\}"
_PERCENT = (
    r"%%|%\(\w{1,100}\)[-+0#]{0,3}\d{0,4}(?:\.\d{1,4})?[a-zA-Z]|%[A-Za-z_]\w{1,60}%(?!\w)"
    r"|%(?:\d{1,2}\$)?(?:(?<!\d%)[-+0#]{1,3})?\d{0,4}(?:\.\d{1,4})?(?:hh?|ll?|[Lqjzt])?[sdiufFeEgGxXoc@](?![A-Za-z])"
)
_DOLLAR = r"\$[A-Za-z_]\w{0,100}"
_TAG = r"</?[A-Za-z][\w:.-]{0,60}\s?/?>"

_PLACEHOLDER = re.compile(rf"{_BRACES}|{_PERCENT}|(?<!\w){_DOLLAR}|{_TAG}")

_ICU_ARGUMENT = re.compile(r"\{\s{0,3}(\w{1,100})\s{0,3}(?:,\s{0,3}(\w{1,20})\s{0,3}(,?))?")
_ICU_CHOICE = re.compile(
    r"\{\s{0,3}\w{1,100}\s{0,3},\s{0,3}(?:plural|select|selectordinal)\s{0,3},"
)
_BRACE = re.compile(r"[{}]")


def placeholders(text: str) -> Counter[str]:
    """Return how often each placeholder and each bare tag stands in `text`, in linear time.

    Of an ICU message with a choice, the names of the branches and their number are the language's
    matter (Russian has more plurals than English): its arguments are returned, each once.
    """
    if _ICU_CHOICE.search(text):
        return Counter({*_icu_arguments(text), *_found(text, but="{")})
    return Counter(_found(text))


def unlike(source: Counter[str], answer: Counter[str]) -> tuple[list[str], list[str]]:
    """Return what is lost and what is invented, in the order of the source and of the answer."""
    return [*(source - answer).elements()], [*(answer - source).elements()]


def renamed(text: str, lost: list[str], invented: list[str]) -> str | None:
    """Return `text` with its one translated placeholder put right, such as `{nom}` for `{name}`.

    Only where it is certain: one is lost, one of the same form is invented, and it stands there once.
    """
    if len(lost) != 1 or len(invented) != 1:
        return None
    (was,), (now,) = lost, invented
    if _form(was) is None or _form(was) != _form(now) or text.count(now) != 1:
        return None
    return text.replace(now, was)


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Return where placeholders stand: a long text isn't cut inside one."""
    return (found.span() for found in _PLACEHOLDER.finditer(text))


def _found(text: str, but: str = "\n") -> Iterator[str]:
    for found in _PLACEHOLDER.finditer(text):
        if not found[0].startswith(but):
            yield re.sub(r"\s", "", found[0])


def _icu_arguments(text: str) -> Iterator[str]:
    """Yield the arguments of a message; the braces within a choice open its branches."""
    in_choice = [False]
    for brace in _BRACE.finditer(text):
        if brace[0] == "}":
            if len(in_choice) > 1:
                in_choice.pop()
        elif in_choice[-1] or (argument := _ICU_ARGUMENT.match(text, brace.start())) is None:
            in_choice.append(False)
        else:
            name, kind, has_more = argument.groups()
            yield f"{{{name}, {kind}}}" if kind else f"{{{name}}}"
            in_choice.append(bool(has_more) and kind in {"plural", "select", "selectordinal"})


def _form(placeholder: str) -> str | None:
    """Return how a placeholder with a name is written; None of one without."""
    form, count = re.subn(r"[^\W\d]\w*", "x", placeholder, count=1)
    return form if (count and "{" in form) or "%(" in form else None
