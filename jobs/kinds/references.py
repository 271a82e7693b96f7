"""References within a JSON Schema: where `$ref` leads."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

MAX_HOPS = 16
"""From one reference to the next; who needs more goes round in a circle."""

DATA = frozenset({"const", "default", "enum", "examples", "example"})
"""Keywords that hold data, which may look like a schema."""

BY_NAME = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
)
"""Keywords that hold schemas by a name of the user's choice."""


def resolve(root: Mapping[str, Any], schema: Any) -> Any:
    """Return what stands where the schema's `$ref` leads, itself if it has none.

    What stands beside a `$ref` is left out. None where it leads nowhere, in a circle or out of the
    document: to another one, or to an anchor.
    """
    for _ in range(MAX_HOPS):
        if not isinstance(schema, dict) or "$ref" not in schema:
            return schema
        schema = target(root, schema["$ref"])
    return None


def target(root: Mapping[str, Any], reference: object) -> Any:
    """Return what a reference such as `#/$defs/name` names, None if that is nothing in `root`."""
    if reference == "#":
        return root
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return None
    found: Any = root
    for step in reference[2:].split("/"):
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and len(name) < len("1000000"):
            found = found[int(name)] if int(name) < len(found) else None
        else:
            return None
    return found


def moved(schema: Any, prefix: str) -> Any:
    """Return a schema whose references still hold where it stands at `prefix` of another document."""
    if isinstance(schema, list):
        return [moved(item, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    copy: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in DATA:
            copy[keyword] = value
        elif keyword in BY_NAME and isinstance(value, dict):
            copy[keyword] = {name: moved(inner, prefix) for name, inner in value.items()}
        elif keyword == "$ref" and (value == "#" or str(value).startswith("#/")):
            copy[keyword] = f"#{prefix}{value[1:]}"
        else:
            copy[keyword] = moved(value, prefix)
    return copy
