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
"""Of the source's letters, in sentences that were left as they are: fewer may be titles and quotations."""

SHOWN_CHARACTERS = 60
"""Of a sentence that a message names."""

ALIKE = 0.8
"""Two lines so similar may well have the same translation."""

_NUMBERING = re.compile(r"^[\W\d_]+")


def left_over(source: str, answer: str, target: str, source_language: str | None) -> Bad | None:
    """Return which sentences of the source stand in the answer untranslated, if it is much of it."""
    if source_language is not None and same_language(source_language, target):
        return None
    if source_language is not None and answer.split() == source.split() and is_prose(source):
        return Bad("wrong_language", "the answer is the source text, untranslated")
    copied = [*_copied(source, answer, base_of(source_language or "en"))]
    if sum(map(letter_count, copied)) < LEFT_OVER * letter_count(source):
        return None
    language = source_language or detect(source)
    for sentence in copied:
        # A quotation in a third language stays as it is.
        is_source = language is not None and foreign(sentence, language) is None
        if is_source and foreign(sentence, target) is not None:
            shown = sentence[:SHOWN_CHARACTERS]
            return Bad("wrong_language", f"a part of the text is left untranslated: `{shown}`")
    return None


def _copied(source: str, answer: str, language: str) -> Iterator[str]:
    """Yield the sentences of the source, long enough to tell their language, that the answer has too."""
    whole = " ".join(answer.split())
    for line in source.splitlines():
        for cut in sentences(line, language):
            sentence = " ".join(cut.split())
            if (
                sentence in whole
                and letter_count(sentence) >= ENOUGH_LETTERS
                and is_prose(sentence)
            ):
                yield sentence


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


def said_twice(source: str, answer: str) -> Bad | None:
    """Return what is wrong with an answer that has one line for two neighbours that are not alike."""
    had, has = source.splitlines(), answer.splitlines()
    if len(had) != len(has):
        return None
    for (one, other), (first, second) in zip(pairwise(had), pairwise(has), strict=True):
        if (
            (said := _bare(first)) == _bare(second)
            and letter_count(said) >= ENOUGH_LETTERS
            and is_prose(said)
            and SequenceMatcher(None, _bare(one), _bare(other)).ratio() < ALIKE
        ):
            shown = said[:SHOWN_CHARACTERS]
            return Bad("degenerate_output", f"two lines became the same: `{shown}`", Remedy.ASK)
    return None


def _bare(line: str) -> str:
    """Return a line without the number that it may begin with."""
    return _NUMBERING.sub("", line.strip())
