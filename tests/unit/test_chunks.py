"""Chunks of a long text: the whole of it, each of a bounded size, cut where a reader would pause."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kinds.chunks import chunks_of
from jobs.tokens import estimate_tokens

SENTENCES = [f"This is sentence number {number} of the text." for number in range(400)]


def test_a_short_text_is_one_chunk() -> None:
    (chunk,) = chunks_of("A tide mill.", 200, 20)
    assert (chunk.start, chunk.text) == (0, "A tide mill.")
    assert [chunk.text for chunk in chunks_of("", 200, 20)] == [""]


@pytest.mark.parametrize("join", [" ", "\n", "\n\n"])
def test_a_text_is_cut_between_sentences_and_overlaps_by_some(join: str) -> None:
    chunks = chunks_of(join.join(SENTENCES), 300, 30)
    assert len(chunks) > 10
    for chunk in chunks:
        assert chunk.text.startswith("This is")
        assert chunk.text.strip().endswith(".")
        assert estimate_tokens(chunk.text) <= 300
    for before, after in pairwise(chunks):
        shared = before.start + len(before.text) - after.start
        assert 20 < shared < len(before.text) // 4 + 1


def test_a_paragraph_is_kept_whole_where_it_can_be() -> None:
    paragraphs = [" ".join(SENTENCES[n : n + 5]) for n in range(0, 400, 5)]
    chunks = chunks_of("\n\n".join(paragraphs), 300, 0)
    assert all(chunk.text.endswith("\n\n") for chunk in chunks[:-1])


PIECES = st.sampled_from(
    ["word ", "A sentence. ", "\n", "\n\n", "潮汐磨坊。", "x" * 50, " " * 50, "🌊", "7"]
)


@given(
    pieces=st.lists(st.tuples(PIECES, st.integers(1, 40)), max_size=30),
    overlap=st.integers(0, 60),
)
def test_no_character_is_lost_and_no_chunk_is_too_large(
    pieces: list[tuple[str, int]], overlap: int
) -> None:
    text = "".join(piece * times for piece, times in pieces)
    chunks = chunks_of(text, 200, overlap)
    seen = 0
    for chunk in chunks:
        assert chunk.start <= seen
        assert text.startswith(chunk.text, chunk.start)
        assert estimate_tokens(chunk.text) <= 200
        seen = max(seen, chunk.start + len(chunk.text))
    assert seen == len(text)
    starts = [chunk.start for chunk in chunks]
    assert starts == sorted(set(starts))


@pytest.mark.parametrize("piece", ["a", " ", "\n", ". ", "潮", "🌊", "a\n"])
def test_a_hostile_text_takes_a_moment(piece: str) -> None:
    text = piece * (2_000_000 // len(piece))
    since_s = time.process_time()
    chunks = chunks_of(text, 8_000, 200)
    assert time.process_time() - since_s < 4.0
    assert len(chunks) < 1_000
