"""JSON Schemas that come from users, and answers that must satisfy them.

A schema is untrusted: it is bounded in size and depth, fetches nothing, and its patterns run in
linear time.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import jsonschema_rs
import msgspec

from jobs.errors import SubmissionError
from jobs.kinds.absent import without_nulls
from jobs.kinds.kind import Bad, Good, Verdict
from jobs.kinds.repair import Repaired, RepairFailed, repair

MAX_SCHEMA_BYTES = 256 * 1024
"""Far above what providers take, and little enough to keep the compiled ones."""

MAX_DEPTH = 64
"""Of nesting. Generated schemas reach ten; providers refuse from five to ten on."""

KEPT_SCHEMAS = 64
"""Compiled schemas that are kept: a batch has one or a few."""

REASON_CHARACTERS = 200
"""Of a validator's reason that are shown: it may quote the whole answer."""

BRANCH_CHARACTERS = 80
"""Of the reason that one of several alternatives doesn't fit."""

MAX_REASONS = 5
"""That are told of one answer: a model that is told more mends no more."""

MENDED_CHARACTERS = 300
"""Of what is told of a mended answer."""

LISTED_PAIRS = 8_000_000
"""Characters of an answer times those of its schema, up to which all violations are looked for: 80 ms at
worst, where each of many values may be one of many alternatives. Beyond, the first is told."""

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
    text: str
    """The document as compact JSON."""


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
    return compiled(document)


def compiled(document: Mapping[str, Any]) -> Schema:
    """Return the schema of a document that was made from a user's: it is not asked for its depth.

    Raises:
        UnusableSchema: not a valid JSON Schema.
    """
    try:
        validator = jsonschema_rs.validator_for(
            dict(document), offline=True, pattern_options=jsonschema_rs.RegexOptions()
        )
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        place = "".join(f"/{_escaped(str(part))}" for part in getattr(error, "instance_path", ()))
        reason = getattr(error, "message", str(error))
        told = f"{reason[:ECHOED_CHARACTERS]}{_hint(reason)}"
        raise UnusableSchema(
            "invalid_schema",
            f"is not a valid JSON Schema at {place[:ECHOED_CHARACTERS] or '/'}: {told}",
        ) from error
    return Schema(document, validator, msgspec.json.encode(document).decode())


def _hint(reason: str) -> str:
    """Return what a validator's reason leaves out, where what it refuses may be right elsewhere."""
    if reason.endswith('is not a "regex"'):
        return "; a pattern has neither look-around nor back-references here"
    if "not present in a registry" in reason:
        return "; nothing is fetched, everything has to be within the schema, such as under `$defs`"
    return ""


def judge_json(text: str, schema: Schema) -> Verdict:
    """Return the JSON value of an answer that satisfies the schema, or why it does not.

    An answer that is JSON and satisfies the schema is taken as it is: 1 us for one of 30 bytes, 2 us for
    500, 0.12 ms for 100 KB, the decoding included. One that isn't is repaired where it is plain what was
    meant (`repair`, `absent`), which `Good.mended` tells; what was repaired must satisfy the schema
    like any other answer. Of 500 bytes that takes 3 us for a fence, 9 us for nulls, 32 us for the rest;
    12 us to say what is wrong. The message of a Bad is meant for the model: every place and reason, up
    to five.
    """
    try:
        values: tuple[Repaired, ...] = (Repaired(msgspec.json.decode(text), ""),)
    except (ValueError, RecursionError) as strictly:
        try:
            values = _repaired(text)
        except RepairFailed as error:
            reason = str(error if _may_hold_json(text) else strictly)
            return Bad(
                "invalid_json", f"the answer is no usable JSON: {reason[:REASON_CHARACTERS]}"
            )
    is_long = len(text) * len(schema.text) > LISTED_PAIRS
    verdicts = [_fitted(value, schema, is_long=is_long) for value in values]
    if len(verdicts) == 1:
        return verdicts[0]
    good = {
        msgspec.json.encode(verdict.output): verdict
        for verdict in verdicts
        if isinstance(verdict, Good)
    }
    if len(good) == 1:
        return next(iter(good.values()))
    which = "more than one fits" if good else "none of them fits"
    return Bad(
        "invalid_json",
        f"the answer has {len(values)} JSON values, and {which} the schema: write exactly one",
    )


def judge_value(value: Any, schema: Schema) -> Verdict:
    """Return a value that satisfies the schema, or why it does not, as `judge_json` does."""
    return _fitted(Repaired(value, ""), schema, is_long=True)


def _repaired(text: str) -> tuple[Repaired, ...]:
    inside = _unfenced(text)
    if inside is not text:
        with suppress(ValueError, RecursionError):
            return (Repaired(msgspec.json.decode(inside), "a fence"),)
    return repair(text)


def _may_hold_json(text: str) -> bool:
    return "{" in text or "[" in text


def _fitted(written: Repaired, schema: Schema, *, is_long: bool) -> Verdict:
    """Return the value if it satisfies the schema, maybe without nulls that stand for nothing."""
    value, mends = written.value, [written.mended] if written.mended else []
    try:
        if schema.validator.is_valid(value):
            return Good(value, "; ".join(mends) or None)
        value, dropped = without_nulls(value, schema.document)
        if dropped:
            mends.append(f"null for what may be missing: {', '.join(dropped[:MAX_REASONS])}")
            if schema.validator.is_valid(value):
                return Good(value, "; ".join(mends)[:MENDED_CHARACTERS])
        return Bad("schema_violation", _violations(value, schema.validator, is_long=is_long))
    except (ValueError, RecursionError) as error:  # the validator's limit of nesting
        return Bad(
            "invalid_json", f"the answer is no usable JSON: {str(error)[:REASON_CHARACTERS]}"
        )


def _violations(value: Any, validator: jsonschema_rs.Validator, *, is_long: bool) -> str:
    """Return where and why the value breaks the schema, in one line.

    The validator looks for all violations before it tells the first of several, 20 us for each.
    """
    if not is_long:
        found = list(islice(validator.iter_errors(value), MAX_REASONS))
        return "; ".join(_reason(error) for error in found)
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        return _reason(error)
    raise AssertionError("a value that is valid was not")


def _reason(error: jsonschema_rs.ValidationError) -> str:
    """Return where a value breaks the schema and why; of alternatives, what each of them lacks."""
    place = _pointer(error.instance_path)
    what = error.message[:REASON_CHARACTERS]
    lacks = [
        f"{_pointer(branch[0].instance_path)}: {branch[0].message[:BRANCH_CHARACTERS]}"
        for branch in getattr(error.kind, "context", ())[:MAX_REASONS]
        if branch
    ]
    if lacks:
        what = f"fits none of the alternatives ({'; '.join(lacks)})"
    return f"{place}: {what}"


def _pointer(path: Sequence[str | int]) -> str:
    return ("".join(f"/{_escaped(str(part))}" for part in path) or "/")[:REASON_CHARACTERS]


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
