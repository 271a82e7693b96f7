"""Optional properties that a model wrote as null, since it had to write every one.

OpenAI's strict mode knows no optional properties: each is asked for as a union with null. And models
that are under no constraint write null for "not there" as well. Where the user's schema allows the
property to be missing and not to be null, missing is what was meant.
"""

from collections.abc import Mapping
from typing import Any

from jobs.kinds.references import MAX_HOPS, resolve

_MAX_STEPS = 100_000
"""Pairs of a value and a schema that are looked at, 0.1 s: many more than any answer that was meant has."""


def without_nulls(value: Any, schema: Mapping[str, Any]) -> tuple[Any, list[str]]:
    """Return the value without the nulls that stand for missing properties, and their JSON Pointers.

    The value is left as it is. Whether the new one satisfies the schema is for the caller to find out:
    of alternatives (`anyOf` and its kind) those are followed that the value may be one of by its
    looks, most of all one that has just its properties.
    """
    walk = _Walk(schema)
    walk.visit(value, schema, "")
    return (walk.rebuilt(value) if walk.dropped else value), walk.dropped


_PYTHON: Mapping[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": int | float,
    "integer": int | float,
    "boolean": bool,
    "null": type(None),
}


class _Walk:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = _MAX_STEPS
        self._seen: set[tuple[int, int]] = set()
        self._names: dict[int, set[str]] = {}
        """The names to drop, by the object (its id) that has them; the value keeps all of them alive."""
        self.dropped: list[str] = []

    def visit(self, value: Any, schema: Any, pointer: str) -> None:
        schema = resolve(self._root, schema)
        pair = (id(value), id(schema))
        if not isinstance(value, dict | list) or not isinstance(schema, dict) or pair in self._seen:
            return
        self._seen.add(pair)
        for part in _schemas(schema.get("allOf")):
            self.visit(value, part, pointer)
        choices = self._choices(schema)
        self._left -= 1 + len(choices)
        if self._left < 0:
            return
        for choice in self._likely(value, choices):
            self.visit(value, choice, pointer)
        if isinstance(value, dict):
            self._visit_object(value, schema, pointer)
        else:
            self._visit_list(value, schema, pointer)

    def _choices(self, schema: Mapping[str, Any]) -> list[Any]:
        """Return the alternatives of a schema, and instead of one that has such itself, those."""
        found: list[Any] = []
        seen = {id(schema)}
        ahead = [schema]
        while ahead:
            holder = ahead.pop()
            for choice in [*_schemas(holder.get("anyOf")), *_schemas(holder.get("oneOf"))]:
                inner = resolve(self._root, choice)
                if not isinstance(inner, dict) or id(inner) in seen:
                    continue
                seen.add(id(inner))
                is_holder = "anyOf" in inner or "oneOf" in inner
                (ahead if is_holder and "properties" not in inner else found).append(inner)
        return found

    def _likely(self, value: Any, choices: list[Any]) -> list[Any]:
        if not isinstance(value, dict):
            return choices
        fitting = [choice for choice in choices if self._may_fit(value, choice)]
        exact = [choice for choice in fitting if set(choice.get("properties", ())) == set(value)]
        return exact or fitting

    def _may_fit(self, value: dict[str, Any], schema: Mapping[str, Any]) -> bool:
        """Whether an object may be one of the schema's, by its names and the plain values in it."""
        if schema.get("type", "object") != "object":
            return False
        properties = schema.get("properties", {})
        if not set(schema.get("required", ())) <= set(value):
            return False
        for name, inner in value.items():
            declared = properties.get(name, schema.get("additionalProperties", True))
            if inner is not None and not self._may_be(inner, declared):
                return False
        return True

    def _may_be(self, value: Any, schema: Any) -> bool:
        schema = resolve(self._root, schema)
        if not isinstance(schema, dict):
            return schema is not False
        if schema.get("const", value) != value:
            return False
        wanted = schema.get("type")
        return not isinstance(wanted, str) or isinstance(value, _PYTHON.get(wanted, object))

    def _visit_object(self, value: dict[str, Any], schema: Mapping[str, Any], pointer: str) -> None:
        properties, required = schema.get("properties"), schema.get("required", ())
        for name, inner in properties.items() if isinstance(properties, dict) else ():
            if name not in value:
                continue
            place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            if value[name] is not None:
                self.visit(value[name], inner, place)
            elif name not in required and not self._takes_null(inner, MAX_HOPS):
                names = self._names.setdefault(id(value), set())
                if name not in names:
                    names.add(name)
                    self.dropped.append(place)

    def _visit_list(self, value: list[Any], schema: Mapping[str, Any], pointer: str) -> None:
        first = _schemas(schema.get("prefixItems"))
        rest = schema.get("items")
        if isinstance(rest, list):  # as drafts before 2020-12 write it
            first, rest = rest, schema.get("additionalItems")
        for index, item in enumerate(value):
            inner = first[index] if index < len(first) else rest
            self.visit(item, inner, f"{pointer}/{index}")

    def _takes_null(self, schema: Any, hops: int) -> bool:
        schema = resolve(self._root, schema)
        if not isinstance(schema, dict):
            return schema is True
        named = schema.get("type", "null")
        if named != "null" and not (isinstance(named, list) and "null" in named):
            return False
        if schema.get("const") is not None or None not in schema.get("enum", (None,)):
            return False
        if not hops:
            return True
        if choices := _schemas(schema.get("oneOf")):
            return sum(self._takes_null(choice, hops - 1) for choice in choices) == 1
        if choices := _schemas(schema.get("anyOf")):
            return any(self._takes_null(choice, hops - 1) for choice in choices)
        return all(self._takes_null(part, hops - 1) for part in _schemas(schema.get("allOf")))

    def rebuilt(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.rebuilt(item) for item in value]
        if not isinstance(value, dict):
            return value
        names = self._names.get(id(value), ())
        return {name: self.rebuilt(inner) for name, inner in value.items() if name not in names}


def _schemas(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
