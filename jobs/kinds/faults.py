"""What a person is told when a line can't be decoded: the field, and what was expected.

A value that was sent is never repeated: it may be a secret in the wrong place.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import msgspec

from jobs.exchange import Message
from jobs.kinds.kind import FieldFault
from jobs.strict_json import MAX_KEYS, SHOWN_CHARACTERS, LooseJson, place_of, read_strict

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

EXAMINED_BYTES = 1 << 20
"""Of a line that is no JSON: a larger one isn't read once more to find the place. What is read so
becomes objects, twenty times its size at worst."""

_SECRETS = frozenset(
    {
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "authorization",
        "bearer_token",
        "default_headers",
        "extra_headers",
        "headers",
        "x-api-key",
        "x-goog-api-key",
    }
)

_UNSUPPORTED = {
    "stream": "results are collected and read from the batch",
    "stream_options": "results are collected and read from the batch",
    "best_of": "one job has one answer; send several jobs",
    "response_format": "give the JSON Schema of the answer as `schema`",
    "output_config": "give the JSON Schema of the answer as `schema`",
    "tools": "jobs are answered in one turn, without tools",
    "tool_choice": "jobs are answered in one turn, without tools",
    "functions": "jobs are answered in one turn, without tools",
    "logprobs": "results carry the text, its usage and its cost",
    "top_logprobs": "results carry the text, its usage and its cost",
    "logit_bias": "not every provider has it",
    "top_k": "not every provider has it",
    "presence_penalty": "not every provider has it",
    "frequency_penalty": "not every provider has it",
    "base_url": "a provider's address is in the configuration",
    "api_base": "a provider's address is in the configuration",
    "extra_body": "only the fields of a job line reach a provider",
}

_OTHER_NAMES = {
    "id": "custom_id",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "stop_sequences": "stop",
    "random_seed": "seed",
    "json_schema": "schema",
    "input": "prompt",
    "instructions": "system",
}

_KINDS_WITH = {
    "text": "`translation` and `extraction`",
    **dict.fromkeys(("source", "target", "format", "glossary", "tone"), "`translation`"),
    **dict.fromkeys(("evidence", "merge_key"), "`extraction`"),
    **dict.fromkeys(("prompt", "messages", "template", "variables", "n"), "`generation`"),
}
"""Where a field belongs that another kind doesn't know: a line without a `kind` is a generation."""

