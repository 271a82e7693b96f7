"""Texts that stand where a translation should: the source's own, that of another text, or one text twice.

Small models do this, and the language of the whole doesn't show it: of Gemma 3 270M's translations of
the Universal Declaration of Human Rights one had its second paragraph left in English, and two said the
first one twice. Of 65,814 translations by people, Django 5.2's into 100 languages, three are refused here,
and each of them has a sentence that was left in English.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

from jobs.kinds.kind import Bad, Remedy
from jobs.kinds.translation.languages import (
    ENOUGH_LETTERS,
    base_of,
    detect,
    foreign,
    is_prose,
    letter_count,
    same_language,
)
from jobs.kinds.translation.splitting import sentences

LEFT_OVER = 0.2
"""Of the letters, in sentences or lines that are still in the source's language: fewer may be titles."""

SHOWN_CHARACTERS = 60
"""Of what a message names."""

ALIKE = 0.8
"""Two sentences so similar may well have the same translation."""

_NUMBERING = re.compile(r"^[\W\d_]+")


def left_over(source: str, answer: str, target: str, source_language: str | None) -> Bad | None:
    """Return what of an answer is still in the language of the source, if it is much of it."""
    if source_language is not None:
        if same_language(source_language, target):
            return None
        if answer.split() == source.split() and is_prose(source):
            return Bad("wrong_language", "the answer is the source text, untranslated")
    copied = [*_copied(source, answer, base_of(source_language or "en"))]
    lines = [line for line in answer.splitlines() if _tells(line)] if "\n" in answer else []
    if not copied and not lines:
        return None
    language = source_language or detect(source)
    if language is None or same_language(language, target):
        return None
    # A quotation in a third language stays as it is.
    kept = [text for text in copied if foreign(text, language) is None and foreign(text, target)]
    if _is_much(kept, source):
        return _untranslated(kept)
    own = [line for line in lines if same_language(foreign(line, target) or target, language)]
    return _untranslated(own) if _is_much(own, answer) else None


def _copied(source: str, answer: str, language: str) -> Iterator[str]:
    """Yield the sentences of the source, long enough to tell their language, that the answer has too."""
    whole = " ".join(answer.split())
    for sentence in _sentences(source, language):
        if sentence in whole and _tells(sentence):
            yield sentence


def _sentences(text: str, language: str) -> Iterator[str]:
    for line in text.splitlines():
        for sentence in sentences(line, language):
            yield " ".join(sentence.split())


def _tells(text: str) -> bool:
    return letter_count(text) >= ENOUGH_LETTERS and is_prose(text)


def _is_much(texts: Sequence[str], whole: str) -> bool:
    return bool(texts) and sum(map(letter_count, texts)) >= LEFT_OVER * letter_count(whole)


def _untranslated(texts: Sequence[str]) -> Bad:
    shown = texts[0][:SHOWN_CHARACTERS]
    return Bad("wrong_language", f"a part of the text is left untranslated: `{shown}`")


def repeated(shown: str, answer: str, before: Sequence[tuple[str, str]]) -> Bad | None:
    """Return what is wrong with an answer that is the translation of another text, shown before it."""
    for text, translation in before:
        if (
            answer.strip() == translation.strip()
            and shown.strip() != text.strip()
            and is_prose(answer)
        ):
            return Bad(
                "degenerate_output", "the answer repeats a translation that was shown", Remedy.ASK
            )
    return None


def said_twice(source: str, answer: str, target: str) -> Bad | None:
    """Return what is wrong with an answer that says one thing for two of the source that are not alike."""
    said = [_bare(sentence) for sentence in _sentences(answer, base_of(target))]
    twice = next((one for one, other in pairwise(filter(None, said)) if one == other), "")
    if not _tells(twice):
        return None
    had = [_bare(sentence) for sentence in _sentences(source, "en")]
    for one, other in pairwise(filter(None, had)):
        if SequenceMatcher(None, one, other).ratio() >= ALIKE:
            return None
    shown = twice[:SHOWN_CHARACTERS]
    return Bad("degenerate_output", f"the answer says twice: `{shown}`", Remedy.ASK)


def _bare(sentence: str) -> str:
    """Return a sentence without the number that it may begin with; nothing of a number alone."""
    return _NUMBERING.sub("", sentence.strip())
