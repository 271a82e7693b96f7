"""What a person is told when a line can't be decoded: the field, and what was expected.

A value that was sent is never repeated: it may be a secret in the wrong place.
"""

import difflib
import re
from typing import Any

import msgspec

from jobs.exchange import Message
from jobs.kinds.kind import FieldFault

SHOWN_CHARACTERS = 80
"""Of a field's name that somebody made up."""

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
    "n": "one job has one answer; send several jobs",
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

_LOCATED = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_NAMED = re.compile(r"Object (contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F].."
)


def fault_of(error: Exception, raw: bytes, line_type: type[Any]) -> FieldFault:
    """Return what `error`, raised while `raw` was decoded as a `line_type`, says about the line."""
    if isinstance(error, UnicodeDecodeError):
        return FieldFault("invalid_utf8", "", f"expected UTF-8 ({error.reason})")
    if isinstance(error, RecursionError):
        return FieldFault("too_deep", "", "is nested too deeply")
    if isinstance(error, msgspec.ValidationError):
        return _validation_fault(str(error), line_type)
    if _LONE_SURROGATE.search(raw):
        return FieldFault(
            "invalid_unicode", "", "half of a surrogate pair; expected whole characters"
        )
    return FieldFault("invalid_json", "", f"expected one JSON object ({error})")


def _validation_fault(message: str, line_type: type[Any]) -> FieldFault:
    located = _LOCATED.fullmatch(message)
    assert located is not None
    what, path = located["what"], located["path"] or ""
    if named := _NAMED.fullmatch(what):
        field = f"{path}.{named['name']}" if path else named["name"]
        if what.startswith("Object missing"):
            return FieldFault("missing_field", field, "expected this field; it is not there")
        return _unknown_field(named["name"], field, Message if path else line_type)
    if not path and what.startswith("Expected `object`"):
        return FieldFault("wrong_format", "", f"{_sentence(what)}; send one job per line")
    if what.startswith("Invalid enum value"):
        return FieldFault("invalid_value", path, "expected `system`, `user` or `assistant`")
    code = "wrong_type" if ", got " in what else "out_of_range"
    return FieldFault(code, path, _sentence(what))


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
    nearest = _OTHER_NAMES.get(lowered)
    if nearest not in known:
        nearest = next(iter(difflib.get_close_matches(lowered, known, n=1)), None)
    expected = f"did you mean `{nearest}`?" if nearest else f"expected {', '.join(known)}"
    return FieldFault("unknown_field", field, f"there is no such field; {expected}")


def _sentence(what: str) -> str:
    return what[:1].lower() + what[1:]
