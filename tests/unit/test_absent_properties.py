"""Nulls that stand for missing properties: dropped where the schema wants none, and nowhere else."""

import time
from typing import Any

import pytest

from jobs.kinds.absent import without_nulls

TEXT = {"type": "string"}
ANY_OF = {"anyOf": [TEXT, {"type": "null"}]}


def closed(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


CASES: list[tuple[dict[str, Any], Any, Any, list[str]]] = [
    (closed(a=TEXT, b=TEXT), {"a": None, "b": "x"}, {"b": "x"}, ["/a"]),
    ({**closed(a=TEXT), "required": ["a"]}, {"a": None}, {"a": None}, []),
    (closed(a={"type": ["string", "null"]}), {"a": None}, {"a": None}, []),
    (closed(a=ANY_OF), {"a": None}, {"a": None}, []),
    (closed(a={}), {"a": None}, {"a": None}, []),
    (closed(a={"enum": ["x", None]}), {"a": None}, {"a": None}, []),
    (closed(a={"enum": ["x"]}), {"a": None}, {}, ["/a"]),
    (closed(a={"const": 1}), {"a": None}, {}, ["/a"]),
    (closed(a={"allOf": [TEXT]}), {"a": None}, {}, ["/a"]),
    (closed(a=False), {"a": None}, {}, ["/a"]),
    (closed(a=TEXT), {"b": None}, {"b": None}, []),
    (closed(a=closed(b=TEXT)), {"a": {"b": None}}, {"a": {}}, ["/a/b"]),
    (
        closed(a={"type": "array", "items": closed(b=TEXT)}),
        {"a": [{"b": None}, {"b": "x"}, None]},
        {"a": [{}, {"b": "x"}, None]},
        ["/a/0/b"],
    ),
    (
        {"prefixItems": [closed(a=TEXT)], "items": closed(b=TEXT)},
        [{"a": None, "b": None}, {"a": None, "b": None}],
        [{"b": None}, {"a": None}],
        ["/0/a", "/1/b"],
    ),
    (
        {"$ref": "#/$defs/x~1y", "$defs": {"x/y": closed(b={"$ref": "#/$defs/x~1y"})}},
        {"b": {"b": None}},
        {"b": {}},
        ["/b/b"],
    ),
    ({"anyOf": [closed(a=TEXT), closed(b=TEXT)]}, {"a": None, "b": None}, {}, ["/a", "/b"]),
    ({"anyOf": [closed(a=TEXT), closed(a=TEXT, b=TEXT)]}, {"a": None}, {}, ["/a"]),
    (
        {
            "anyOf": [
                {**closed(a=TEXT, b={"type": "null"}), "required": ["b"]},
                {"anyOf": [closed(b=TEXT), closed(a=TEXT, c=TEXT)]},
            ]
        },
        {"a": None, "b": None},
        {"b": None},
        ["/a"],
    ),
    (
        {"anyOf": [closed(kind={"const": "x"}, a=TEXT), closed(kind={"const": "y"}, a={})]},
        {"kind": "y", "a": None},
        {"kind": "y", "a": None},
        [],
    ),
    ({"$ref": "#"}, {"a": None}, {"a": None}, []),
    ({"$ref": "http://x/y"}, {"a": None}, {"a": None}, []),
]


@pytest.mark.parametrize(("schema", "value", "kept", "dropped"), CASES)
def test_a_null_is_dropped_where_missing_was_meant(
    schema: dict[str, Any], value: Any, kept: Any, dropped: list[str]
) -> None:
    before = repr(value)
    assert without_nulls(value, schema) == (kept, dropped)
    assert repr(value) == before


def test_alternatives_of_a_recursive_schema_are_not_followed_for_ever() -> None:
    """With two ways at each of sixty levels this would not end."""
    node: dict[str, Any] = {
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/b"}]}}
    }
    schema = {**node, "$defs": {"b": {**node, "title": "b"}}}
    value: Any = {}
    for _ in range(60):
        value = {"next": value}
    since_s = time.process_time()
    assert without_nulls(value, schema) == (value, [])
    assert time.process_time() - since_s < 1.0
