"""A glossary: which of its terms a text has, and whether its translation has theirs."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import msgspec

from jobs.errors import SubmissionError

MAX_TERMS = 5_000
MAX_TERM_CHARACTERS = 200
MAX_GLOSSARY_BYTES = 1 << 20

KEPT_GLOSSARIES = 16
"""A batch has one or a few."""

SURE_LETTERS = 4
"""The beginning of a word that stays when it is inflected; a shorter word must be there as it is."""

INFLECTED_LETTERS = 3
"""At the end of a longer word that may change."""

_UNPARTED = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Scripts that don't part words: Thai, Lao, Burmese, Khmer, Chinese, Japanese."""

_WITHOUT_SPACES = re.compile(f"[{_UNPARTED}]")
_WORD = re.compile(rf"[^\W{_UNPARTED}]+")


class UnusableGlossary(SubmissionError):
    """The glossary can't be used."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Term(NamedTuple):
    """A term of the source language and what it must be in the target language."""

    source: str
    target: str


class Glossary:
    """The terms of one glossary, found by their first word in time linear in the text."""

    def __init__(self, terms: Iterable[Term]) -> None:
        self._by_first_word: dict[str, list[tuple[list[str], Term]]] = {}
        self._unparted: list[tuple[str, Term]] = []
        for term in sorted(terms, key=lambda term: -len(term.source)):
            folded = term.source.casefold()
            words = _WORD.findall(folded)
            if not words or _WITHOUT_SPACES.search(folded):
                self._unparted.append((folded, term))
            else:
                self._by_first_word.setdefault(words[0], []).append((words, term))

    def terms_in(self, text: str) -> list[Term]:
        """Return the terms that `text` has, as whole words in any case; of two in one place the longer."""
        found = dict.fromkeys(self._parted(text.casefold()))
        if self._unparted:
            left = text.casefold()
            for folded, term in self._unparted:
                if folded in left:
                    found[term] = None
                    left = left.replace(folded, "\n")
        return [*found]

    def _parted(self, folded: str) -> Iterator[Term]:
        if not self._by_first_word:
            return
        words = _WORD.findall(folded)
        place = 0
        while place < len(words):
            for wanted, term in self._by_first_word.get(words[place], ()):
                if words[place : place + len(wanted)] == wanted:
                    yield term
                    place += len(wanted) - 1
                    break
            place += 1


@lru_cache(maxsize=KEPT_GLOSSARIES)
def read_glossary(raw: bytes) -> Glossary:
    """Return the glossary of this JSON text, an object of texts by texts.

    Raises:
        UnusableGlossary: not such an object, too large, or with an empty term.
    """
    if len(raw) > MAX_GLOSSARY_BYTES:
        raise UnusableGlossary("out_of_range", f"has {len(raw):,} bytes; expected at most 1 MiB")
    try:
        terms = msgspec.json.decode(raw, type=dict[str, str])
    except msgspec.ValidationError as error:
        raise UnusableGlossary(
            "wrong_type", f"expected an object of texts by texts ({error})"
        ) from error
    except msgspec.DecodeError as error:
        raise UnusableGlossary("invalid_json", f"is not JSON ({error})") from error
    if len(terms) > MAX_TERMS:
        raise UnusableGlossary(
            "out_of_range", f"has {len(terms):,} terms; expected at most {MAX_TERMS:,}"
        )
    for one in (text for pair in terms.items() for text in pair):
        if not one.strip() or len(one) > MAX_TERM_CHARACTERS:
            raise UnusableGlossary(
                "out_of_range", f"expected terms of 1 to {MAX_TERM_CHARACTERS} characters"
            )
    return Glossary(Term(source.strip(), target.strip()) for source, target in terms.items())


def missing(terms: Iterable[Term], answer: str) -> list[Term]:
    """Return the terms whose translations `answer` doesn't have, inflected or not.

    A word of a term counts as there if its beginning is, anywhere in a word: German joins nouns.
    """
    folded = _folded(answer)
    return [term for term in terms if not all(stem in folded for stem in _stems(term.target))]


def _stems(target: str) -> Iterator[str]:
    folded = _folded(target)
    words = [] if _WITHOUT_SPACES.search(folded) else _WORD.findall(folded)
    for word in words or [folded]:
        yield word[: max(SURE_LETTERS, len(word) - INFLECTED_LETTERS)] if words else word


def _folded(text: str) -> str:
    """Return `text` in one case and without accents: a plural may add one, as in German."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))
