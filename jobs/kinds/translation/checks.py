"""Whether an answer is the translation that was asked for, and what can be put right without asking.

Each piece of a text is put right and checked by itself; whether it is in the right language, whole and
with its terms, is asked of a part, which may hold many pieces of a JSON value.

Measured on 29,316 translations by people, Django's into 40 languages: 0.17 % are refused, and nearly all
of those really lack something or were left in English. Of 12,000 of them with something done to them,
found were: every lost placeholder, every changed number and every loop; 99.7 % of those cut to a tenth;
and of those in another language, with as many letters as 40 and more, 97 %, and 61 % of the untranslated
ones with 20 to 40. 120 us for a text of 100 characters.
"""

from collections.abc import Sequence
from typing import NamedTuple

from jobs.kinds.answers import loop, looping, repetition
from jobs.kinds.kind import Bad, Good, Remedy, Verdict
from jobs.kinds.translation.copies import left_over
from jobs.kinds.translation.figures import lost_numbers
from jobs.kinds.translation.glossary import Term, missing
from jobs.kinds.translation.languages import foreign, is_prose, letter_count, name_of
from jobs.kinds.translation.line import TranslationLine
from jobs.kinds.translation.protection import Protected, restore, words_of
from jobs.kinds.translation.scripts import in_another_script
from jobs.kinds.translation.structure import shaped
from jobs.kinds.translation.tidying import tidied

NAMED_FAULTS = 8
"""Of things lost or invented that a message names."""

NAME_CHARACTERS = 60

SHORTEST = ((160, 0.4), (80, 0.3), (40, 0.2))
"""From how many letters of a source on a translation has at least which share of them.

From English to 40 languages people's have 0.64 (Hindi) to 1.55 (Japanese) in the median, a sign counted
as three letters. The shortest whole one has 0.59 from 160 letters on, 0.39 from 80 and 0.22 from 40."""

LONGEST = 5.0
"""The longest of those has 3.1."""

MOST_REPETITION = 0.85
"""Far above prose, and above what its source has."""


class Piece(NamedTuple):
    """A piece of the text as the model sees it, with what is hidden from it."""

    shown: str
    protected: Protected
    form: str


class Checked(NamedTuple):
    """A piece's translation, what was put right in it, and what is still wrong with it.

    `words` is the translation without what was hidden, as language and terms are judged by.
    """

    text: str
    words: str
    mended: tuple[str, ...]
    faults: tuple[Bad, ...]


def check_piece(piece: Piece, answer: str) -> Checked:
    """Return the translation of a piece as the user is to have it, or why it can't be."""
    bare, tidied_mend = tidied(answer, piece.shown)
    shape = shaped(piece.shown, bare, piece.form)
    restored = restore(shape.text, piece.shown, piece.protected)
    faults = []
    if restored.lost or restored.invented:
        named = [*_named("is missing", restored.lost), *_named("was invented", restored.invented)]
        faults.append(Bad("lost_placeholder", _listed(named)))
    words = words_of(shape.text)
    if lost := lost_numbers(words_of(piece.shown), words):
        faults.append(
            Bad("lost_placeholder", _listed([f"the number {number} is missing" for number in lost]))
        )
    if shape.fault is not None:
        faults.append(Bad("lost_line", shape.fault))
    mended = (tidied_mend, shape.mended, restored.mended)
    return Checked(restored.text, words, tuple(filter(None, mended)), tuple(faults))


def check_whole(source: str, answer: str, target: str, source_language: str | None) -> Bad | None:
    """Return why a part's answer is no translation at all; both are texts without tokens."""
    if (bad := looping(answer)) is not None and loop(source) is None:
        return bad
    if repetition(answer) > max(MOST_REPETITION, repetition(source) + 0.1):
        return Bad("degenerate_output", "the answer says the same over and over", Remedy.ASK)
    had, has = letter_count(source), letter_count(answer)
    shortest = next((share for letters, share in SHORTEST if had >= letters), None)
    if shortest is not None and not shortest * had <= has <= LONGEST * had:
        return Bad(
            "degenerate_output",
            f"the answer has {has:,} letters for the source's {had:,}",
            Remedy.ASK,
        )
    if (bad := _in_another_language(answer, target)) is not None:
        return bad
    if in_another_script(answer, target) and is_prose(answer):
        return Bad(
            "wrong_language",
            f"the answer is in another script than that of {name_of(target) or target}",
        )
    if (bad := left_over(source, answer, target, source_language)) is not None:
        return bad
    return _in_another_language(answer, target, source_language)


def _in_another_language(
    answer: str, target: str, source_language: str | None = None
) -> Bad | None:
    found = foreign(answer, target, source_language)
    if found is None or not is_prose(answer):
        return None
    return Bad(
        "wrong_language",
        f"the answer is in {name_of(found) or found}, expected {name_of(target) or target}",
    )


def check_terms(terms: Sequence[Term], answer: str) -> Bad | None:
    """Return which terms of the glossary a translation lacks."""
    lost = missing(terms, answer)
    if not lost:
        return None
    named = [f"`{term.source}` must become `{term.target}`" for term in lost]
    return Bad("glossary_term_missing", _listed(named))


def verdict(
    line: TranslationLine, source: str, pieces: Sequence[Checked], terms: Sequence[Term], good: Good
) -> Verdict:
    """Return `good`, or what is wrong with the part: every fault at once, under the first one's code.

    Args:
        line: what was asked for.
        source: the part's text, without what was hidden.
        pieces: the part's pieces, checked.
        terms: those of the glossary that the source has.
        good: the output, if nothing is wrong; `mended` is added to.
    """
    answer = "\n".join(piece.words for piece in pieces)
    if (bad := check_whole(source, answer, line.target or "", line.source)) is not None:
        return bad
    lost_terms = check_terms(terms, answer)
    faults = [fault for piece in pieces for fault in piece.faults]
    if faults := [*faults, *([lost_terms] if lost_terms else [])]:
        messages = dict.fromkeys(fault.message for fault in faults)
        return Bad(faults[0].code, "; ".join([*messages][:NAMED_FAULTS]), faults[0].remedy)
    mended = dict.fromkeys(filter(None, (good.mended, *(m for p in pieces for m in p.mended))))
    return Good(good.output, "; ".join(mended) or None)


def _named(what: str, things: Sequence[str]) -> list[str]:
    return [f"`{thing[:NAME_CHARACTERS]}` {what}" for thing in things]


def _listed(named: Sequence[str]) -> str:
    shown = ", ".join(named[:NAMED_FAULTS])
    rest = len(named) - NAMED_FAULTS
    return f"{shown} and {rest:,} more" if rest > 0 else shown
