"""Documents that satisfy a JSON Schema, and the providers' own demands on schemas.

It walks what jobs really ask for: types, properties, items, enumerations, bounds, alternatives and
references within the schema. A `pattern` or a `format` is not looked at.
"""

from collections.abc import Iterator, Mapping
from typing import Any

MAX_DEPTH = 6
"""Deeper than this only required properties are written, so that a recursive schema ends."""


ENDLESS_DEPTH = 4 * MAX_DEPTH
"""No document satisfies a schema that requires itself; what is written ends here all the same."""

MOST_DEMANDED = 100_000
"""Entries and characters that a schema may demand, all in all; a document has no more of them."""


def satisfy(schema: Mapping[str, Any], label: str) -> Any:
    """Return a document that `schema` accepts; its texts begin with `label`."""
    return _Writer(schema, label).document(schema, 0)


def violate(schema: Mapping[str, Any]) -> Any:
    """Return a document of another type than `schema` asks for at its top."""
    if _type_of(schema) == "array":
        return {"unexpected": True}
    return ["not what was asked for"]


def resolve(root: Mapping[str, Any], schema: Mapping[str, Any] | bool) -> Mapping[str, Any]:
    """Follow references and take the first alternative; one that leads nowhere is any text."""
    for _ in range(MAX_DEPTH):
        if isinstance(schema, bool):
            break
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith("#"):
            schema = _at(root, reference)
            continue
        choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if not choices:
            return schema
        schema = choices[0]
    return {}


def _at(root: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    part: Any = root
    for name in reference.lstrip("#/").split("/") if reference != "#" else ():
        part = part.get(name, {})
    return part if isinstance(part, Mapping) else {}


def is_closed(schema: Mapping[str, Any]) -> bool:
    """Whether every object in `schema` says `additionalProperties: false`, as Anthropic demands."""
    if _type_of(schema) == "object" and schema.get("additionalProperties") is not False:
        return False
    return all(is_closed(part) for part in _parts(schema))


def requires_everything(schema: Mapping[str, Any]) -> bool:
    """Whether every object in `schema` requires all its properties, as OpenAI's strict has it."""
    if set(schema.get("properties", ())) - set(schema.get("required", ())):
        return False
    return all(requires_everything(part) for part in _parts(schema))


def _parts(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemas directly within `schema`, but for those that are `true` or `false`."""
    parts: list[Any] = [schema.get("items")]
    for name in ("properties", "$defs", "definitions"):
        parts += schema.get(name, {}).values()
    for name in ("anyOf", "oneOf", "allOf"):
        parts += schema.get(name, ())
    yield from (part for part in parts if isinstance(part, Mapping))


def _type_of(schema: Mapping[str, Any]) -> str:
    """The first type that is not null; inferred where the schema names none."""
    named = schema.get("type")
    if isinstance(named, list):
        named = next((name for name in named if name != "null"), "null")
    if isinstance(named, str):
        return named.lower()  # Gemini's `responseSchema` writes types in capitals.
    return "array" if "items" in schema else "object" if "properties" in schema else "string"


class _Writer:
    def __init__(self, root: Mapping[str, Any], label: str) -> None:
        self._root = root
        self._label = label
        self._left = MOST_DEMANDED

    def document(self, schema: Mapping[str, Any] | bool, depth: int) -> Any:
        schema = resolve(self._root, schema) if depth <= ENDLESS_DEPTH else {}
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return schema["enum"][0]
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return _number(schema)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return self._string(schema)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", ())
        names = list(properties) if depth < MAX_DEPTH else []
        names += [name for name in required if name not in names]
        return {name: self.document(properties.get(name, {}), depth + 1) for name in names}

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        # One entry shows what entries are like, unless that would go on for ever.
        wanted = 1 if depth < MAX_DEPTH and schema.get("maxItems", 1) else 0
        count = max(self._granted(schema.get("minItems", 0)), wanted)
        first = [self.document(entry, depth + 1) for entry in schema.get("prefixItems", ())]
        items = schema.get("items", {})
        if items is False:
            return first
        return first + [self.document(items, depth + 1) for _ in range(count - len(first))]

    def _string(self, schema: Mapping[str, Any]) -> str:
        text = self._label.ljust(self._granted(schema.get("minLength", 0)), "x")
        return text[: schema.get("maxLength", len(text))]

    def _granted(self, demanded: int) -> int:
        granted = min(demanded, self._left)
        self._left -= granted
        return granted


def _number(schema: Mapping[str, Any]) -> int | float:
    if "minimum" in schema:
        least: int | float = schema["minimum"]
    elif "exclusiveMinimum" in schema:
        least = schema["exclusiveMinimum"] + 1
    else:
        least = min(1, schema.get("maximum", 1))
    step = schema.get("multipleOf")
    return -(-least // step) * step if step else least
