"""What the parts of a text say, merged: nothing is lost, nothing doubled, contradictions are told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.kinds.merge import Merge, units_of

MERGED: list[tuple[list[Any], Any, list[str]]] = [
    ([{"a": 1}, {"b": 2}], {"a": 1, "b": 2}, []),
    ([{"a": None}, {"a": 1}, {"a": None}], {"a": 1}, []),
    ([{"a": 1}, {"a": 2}, {"a": 3}], {"a": 1}, ["/a"]),
    ([{"a": 1}, {"a": True}], {"a": 1}, ["/a"]),
    ([{"a": 1}, {"a": [1]}], {"a": 1}, ["/a"]),
    ([{"a/b": "x"}, {"a/b": "y"}], {"a/b": "x"}, ["/a~1b"]),
    ([{"a": {"b": 1, "c": 1}}, {"a": {"c": 2, "d": 3}}], {"a": {"b": 1, "c": 1, "d": 3}}, ["/a/c"]),
    ([{"a": [1, 2]}, {"a": [2, 3]}, {}], {"a": [1, 2, 3]}, []),
    ([[1, 1], [1.0, True, "1"]], [1, 1.0, True, "1"], []),
    ([{"a": [{"x": 1, "y": 2}]}, {"a": [{"y": 2, "x": 1}]}], {"a": [{"x": 1, "y": 2}]}, []),
    (["x", "x"], "x", []),
    ([None, None], None, []),
]


@pytest.mark.parametrize(("values", "merged", "conflicts"), MERGED)
def test_values_are_merged_by_their_types(
    values: list[Any], merged: Any, conflicts: list[str]
) -> None:
    merge = Merge()
    before = repr(values)
    for value in values:
        merge.add(value)
    assert repr(merge.value) == repr(merged)
    assert merge.conflicts == conflicts
    assert repr(values) == before


def test_items_that_share_their_key_are_one() -> None:
    merge = Merge("id")
    merge.add({"mills": [{"id": "a", "built": None}, {"id": "b", "wheels": [1]}]})
    moved = merge.add(
        {"mills": [{"id": "b", "wheels": [2]}, {"name": "?"}, {"id": "a", "built": 7}]}
    )
    assert merge.value == {
        "mills": [{"id": "a", "built": 7}, {"id": "b", "wheels": [1, 2]}, {"name": "?"}]
    }
    assert moved == {"/mills/0": "/mills/1", "/mills/1": "/mills/2", "/mills/2": "/mills/0"}


def test_what_stands_in_conflict_has_come_to_be_nowhere() -> None:
    merge = Merge()
    merge.add({"a": 1, "b": 1})
    assert merge.add({"a": 2, "b": 1, "c": [5], "d": None}) == {"/b": "/b", "/c/0": "/c/0"}


def test_units_are_properties_and_the_items_of_lists() -> None:
    assert units_of({"a": 1, "b": [1, {}], "c": {"d": 1}, "e": None, "f": [], "g/~": ""}) == [
        *["/a", "/b/0", "/b/1", "/c", "/g~1~0"]
    ]
    assert units_of([7, 8]) == ["/0", "/1"]
    assert units_of("x") == [""]
    assert units_of(None) == []


ITEMS = st.integers(0, 5) | st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), max_size=2)
FOUND = st.dictionaries(st.sampled_from("pqr"), st.lists(ITEMS, max_size=4), max_size=3)


@given(parts=st.lists(FOUND, min_size=1, max_size=5))
def test_every_item_that_was_found_is_there_once(parts: list[dict[str, list[Any]]]) -> None:
    merge = Merge()
    for part in parts:
        for unit, place in merge.add(part).items():
            _, name, index = unit.split("/")
            _, same_name, at = place.split("/")
            assert merge.value[same_name][int(at)] == part[name][int(index)]
    for name, items in (merge.value or {}).items():
        found = [item for part in parts for item in part.get(name, [])]
        assert all(item in found for item in items)
        assert all(items.count(item) == 1 for item in found)
