"""Answers that arrive whole and are not what was asked for, in the ways in which models fail.

Each takes the honest answer and spoils it in one way; which place it spoils follows from the request. Some
are as good as honest to whoever puts right what is plainly meant (`sloppy`, `changed_placeholder`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

import orjson

from scripts.simulator.calls import CHARACTERS_PER_TOKEN, Call, Finish
from scripts.simulator.quotes import has_evidence
from scripts.simulator.schemas import resolve, violate
from scripts.simulator.sentences import SENTENCES
from scripts.simulator.translation import KEPT, Translation, translate
from scripts.simulator.troubles import Trouble

MOST_TOKENS = 4096
"""Of an answer without end to a request that bounds none."""

REFRAIN = " and the tide comes in"
DENIALS = (
    "I'm sorry, but I can't help with that.",
    "I cannot assist with that request.",
    "Sorry, I'm unable to help with this request.",
)


@dataclass(frozen=True, slots=True)
class Honest:
    """An honest answer: its text, and the document that it is where a schema was asked for."""

    text: str
    document: Any = None


class Said(NamedTuple):
    """What is said instead, and why the model stopped; `tokens` is None for the usual number."""

    text: str
    finish: Finish = Finish.COMPLETE
    tokens: int | None = None


def lie(trouble: Trouble, honest: Honest, call: Call) -> Said | None:
    """Return what is said instead of the honest answer; None where this trouble is no lie."""
    chance = crc32(call.text.encode(errors="surrogatepass"))
    match trouble:
        case Trouble.EMPTY:
            return Said("", tokens=0)
        case Trouble.DENIAL:
            return Said(DENIALS[chance % len(DENIALS)])
        case Trouble.LOOP:
            return _loop(honest, call, chance)
        case Trouble.SLOPPY:
            return Said(_sloppy(honest, chance))
        case _:
            pass
    if (
        call.schema is not None
        and (document := _spoiled(trouble, honest, call, chance)) is not None
    ):
        return Said(document)
    if call.translation is not None:
        return _mistranslated(trouble, honest, call.translation, chance)
    return None


def _loop(honest: Honest, call: Call, chance: int) -> Said:
    """Begin honestly and say one thing until nothing more may be said; of JSON also: blanks."""
    tokens = call.max_tokens or MOST_TOKENS
    size = tokens * CHARACTERS_PER_TOKEN
    unit = "\n" if honest.document is not None and chance % 2 else REFRAIN
    begun = honest.text[: len(honest.text) // 2]
    return Said((begun + unit * size)[:size], Finish.TRUNCATED, tokens)


def _sloppy(honest: Honest, chance: int) -> str:
    """Return the honest answer with something around it, or JSON that is nearly right."""
    if honest.document is None:
        return f"Here is the translation:\n\n{honest.text}"
    fenced = f"```json\n{honest.text}\n```"
    forms = (fenced, f"Here is the JSON:\n\n{fenced}", f"{honest.text[:-1]},{honest.text[-1]}")
    return forms[chance % len(forms)]


def _spoiled(trouble: Trouble, honest: Honest, call: Call, chance: int) -> str | None:
    assert call.schema is not None
    document = orjson.loads(honest.text)
    match trouble:
        case Trouble.SCHEMA:
            document = violate(call.schema)
        case Trouble.MISSING_FIELD:
            _take_away(document, call.schema, chance)
        case Trouble.WRONG_TYPE:
            document = _retyped(document, chance)
        case Trouble.EXTRA_KEY if isinstance(document, dict):
            document["comment"] = "As you asked."
        case Trouble.MISQUOTED if has_evidence(document):
            for quote in document["evidence"]:
                quote["quote"] = " ".join(reversed(quote["quote"].split())) + "?"
        case Trouble.INVALID_JSON:
            return _broken(honest.text, chance)
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


def _mistranslated(trouble: Trouble, honest: Honest, task: Translation, chance: int) -> Said | None:
    match trouble:
        case Trouble.WRONG_LANGUAGE:
            others = sorted(SENTENCES.keys() - {task.target})
            other = Translation(task.text, others[chance % len(others)], {})
            return Said(translate(other))
        case Trouble.UNTRANSLATED:
            return Said(task.text)
        case Trouble.LOST_PLACEHOLDER:
            return Said(_without(honest.text, task.placeholders[-1]))
        case Trouble.CHANGED_PLACEHOLDER:
            token = task.placeholders[-1]
            renamed = re.sub(r"[^\W\d]+|\d+", "nom", token, count=1)
            return Said(honest.text.replace(token, renamed, 1))
        case Trouble.CHANGED_NUMBER:
            number = task.numbers[-1]
            other_number = str(int(re.sub(r"\D", "", number)) + 3)
            return Said(_without(honest.text, number, other_number))
        case _:
            return None


def _without(text: str, token: str, instead: str = "") -> str:
    """Return the text with something else for the last `token`, which is no part of another."""
    places = [found.span() for found in KEPT.finditer(text) if found[0] == token]
    if not places:  # in JSON, where it is escaped
        return text.replace(orjson.dumps(token).decode()[1:-1], instead, 1)
    start, end = places[-1]
    return text[:start].rstrip() + (f" {instead}" if instead else "") + text[end:]
