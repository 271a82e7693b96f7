"""What a part of a text can be asked for: what the schema asks for, as far as this part says it."""

from collections.abc import Mapping
from typing import Any

from jobs.kinds.references import resolve

MAX_OBJECTS = 500
"""Of a schema whose demands are lifted; those beyond stay as they are."""

_EVERYWHERE = ("$schema", "$id", "$defs", "definitions")
"""Keywords that are no demand, and are needed by what is within."""

_OBJECT_WORDS = frozenset(
    {
        *["title", "description", "type"],
        *["additionalProperties", "patternProperties", "propertyNames", "maxProperties"],
    }
)
_LIST_DEMANDS = frozenset({"minItems", "contains", "minContains", "maxContains", "uniqueItems"})


def partial(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that any part of a value satisfies: nothing is required, no list has to be long.

    That holds for the object and the objects in it, not for the items of lists: an item is whole in
    one of the parts.
    """
    lifted: dict[str, Any] = _Partial(schema).of(schema)
    return lifted


class _Partial:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._left = MAX_OBJECTS
        self._under_way: set[int] = set()

    def of(self, schema: Any) -> Any:
        target = resolve(self._root, schema)
        if not isinstance(target, dict) or id(target) in self._under_way:
            return schema
        kept = {name: schema[name] for name in _EVERYWHERE if name in schema}
        if target.get("type") == "array":
            return kept | {word: target[word] for word in target if word not in _LIST_DEMANDS}
        if target.get("type", "object") != "object" or "properties" not in target or not self._left:
            return schema
        self._left -= 1
        self._under_way.add(id(target))
        properties = {name: self.of(inner) for name, inner in target["properties"].items()}
        self._under_way.discard(id(target))
        words = {word: target[word] for word in target if word in _OBJECT_WORDS}
        return {**kept, **words, "properties": properties}
