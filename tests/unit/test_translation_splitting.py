"""Long texts are cut into parts without the loss of a character."""

import time

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.kinds.translation.placeholders import spans
from jobs.kinds.translation.protection import protect, token_spans
from jobs.kinds.translation.splitting import framed, last_sentences, split
from jobs.tokens import estimate_tokens

WORDS = ["Dr. Smith came. ", "word", "a" * 40, "水の上。", "!?", "e\u0301", "👨‍👩‍👧", "🇩🇪"]
BLANKS = [" ", "\n", "\n\n", "\r\n", "\t", "\u2028", "\x0c"]
WHOLE = ["{name}", "{{ user }}", "<x7/>", "%(count)d", '<a id="3">', "<b>", "</b>"]
PIECES = st.sampled_from([*WORDS, *BLANKS, *WHOLE])
TEXTS = st.one_of(st.text(max_size=400), st.lists(PIECES, max_size=120).map("".join))


def borders(pieces: list[str]) -> list[int]:
    found, place = [], 0
    for piece in pieces[:-1]:
        place += len(piece)
        found.append(place)
    return found


@given(TEXTS, st.integers(16, 60), st.sampled_from(["en", "ja", "th", "xx"]))
@example("\n" * 300, 16, "en")
@example("", 16, "en")
def test_no_character_is_lost_and_every_part_fits(
    text: str, part_tokens: int, language: str
) -> None:
    pieces = split(text, part_tokens, language)
    assert "".join(pieces) == text
    whole = [*token_spans(text), *spans(text)]
    for piece in pieces:
        before, core, after = framed(piece)
        assert before + core + after == piece
        assert core or len(pieces) == 1
        if estimate_tokens(core) > part_tokens:
            # One grapheme, or one thing that must stay whole.
            assert (
                len(regex.findall(r"\X", core)) == 1 or len([*token_spans(core), *spans(core)]) >= 1
            )
    for border in borders(pieces):
        assert not any(start < border < stop for start, stop in whole)


@given(st.text(max_size=300), st.integers(16, 40))
def test_what_was_hidden_comes_back_from_any_parts(text: str, part_tokens: int) -> None:
    protected = protect(text, "plain")
    pieces = split(protected.text, part_tokens, "en")
    assert protected.original("".join(pieces)) == text


def test_paragraphs_are_kept_together_and_then_sentences() -> None:
    first = "The first paragraph has two sentences. This is Dr. Smith's second one.\n\n"
    second = "The second is shorter, and has one."
    assert split(first + second, 24, "en") == [first, second]
    assert split(first + second, 12, "en") == [
        "The first paragraph has two sentences. ",
        "This is Dr. Smith's second one.\n\n",
        second,
    ]


def test_a_long_sentence_is_cut_at_spaces_and_a_long_word_anywhere() -> None:
    sentence = "one two three four five six seven eight nine ten " * 20
    assert all(piece.endswith(" ") for piece in split(sentence, 16, "en"))
    word = "e\u0301" * 300
    pieces = split(word, 16, "en")
    assert len(pieces) > 5
    assert all(piece.startswith("e") and piece.endswith("\u0301") for piece in pieces)


def test_parts_are_nearly_as_long_as_they_may_be() -> None:
    text = "This sentence has some seven words in it. " * 400
    pieces = split(text, 200, "en")
    assert len(pieces) <= estimate_tokens(text) / 200 * 1.2


HOSTILE = [
    "a",
    ".",
    "a. ",
    '"',
    "(",
    "\n",
    "。",
    "水",
    " x",
    "Dr. ",
    "a\u0301",
    "{a}",
    "<x1/>",
    "\r\n",
    "🇩",
    '"Oh. ',
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_text_takes_time_in_proportion_to_its_length(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    began = time.process_time()
    pieces = split(text, 500, "en")
    assert time.process_time() - began < 3  # 0.01 to 0.4 s of a core, whatever else it does
    assert "".join(pieces) == text


def test_the_last_sentences_are_whole() -> None:
    text = "One came. Two went to Dr. Smith. Three stayed. "
    assert last_sentences(text, 2, 400, "en") == "Two went to Dr. Smith. Three stayed."
    assert last_sentences(text, 2, 20, "en") == "Three stayed."
    assert last_sentences("word " * 500, 2, 100, "en") == ""
