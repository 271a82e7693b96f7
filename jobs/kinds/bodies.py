"""What lines have in common whose body was written for an endpoint of a provider's."""

from collections.abc import Iterator, Mapping, Set
from typing import Any

import msgspec

from jobs.exchange import Answer, Finish
from jobs.kinds.faults import fault_of
from jobs.kinds.kind import Bad, FieldFault, Good
from jobs.kinds.schemas import Schema, UnusableSchema, judge_json, read_schema

TIERS = frozenset({None, "auto", "default", "flex"})
"""Of service; the others cost more than the prices that budgets reckon with."""

WITHOUT_EFFECT = frozenset(
    {
        *("user", "metadata", "safety_identifier", "service_tier"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
    }
)
"""Fields that change nothing about the answer, so that a provider of another format needs none."""

UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

INSTRUCTIONS_TOKENS = 1000
"""Of the instructions that Anthropic writes itself where there are tools: 300 to 800, by model."""

ANY_OBJECT = b'{"type":"object"}'

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_tools = msgspec.json.Decoder(list[Any])


def fields_of(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Return the fields that were written, and are not null."""
    return {name: value for name, value in _fields.decode(raw).items() if is_there(value)}


def spoken(raw: msgspec.Raw, neutral: Mapping[str, tuple[bytes, ...]]) -> frozenset[str]:
    """Return the names of the fields that say something; `neutral` is how they are written to say nothing."""
    return frozenset(
        name
        for name, value in _fields.decode(raw).items()
        if (written := bytes(value)) != b"null" and written not in neutral.get(name, ())
    )


def unreckoned_tools(raw: msgspec.Raw, reckoned: Set[str]) -> Iterator[str]:
    """Yield the places of tools that the provider itself runs, at a price beside the tokens.

    `reckoned` are the types of those that the caller runs.
    """
    if not is_there(raw):
        return
    try:
        tools = _tools.decode(raw)
    except UNDECODABLE:
        yield "body.tools"
        return
    for place, tool in enumerate(tools):
        match tool:
            case {"type": str(name)} if name in reckoned:
                pass
            case _:
                yield f"body.tools[{place}]"


def is_there(raw: msgspec.Raw) -> bool:
    """Whether a field was written, and is not null."""
    return bytes(raw) not in {b"", b"null"}


def schema_of(kind: str, written: msgspec.Raw | None) -> tuple[Schema | None, bool]:
    """Return the schema that is asked for, and whether anybody but the format's own provider can be asked.

    Args:
        kind: the `type` of the format.
        written: its schema, empty for any value; None where the format has no place for one.
    """
    if kind == "text":
        return None, True
    if kind == "json_object":
        return read_schema(ANY_OBJECT), True
    if kind != "json_schema" or written is None:
        return None, False
    try:
        return read_schema(bytes(written) or b"{}"), True
    except UnusableSchema:
        return None, False


def text_of(answer: Answer, schema: Schema | None) -> Good | Bad:
    """Return the text of another provider's answer, put right where a schema was asked for."""
    if schema is None or answer.finish is not Finish.COMPLETE:
        return Good(answer.text)
    verdict = judge_json(answer.text, schema)
    if not isinstance(verdict, Good):
        return verdict
    if verdict.mended is None:
        return Good(answer.text)
    return Good(msgspec.json.encode(verdict.output).decode(), verdict.mended)


def one_line(reply: bytes) -> msgspec.Raw:
    """Return JSON without the white space between its tokens; not a digit of it is another."""
    # What is no UTF-8 in a text that nobody has looked at would be no line of a file.
    return msgspec.Raw(msgspec.json.format(reply.decode("utf-8", "replace").encode(), indent=-1))


def undecodable(
    error: Exception,
    body: msgspec.Raw,
    body_type: type[Any],
    words: Mapping[str, str],
    *,
    place: str = "body",
) -> FieldFault:
    """Return what is wrong with a body that can't be decoded.

    `words` are what some fields take; `place` is where the line has the body.
    """
    fault = fault_of(error, bytes(body), body_type)
    field = f"{place}.{fault.field}" if fault.field else place
    message = fault.message
    if fault.code == "invalid_value":
        message = words[field.rpartition(".")[2]]
    return FieldFault(fault.code, field, message)


def unsupported(name: str, why: str, *, place: str = "body") -> FieldFault:
    """Return the fault of a field that is taken from nobody; `place` is where the line has the body."""
    return FieldFault("unsupported_parameter", f"{place}.{name}", f"is not supported: {why}")
