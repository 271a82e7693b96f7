"""A user's JSON Schema in the form that a provider's structured output takes.

Providers take a part of JSON Schema each, and refuse the whole call for the rest. What a dialect lacks
is widened: a keyword that only narrows is left out and told in the description instead, `oneOf` becomes
`anyOf`, `allOf` is merged. So whatever the user's schema accepts can still be said, and whether an
answer satisfies it is checked here in any case (`jobs.kinds.schemas`). Two things are narrowed, as
everybody does: objects that don't say whether they are open are closed, and where every property must
be required (strict mode) an optional one is asked for as a union with null, which the check takes back
out again (`jobs.kinds.absent`).

What can't be widened or closed (maps, anything goes, tuples, cycles at some) is asked for in words.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from jobs.exchange import ModelRequest
from jobs.kinds.references import resolve
from workers.protocols.dialects import Dialect
from workers.protocols.schema_translation import Translation
from workers.protocols.schema_words import Inexpressible, types_of

KEPT_FORMS = 128
"""Translated schemas that are kept: a batch has one or a few, each in the dialects of its route."""

INSTRUCTION = "Answer with one JSON value that satisfies this JSON Schema, and with nothing else:"


@dataclass(frozen=True, slots=True)
class Form:
    """How to ask for values of a schema, which is `document`, a JSON text.

    `native` is the schema in the provider's dialect, None where that has no form for it: then it is
    asked for in words. `is_object` tells whether every answer is an object, as JSON modes
    have it.
    """

    native: dict[str, Any] | None
    document: str
    is_object: bool

    def told(self, system: str | None) -> str | None:
        """Return the system text, with the schema where it can't be sent otherwise, nor is told there."""
        if self.native is not None or (system is not None and self.document in system):
            return system
        instruction = f"{INSTRUCTION}\n{self.document}"
        return instruction if system is None else f"{system}\n\n{instruction}"


def in_words(request: ModelRequest) -> ModelRequest:
    """Return a request that tells its schema in words alone, for a server that refuses it."""
    assert request.schema is not None
    form = Form(None, msgspec.json.encode(request.schema).decode(), is_object=False)
    return msgspec.structs.replace(request, schema=None, system=form.told(request.system))


def form_of(schema: Mapping[str, Any], dialect: Dialect) -> Form:
    """Return how to ask for values of a schema that compiled.

    The first time it takes 40 us for a schema of 1 KB; then 1 us, most of it to recognise it.
    """
    return _form_of(msgspec.json.encode(schema), dialect)


@lru_cache(maxsize=KEPT_FORMS)
def _form_of(document: bytes, dialect: Dialect) -> Form:
    schema = msgspec.json.decode(document, type=dict[str, Any])
    root = resolve(schema, schema)
    is_object = isinstance(root, dict) and types_of(root) == ["object"]
    try:
        return Form(Translation(schema, dialect).whole(), document.decode(), is_object)
    except (Inexpressible, RecursionError):
        return Form(None, document.decode(), is_object)
