"""Slices cover a submission: every job in one of its queue, none in two, none too large."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.slicer import Slicer
from jobs.store.batches.jobs import SliceRange

QUEUES = st.lists(st.sampled_from(["openai", "anthropic", "mistral"]), max_size=200)
SIZES = st.integers(1, 20)


def cut(queues: list[str], size: int) -> tuple[Slicer, list[SliceRange]]:
    slicer = Slicer(size)
    full = [piece for seq, queue in enumerate(queues) if (piece := slicer.add(seq, queue))]
    return slicer, full + slicer.rest()


@given(QUEUES, SIZES)
def test_every_job_is_in_exactly_one_slice_of_its_queue(queues: list[str], size: int) -> None:
    _, pieces = cut(queues, size)
    covered = Counter(
        seq
        for piece in pieces
        for seq in range(piece.first_seq, piece.last_seq + 1)
        if queues[seq] == piece.queue
    )
    assert covered == Counter(range(len(queues)))


@given(QUEUES, SIZES)
def test_a_slice_knows_how_many_jobs_it_has_and_they_are_no_more_than_allowed(
    queues: list[str], size: int
) -> None:
    _, pieces = cut(queues, size)
    for piece in pieces:
        inside = queues[piece.first_seq : piece.last_seq + 1]
        assert piece.jobs == inside.count(piece.queue)
        assert 1 <= piece.jobs <= size
        assert inside[0] == inside[-1] == piece.queue


@given(QUEUES, SIZES)
def test_all_slices_of_a_queue_are_full_but_its_last_one(queues: list[str], size: int) -> None:
    slicer, pieces = cut(queues, size)
    for queue in slicer.queues:
        sizes = [piece.jobs for piece in pieces if piece.queue == queue]
        assert sizes[:-1] == [size] * (len(sizes) - 1)


@given(QUEUES, SIZES)
def test_slices_are_numbered_from_zero_without_gaps(queues: list[str], size: int) -> None:
    slicer, pieces = cut(queues, size)
    assert [piece.no for piece in pieces] == list(range(slicer.count))
    assert slicer.queues == set(queues)


def test_a_slice_is_cut_as_soon_as_it_is_full() -> None:
    slicer = Slicer(2)
    assert slicer.add(0, "a") is None
    assert slicer.add(1, "b") is None
    assert slicer.add(2, "a") == SliceRange(no=0, queue="a", first_seq=0, last_seq=2, jobs=2)
    assert slicer.rest() == [SliceRange(no=1, queue="b", first_seq=1, last_seq=1, jobs=1)]
    assert slicer.rest() == []


@pytest.mark.parametrize("size", [1, 7])
def test_nothing_gives_no_slice(size: int) -> None:
    slicer, pieces = cut([], size)
    assert pieces == []
    assert slicer.count == 0
