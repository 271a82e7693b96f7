"""JSON Schemas that come from users, and answers that must satisfy them.

A schema is untrusted: it is bounded in size and depth, fetches nothing, and its patterns run in
linear time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jsonschema_rs
import msgspec

from jobs.errors import SubmissionError
from jobs.kinds.kind import Bad, Good, Verdict

MAX_SCHEMA_BYTES = 256 * 1024
"""Far above what providers take, and little enough to keep the compiled ones."""

MAX_DEPTH = 64
"""Of nesting. Generated schemas reach ten; providers refuse from five to ten on."""

KEPT_SCHEMAS = 64
"""Compiled schemas that are kept: a batch has one or a few."""

REASON_CHARACTERS = 200
"""Of a validator's reason that are shown: it may quote the whole answer."""

ECHOED_CHARACTERS = 80
"""Of a schema that can't be used, and of the reason, which quotes it."""

_FENCE = "```"
_OPENING = re.compile(r"```[A-Za-z0-9_-]*[ \t]*\r?")


class UnusableSchema(SubmissionError):
    """The schema can't be used."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema that compiled."""

    document: Mapping[str, Any]
    validator: jsonschema_rs.Validator


@lru_cache(maxsize=KEPT_SCHEMAS)
def read_schema(raw: bytes) -> Schema:
    """Return the schema of this JSON text.

    Raises:
        UnusableSchema: not JSON, too large, too deep, not an object, or not a valid JSON Schema.
    """
    if len(raw) > MAX_SCHEMA_BYTES:
        raise UnusableSchema(
            "invalid_schema", f"has {len(raw):,} bytes; expected at most {MAX_SCHEMA_BYTES:,}"
        )
    try:
        document = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.ValidationError as error:
        if "out of range" in str(error):
            raise UnusableSchema("number_out_of_range", "has a number that is too large") from error
        raise UnusableSchema("wrong_type", f"expected a JSON Schema object ({error})") from error
    except msgspec.DecodeError as error:
        raise UnusableSchema("invalid_json", f"is not JSON ({error})") from error
    except RecursionError as error:
        raise _too_deep() from error
    if _is_deeper_than(document, MAX_DEPTH):
        raise _too_deep()
    try:
        validator = jsonschema_rs.validator_for(
            document, offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        place = "".join(f"/{_escaped(str(part))}" for part in getattr(error, "instance_path", ()))
        reason = getattr(error, "message", str(error))[:ECHOED_CHARACTERS]
        raise UnusableSchema(
            "invalid_schema",
            f"is not a valid JSON Schema at {place[:ECHOED_CHARACTERS] or '/'}: {reason}",
        ) from error
    return Schema(document, validator)


def judge_json(text: str, schema: Schema) -> Verdict:
    """Return the JSON value of an answer that satisfies the schema, or why it does not.

    The JSON may stand plain or inside one fence of backticks, as some models write it whatever they
    are told.
    """
    try:
        value = msgspec.json.decode(_unfenced(text))
        broken = next(schema.validator.iter_errors(value), None)
    except (
        ValueError,
        RecursionError,
    ) as error:  # the validator's limit of nesting is a ValueError
        return Bad(
            "invalid_json", f"the answer is no usable JSON: {str(error)[:REASON_CHARACTERS]}"
        )
    if broken is None:
        return Good(value)
    pointer = "".join(f"/{_escaped(str(part))}" for part in broken.instance_path) or "/"
    return Bad(
        "schema_violation",
        f"{pointer[:REASON_CHARACTERS]}: {broken.message[:REASON_CHARACTERS]}",
    )


def _unfenced(text: str) -> str:
    """Return what stands inside one fence, or the text if it has none.

    In linear time: a model may say anything, such as a megabyte of blanks.
    """
    opening, line_end, rest = text.strip().partition("\n")
    if line_end and rest.endswith(_FENCE) and _OPENING.fullmatch(opening):
        return rest.removesuffix(_FENCE)
    return text


def _escaped(part: str) -> str:
    """Escape one part of a JSON Pointer (RFC 6901)."""
    return part.replace("~", "~0").replace("/", "~1")


def _too_deep() -> UnusableSchema:
    return UnusableSchema("too_deep", f"is nested deeper than {MAX_DEPTH} levels")


def _is_deeper_than(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return False
    return levels == 0 or any(_is_deeper_than(item, levels - 1) for item in value)
