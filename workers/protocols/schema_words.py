"""What keywords of a JSON Schema mean, and where they say what no dialect has."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from workers.protocols.dialects import OF_TYPE

ANNOTATIONS = ("title", "description")
"""Keywords that tell the model about values and narrow nothing."""


class Inexpressible(ValueError):
    """The dialect has no form for this schema, nor for a wider one."""


def types_of(schema: Mapping[str, Any]) -> list[str]:
    """Return the types of a schema's values, by its keywords where it names none."""
    named = schema.get("type")
    if isinstance(named, str):
        return [named]
    if isinstance(named, list):
        return list(named)
    listed = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if listed is not None:
        return []
    return next(([name] for name, words in OF_TYPE.items() if not words.isdisjoint(schema)), [])


def type_of(value: Any) -> str | None:
    """Return the type of a listed value, None of an object or a list."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "integer" if value == value // 1 else "number"
        case str():
            return "string"
        case _:
            return None


def annotations(schema: Mapping[str, Any], notes: Iterable[str] = ()) -> dict[str, Any]:
    """Return what tells the model about values: title, description, and what can't be sent."""
    kept = {name: schema[name] for name in ANNOTATIONS if isinstance(schema.get(name), str)}
    if told := ", ".join(notes):
        kept["description"] = f"{kept.get('description', '')} ({told})".lstrip()
    return kept


def joined(keyword: str, left: Any, right: Any) -> Any:
    """Return one keyword's value where `allOf` has it twice."""
    if left == right or keyword in {"title", "description", "default", "examples", "$comment"}:
        return left
    if keyword == "required":
        return list(dict.fromkeys([*left, *right]))
    if keyword in {"properties", "$defs", "definitions"} and not any(
        name in left and left[name] != inner for name, inner in right.items()
    ):
        return {**left, **right}
    raise Inexpressible(f"allOf says {keyword} twice")


def is_conditional(schema: Mapping[str, Any]) -> bool:
    """Whether an object may get further properties under a condition."""
    return not {"then", "else", "dependentSchemas", "dependencies"}.isdisjoint(schema)


def has_own_base(root: Mapping[str, Any]) -> bool:
    """Whether something within refers to other documents, anchors or itself by an address."""
    words = ("$id", "$dynamicRef", "$recursiveRef")
    return any(
        isinstance(schema.get(word), str)
        for schema in _within(root)
        if schema is not root
        for word in words
    )


def _within(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _within(item)
