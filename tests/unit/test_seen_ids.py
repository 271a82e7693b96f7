"""Ids that stand twice are found as a set would find them."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import StorageFull
from jobs.store.batches.seen_ids import SeenIds

IDS = st.text(alphabet="abAÅ ", min_size=1, max_size=2)


@pytest.fixture
def seen() -> Iterator[SeenIds]:
    with closing(SeenIds()) as seen:
        yield seen


@given(st.lists(st.lists(IDS, max_size=8), max_size=6))
def test_the_places_of_those_that_were_seen_before_are_told(chunks: list[list[str]]) -> None:
    known: set[str] = set()
    with closing(SeenIds()) as seen:
        for chunk in chunks:
            expected = set()
            for place, custom_id in enumerate(chunk):
                if custom_id in known:
                    expected.add(place)
                known.add(custom_id)
            assert seen.again(chunk) == expected


def test_a_full_disk_is_an_error_of_ours(seen: SeenIds) -> None:
    # The only way to a small disk for a file without a name.
    seen._file.execute("PRAGMA max_page_count = 3")
    with pytest.raises(StorageFull, match="a quote finds no room"):
        seen.again([f"{number:0512}" for number in range(100)])


def test_closing_twice_does_no_harm() -> None:
    seen = SeenIds()
    seen.close()
    seen.close()
