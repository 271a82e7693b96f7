"""Cutting a long text into parts that fit a model: at paragraphs, lines, sentences, words, graphemes.

The pieces joined are the text, byte for byte. Sentences are found by sentencex, which knows the
abbreviations of some 300 languages and loses no character, and which is quadratic in the length of a
paragraph (2 MB in one took it 76 s), so that it is shown windows. Measured on one core: Italian
prose 38 MB/s, as a single paragraph 5.4 MB/s; the worst that was thought of, "a. a. a.", 0.3 MB/s.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import regex
import sentencex  # type: ignore[import-untyped] # its stub has no marker

from jobs.kinds.translation.placeholders import spans
from jobs.kinds.translation.protection import token_spans
from jobs.tokens import estimate_tokens

WINDOW_CHARACTERS = 1_000
"""Of a paragraph that the sentence splitter reads at a time; a longer sentence is cut at a word."""

_PARAGRAPH = re.compile(r"(?:[^\n]*\S[^\n]*(?:\n|\Z))+|(?:[^\S\n]*\n)+|[^\S\n]+\Z")
_WORD = re.compile(r"\S+\s*|\s+")
_GRAPHEMES = regex.compile(r"(?:[!-~](?=[!-~]|\Z)){1,16}|\X")

_SENTENCE_LEVEL = 2
"""Of the cuts: paragraphs, lines, sentences; what is cut further is one sentence or less."""

_Unit = tuple[str, int, bool]
"""A text, its tokens, and whether a part begins with it: with a sentence that fills more than one."""


def split(text: str, part_tokens: int, language: str) -> list[str]:
    """Return the pieces of `text`, each with something other than blanks in it, as long as they may be.

    None is longer than `part_tokens` but one that is a single grapheme, token or placeholder. A blank
    text is one piece.
    """
    if estimate_tokens(text) <= part_tokens:
        return [text]
    cuts = [_paragraphs, _lines, _sentences(language), _words, _letters]
    units = _small(text, part_tokens, cuts)
    pieces: list[str] = []
    for piece in _packed(units, part_tokens):
        if pieces and not (piece.strip() and pieces[-1].strip()):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return pieces


def framed(piece: str) -> tuple[str, str, str]:
    """Return the blanks before a piece, what is to be translated, and the blanks after it."""
    core = piece.strip()
    start = piece.index(core)
    return piece[:start], core, piece[start + len(core) :]


def last_sentences(text: str, count: int, max_characters: int, language: str) -> str:
    """Return the end of a text: at most so many whole sentences and characters."""
    end = text[-2 * max_characters :].strip()
    sentences = [*_sentences(language)(end)]
    kept = ""
    for sentence in reversed(sentences[-count:]):
        if len(sentence) + len(kept) > max_characters:
            break
        kept = sentence + kept
    return kept.strip()


def sentences(text: str, language: str) -> Iterator[str]:
    """Yield the sentences of a text, each with the blanks after it; joined they are the text."""
    return _sentences(language)(text)


_Cut = Callable[[str], Iterator[str]]


def _small(text: str, part_tokens: int, cuts: Sequence[_Cut], level: int = 0) -> Iterator[_Unit]:
    """Yield the text with its tokens, or in smaller units if it is too long."""
    tokens = estimate_tokens(text)
    if tokens <= part_tokens or level == len(cuts) or not text.strip():  # blanks are never sent
        yield text, tokens, False
        return
    begins = level == _SENTENCE_LEVEL + 1
    for smaller in cuts[level](text):
        for unit, unit_tokens, unit_begins in _small(smaller, part_tokens, cuts, level + 1):
            yield unit, unit_tokens, begins or unit_begins
            begins = False


def _packed(units: Iterator[_Unit], part_tokens: int) -> Iterator[str]:
    """Join neighbours as long as they fit; linear, since a sum of estimates is seldom far too high."""
    packed: list[str] = []
    tokens = 0
    for text, own_tokens, begins in units:
        if packed and tokens + own_tokens > part_tokens and not begins:
            # Each estimate was rounded up: the truth may leave room.
            packed = ["".join(packed)]
            tokens = estimate_tokens(packed[0])
        if packed and (begins or tokens + own_tokens > part_tokens):
            yield "".join(packed)
            packed, tokens = [], 0
        packed.append(text)
        tokens += own_tokens
    if packed:
        yield "".join(packed)


def _paragraphs(text: str) -> Iterator[str]:
    return (found[0] for found in _PARAGRAPH.finditer(text))


def _lines(text: str) -> Iterator[str]:
    return iter(text.splitlines(keepends=True))


def _sentences(language: str) -> _Cut:
    def cut(text: str) -> Iterator[str]:
        atoms = _Atoms(text)
        start = 0
        for border in chain(_borders(text, language), [len(text)]):
            if border > start and not atoms.hold(border):
                yield text[start:border]
                start = border

    return cut


def _borders(text: str, language: str) -> Iterator[int]:
    """Yield where sentences end, in order; where a window ends, its last sentence is read once more."""
    start = 0
    while start < len(text):
        window = text[start : start + WINDOW_CHARACTERS]
        is_last = start + len(window) == len(text)
        ends = [found["end_index"] for found in sentencex.get_sentence_boundaries(language, window)]
        if not is_last:
            ends = ends[:-1] or [window.rfind(" ") + 1 or len(window)]
        for end in ends:
            yield start + end
        start += ends[-1] if ends else len(window)


def _words(text: str) -> Iterator[str]:
    atoms = _Atoms(text)
    start = 0
    for found in _WORD.finditer(text):
        if not atoms.hold(found.end()):
            yield text[start : found.end()]
            start = found.end()
    if start < len(text):
        yield text[start:]


def _letters(text: str) -> Iterator[str]:
    end = 0
    for start, stop in chain(_Atoms(text), [(len(text), len(text))]):
        if start < end:
            continue
        yield from (found[0] for found in _GRAPHEMES.finditer(text, end, start))
        if stop > start:
            yield text[start:stop]
        end = stop


class _Atoms:
    """What is never cut, in order; asked for positions in rising order, it is read once."""

    def __init__(self, text: str) -> None:
        self._spans = sorted([*token_spans(text), *spans(text)])
        self._next = 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._spans)

    def hold(self, position: int) -> bool:
        """Return whether the position is inside one."""
        while self._next < len(self._spans) and self._spans[self._next][1] <= position:
            self._next += 1
        return self._next < len(self._spans) and self._spans[self._next][0] < position
