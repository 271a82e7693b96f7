"""Documents that a schema was asked for, and that fail it or their text in one place."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from scripts.simulator.evidence import has_evidence
from scripts.simulator.schemas import resolve, violate
from scripts.simulator.troubles import Trouble


def spoiled(trouble: Trouble, text: str, schema: Mapping[str, Any], chance: int) -> str | None:
    """Return an honest document spoiled; None where this trouble spoils none.

    Args:
        trouble: in which way.
        text: the document, as JSON.
        schema: what it satisfies.
        chance: a number that decides which place is spoiled.
    """
    document = orjson.loads(text)
    match trouble:
        case Trouble.SCHEMA:
            document = violate(schema)
        case Trouble.MISSING_FIELD:
            _take_away(document, schema, chance)
        case Trouble.WRONG_TYPE:
            document = _retyped(document, chance)
        case Trouble.EXTRA_KEY if isinstance(document, dict):
            document["comment"] = "As you asked."
        case Trouble.MISQUOTED if has_evidence(document):
            for quote in document["evidence"]:
                quote["quote"] = " ".join(reversed(quote["quote"].split())) + "?"
        case Trouble.INVALID_JSON:
            return _broken(text, chance)
        case _:
            return None
    return orjson.dumps(document).decode()


def _take_away(document: Any, schema: Mapping[str, Any], chance: int) -> None:
    """Take a required property away that may not even be null; without one, nothing."""
    places = [*_needed(document, schema, schema)]
    if places:
        holder, name = places[chance % len(places)]
        del holder[name]


def _needed(
    document: Any, schema: Mapping[str, Any], root: Mapping[str, Any]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the objects in a document with each name that they must have."""
    schema = resolve(root, schema)
    if isinstance(document, dict):
        properties = schema.get("properties", {})
        for name in document:
            inner = properties.get(name, {})
            if name in schema.get("required", ()) and not _takes_null(inner):
                yield document, name
            yield from _needed(document[name], inner, root)
    for item in document if isinstance(document, list) else ():
        yield from _needed(item, schema.get("items", {}), root)


def _takes_null(schema: Mapping[str, Any]) -> bool:
    return "null" in schema.get("type", ()) or any(map(_takes_null, schema.get("anyOf", ())))


def _retyped(value: Any, chance: int) -> Any:
    """Return a document of which one value is of another type."""
    match value:
        case dict() if value:
            name = [*value][chance % len(value)]
            return {**value, name: _retyped(value[name], chance // 7)}
        case list() if value:
            return [_retyped(value[0], chance // 7), *value[1:]]
        case str():
            return 7
        case _:
            return "unknown"


def _broken(text: str, chance: int) -> str:
    """Return JSON without its end, without a colon, or without the end of a text."""
    forms = (
        text[:-1],
        text.replace(":", " ", 1) if ":" in text else f"{text}]",
        text[::-1].replace('"', "", 1)[::-1] if '"' in text else text[:-1],
    )
    return forms[chance % len(forms)]