_LOCATED = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_NAMED = re.compile(r"Object (contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


def fault_of(error: Exception, raw: bytes, line_type: type[Any]) -> FieldFault:
    """Return what `error`, raised while `raw` was decoded as a `line_type`, says about the line."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as wrong:
        return FieldFault(
            "invalid_encoding",
            "",
            f"expected UTF-8, but byte {wrong.start + 1} of the line is none "
            f"(0x{raw[wrong.start]:02x}: {wrong.reason})",
            wrong.start + 1,
        )
    if isinstance(error, RecursionError):
        return FieldFault("too_deep", "", "is nested too deeply")
    if isinstance(error, msgspec.ValidationError):
        return _malformed(text) or _validation_fault(str(error), raw, line_type)
    if raw.startswith(BYTE_ORDER_MARK):
        return FieldFault(
            "invalid_json",
            "",
            "begins with a byte order mark, which is read past on the first line alone",
            1,
        )
    if len(raw) > EXAMINED_BYTES:
        return FieldFault("invalid_json", "", f"expected one JSON object ({error})")
    try:
        value = read_strict(text)
    except LooseJson as loose:
        return fault_of_json(loose)
    if (place := place_of(value, lambda found: bool(_SURROGATE.search(found)))) is not None:
        return FieldFault(
            "invalid_unicode", place, "half of a surrogate pair; expected whole characters"
        )
    return FieldFault("invalid_json", "", f"expected one JSON object ({error})")


def fault_of_json(error: LooseJson) -> FieldFault:
    """Return what is wrong with a line that is no JSON, or not strictly."""
    if error.code == "invalid_json":
        # A line of the body is named beside this. In a JSON document a job has lines of its own.
        place = f"line {error.line} of the job, " if error.line > 1 else ""
        message = f"expected one JSON object: {error.what} ({place}column {error.column})"
        return FieldFault("invalid_json", "", message, error.column)
    return FieldFault(error.code, error.key, error.message)


def _malformed(text: str) -> FieldFault | None:
    """Say it if an object is no JSON further on, too: the decoder stops at the first strange field.

    Of a line that was cut off, the end is what is wrong with it.
    """
    if len(text) > EXAMINED_BYTES or not text.lstrip().startswith("{"):
        return None
    try:
        read_strict(text)
    except LooseJson as error:
        return fault_of_json(error) if error.code == "invalid_json" else None
    return None


def _validation_fault(message: str, raw: bytes, line_type: type[Any]) -> FieldFault:
    located = _LOCATED.fullmatch(message)
    assert located is not None
    what, path = located["what"], located["path"] or ""
    if named := _NAMED.fullmatch(what):
        field = f"{path}.{named['name']}" if path else named["name"]
        if what.startswith("Object missing"):
            return FieldFault("missing_field", field, "expected this field; it is not there")
        if raw.count(b'":') - raw.count(b'\\":') > MAX_KEYS:
            return FieldFault("too_many_keys", "", f"has more than {MAX_KEYS:,} keys")
        return _unknown_field(named["name"], field, Message if path else line_type)
    if not path and what.startswith("Expected `object`"):
        return FieldFault("wrong_format", "", f"{_sentence(what)}; send one job per line")
    if what.startswith("Invalid enum value"):
        return FieldFault("invalid_value", path, f"expected {_words_of(path, line_type)}")
    if ", got " in what:
        return FieldFault("wrong_type", path, _sentence(what))
    if what.endswith("out of range"):
        return FieldFault("number_out_of_range", path, "is a number beyond 64 bits")
    return FieldFault("out_of_range", path, _sentence(what))


def _unknown_field(name: str, field: str, line_type: type[Any]) -> FieldFault:
    field, lowered = field[:SHOWN_CHARACTERS], name[:SHOWN_CHARACTERS].lower()
    if lowered in _SECRETS:
        return FieldFault(
            "secret_in_payload",
            field,
            "keys belong in the configuration of the providers, never in a job; if this was a real "
            "one, revoke it",
        )
    if reason := _UNSUPPORTED.get(lowered):
        return FieldFault("unsupported_parameter", field, f"is not supported: {reason}")
    known: tuple[str, ...] = line_type.__struct_fields__
    if (kinds := _KINDS_WITH.get(name)) is not None and line_type is not Message:
        message = f"a job of this `kind` has no such field; those of {kinds} have it"
        return FieldFault("unknown_field", field, message)
    nearest = _OTHER_NAMES.get(lowered)
    if nearest not in known:
        nearest = next(iter(difflib.get_close_matches(lowered, known, n=1)), None)
    expected = f"did you mean `{nearest}`?" if nearest else f"expected {', '.join(known)}"
    return FieldFault("unknown_field", field, f"there is no such field; {expected}")


def _words_of(path: str, line_type: type[Any]) -> str:
    """Return the words that a field takes, from the type that it has."""
    holder, name = (Message, "role") if path.endswith(".role") else (line_type, path)
    types = [field.type for field in msgspec.structs.fields(holder) if field.name == name]
    words = [f"`{word}`" for word in _literals(types)]
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else ", ".join(words)


def _literals(types: Iterable[Any]) -> Iterator[str]:
    for kind in types:
        if isinstance(kind, str):
            yield kind
        else:
            yield from _literals(get_args(kind))


def _sentence(what: str) -> str:
    return what[:1].lower() + what[1:]
