"""A JSON Schema on its way into a provider's dialect: what is widened, closed, or has no form there."""

import re
from collections.abc import Mapping
from typing import Any

from jobs.kinds.references import resolve
from workers.protocols.dialects import OF_TYPE, Dialect
from workers.protocols.schema_words import (
    ANNOTATIONS,
    Inexpressible,
    annotations,
    has_own_base,
    is_conditional,
    joined,
    type_of,
    types_of,
)

MAX_PARTS = 20_000
"""Of a schema, each counted as often as it is written: `allOf` writes what it refers to once more."""

NOTE_CHARACTERS = 100
"""Of a keyword's value that is told in a description."""

_NULL = {"type": "null"}


class Translation:
    """One schema on its way into a dialect."""

    def __init__(self, root: Mapping[str, Any], dialect: Dialect) -> None:
        """Begin with a schema that compiled."""
        self._root = root
        self._dialect = dialect
        self._names: dict[int, str] = {}
        """The names of the schemas that references lead to, by id; `root` keeps them alive."""
        self._definitions: dict[str, Any] = {}
        self._under_way: set[int] = set()
        self._left = {
            "parts": MAX_PARTS,
            "properties": dialect.max_properties,
            "optional": dialect.max_optional,
            "unions": dialect.max_unions,
            "enum values": dialect.max_enum_values,
            "name characters": dialect.max_name_characters,
        }

    def whole(self) -> dict[str, Any]:
        """Return the schema in the dialect.

        Raises:
            Inexpressible: there is no form for it, nor for a wider one.
        """
        if has_own_base(self._root):
            raise Inexpressible("it has parts with an address of their own")
        written = self._part(resolve(self._root, self._root), 0)
        if written.get("type") not in self._dialect.roots:
            raise Inexpressible("its values are of other types than a whole answer may have")
        return {**written, "$defs": self._definitions} if self._definitions else written

    def _part(self, schema: Any, level: int) -> dict[str, Any]:
        self._spend("parts", 1)
        if not isinstance(schema, dict):
            raise Inexpressible("anything goes, or nothing")
        if level > self._dialect.max_levels:
            raise Inexpressible("it is nested too deeply")
        if "$ref" in schema:
            return self._reference(schema, level)
        if "allOf" in schema:
            return self._part(self._merged(schema), level)
        if choices := schema.get("anyOf") or schema.get("oneOf"):
            return self._choice(schema, choices, level)
        if "enum" in schema or "const" in schema:
            return self._values(schema)
        types = types_of(schema)
        if len(types) > 1:
            bare = {name: schema[name] for name in schema if name not in ANNOTATIONS}
            return self._union(schema, [self._typed(bare, name, level) for name in types])
        return self._typed(schema, types[0], level) if types else self._part(True, level)

    def _reference(self, schema: Mapping[str, Any], level: int) -> dict[str, Any]:
        """Name what the reference leads to; what stands beside it only narrows, or is told nobody."""
        target = resolve(self._root, schema)
        if not isinstance(target, dict):
            raise Inexpressible("a reference leads nowhere")
        name = self._names.get(id(target))
        if name is None:
            last = str(schema["$ref"]).rpartition("/")[2]
            word = re.sub(r"\W", "_", last, flags=re.ASCII)[:40].strip("_") or "whole"
            name = word if word not in self._names.values() else f"{word}_{len(self._names)}"
            self._names[id(target)] = name
            self._spend("name characters", len(name))
            self._under_way.add(id(target))
            self._definitions[name] = self._part(target, level)
            self._under_way.discard(id(target))
        elif id(target) in self._under_way and not self._dialect.takes_cycles:
            raise Inexpressible("it is recursive")
        return {"$ref": f"#/$defs/{name}"}

    def _merged(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a schema with its `allOf` written as one, where they don't say different things."""
        merged = {name: value for name, value in schema.items() if name != "allOf"}
        for part in schema["allOf"]:
            branch = resolve(self._root, part)
            if not isinstance(branch, dict) or "$ref" in merged:
                raise Inexpressible("allOf of what is no schema")
            for keyword, value in branch.items():
                merged[keyword] = joined(keyword, merged.get(keyword, value), value)
        return merged

    def _choice(self, schema: Mapping[str, Any], choices: list[Any], level: int) -> dict[str, Any]:
        """Write alternatives; where they only narrow what stands beside them, that alone."""
        rest = {name: schema[name] for name in schema if name not in {"anyOf", "oneOf"}}
        if not any(
            name in rest for name in ("properties", "items", "prefixItems", "enum", "const")
        ):
            return self._union(schema, [self._part(choice, level) for choice in choices])
        declared = rest.get("properties", {})
        for choice in choices:
            branch = resolve(self._root, choice)
            if not isinstance(branch, dict) or set(branch.get("properties", {})) - set(declared):
                raise Inexpressible("alternatives add properties")
        return self._part(rest, level)

    def _union(self, schema: Mapping[str, Any], choices: list[dict[str, Any]]) -> dict[str, Any]:
        self._spend("unions", 1)
        return {**annotations(schema), "anyOf": choices}

    def _values(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Write listed values, by their types."""
        by_type: dict[str, list[Any]] = {}
        types = types_of(schema)
        for value in schema["enum"] if "enum" in schema else [schema["const"]]:
            name = type_of(value)
            if name is None:
                raise Inexpressible("a listed value is an object or a list")
            if not types or name in types or (name == "integer" and "number" in types):
                by_type.setdefault(name, []).append(value)
        self._spend("enum values", sum(map(len, by_type.values())))
        self._spend(
            "name characters",
            sum(len(str(value)) for values in by_type.values() for value in values),
        )
        choices: list[dict[str, Any]] = [
            # The rare list of one truth value is widened: not every dialect lists them.
            {"type": name} if name in {"null", "boolean"} else {"type": name, "enum": values}
            for name, values in by_type.items()
        ]
        match choices:
            case []:
                raise Inexpressible("no listed value is of its type")
            case [choice]:
                return {**annotations(schema), **choice}
            case _:
                return self._union(schema, choices)

    def _typed(self, schema: Mapping[str, Any], name: str, level: int) -> dict[str, Any]:
        written = {"type": name, **self._kept(schema, name)}
        if name == "object":
            return written | self._object(schema, level + 1)
        if name == "array":
            return written | self._items(schema, level + 1)
        return written

    def _kept(self, schema: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Return what narrows and is kept, and the annotations, which tell the rest."""
        kept, notes = {}, []
        for keyword in schema:
            value = schema[keyword]
            is_told = value is not False and not isinstance(value, dict | list)
            if keyword not in OF_TYPE.get(name, ()) or not is_told:
                continue
            is_known = keyword != "format" or value in self._dialect.formats
            if keyword in self._dialect.keeps and is_known:
                kept[keyword] = value
            else:
                notes.append(f"{keyword}: {str(value)[:NOTE_CHARACTERS]}")
        return {**annotations(schema, notes), **kept}

    def _object(self, schema: Mapping[str, Any], level: int) -> dict[str, Any]:
        further = schema.get("additionalProperties", schema.get("unevaluatedProperties"))
        if "patternProperties" in schema or further not in (None, False) or is_conditional(schema):
            raise Inexpressible("properties of any name")
        declared, required = schema.get("properties", {}), schema.get("required", [])
        if not declared and further is not False:
            raise Inexpressible("any object")
        if set(required) - set(declared):
            raise Inexpressible("a required property is not declared")
        properties = self._properties(declared, required, level)
        names = list(properties) if self._dialect.requires_all else list(required)
        written: dict[str, Any] = {"properties": properties}
        if names or self._dialect.requires_all:
            written["required"] = names
        if self._dialect.closes or further is False:
            written["additionalProperties"] = False
        return written

    def _properties(
        self, declared: Mapping[str, Any], required: list[str], level: int
    ) -> dict[str, Any]:
        self._spend("properties", len(declared))
        self._spend("name characters", sum(map(len, declared)))
        properties = {}
        for name, inner in declared.items():
            if inner is False and name not in required:
                continue
            properties[name] = self._part(inner, level)
            if name not in required:
                properties[name] = self._optional(properties[name])
        return properties

    def _optional(self, written: dict[str, Any]) -> dict[str, Any]:
        self._spend("optional", 1)
        if not self._dialect.requires_all or written.get("type") == "null":
            return written
        choices = written.get("anyOf")
        if choices is None:
            return {"anyOf": [written, _NULL]}
        return written if _NULL in choices else {**written, "anyOf": [*choices, _NULL]}

    def _items(self, schema: Mapping[str, Any], level: int) -> dict[str, Any]:
        items = schema.get("items")
        first = items if isinstance(items, list) else schema.get("prefixItems")
        if first is None:
            return {"items": self._part(items, level)}
        rest = schema.get("additionalItems") if isinstance(items, list) else items
        if "prefixItems" not in self._dialect.keeps:
            raise Inexpressible("a list whose items differ by place")
        written: dict[str, Any] = {"prefixItems": [self._part(item, level) for item in first]}
        if rest is False:
            return {**written, "maxItems": min(len(first), schema.get("maxItems", len(first)))}
        return {**written, "items": self._part(rest, level)}

    def _spend(self, what: str, count: int) -> None:
        self._left[what] -= count
        if self._left[what] < 0:
            raise Inexpressible(f"it has too many {what}")
