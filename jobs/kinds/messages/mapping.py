"""From a body of Anthropic's messages to a request: for a provider of that format, and for any other."""

from collections.abc import Iterator

import msgspec

from jobs.exchange import Endpoint, Message, ModelRequest, Passed
from jobs.kinds.bodies import INSTRUCTIONS_TOKENS, schema_of, spoken
from jobs.kinds.messages.body import Body, OutputConfig, Turn, blocks_of, text_of
from jobs.kinds.messages.chat_body import IN_CHAT, Unsayable, chat_body
from jobs.kinds.schemas import Schema
from jobs.kinds.through_chat import through_chat

MAPPED = frozenset(
    {
        *("model", "max_tokens", "messages", "system", "temperature", "top_p", "stop_sequences"),
        "output_config",
    }
)
"""Fields that every provider can be told, in its own words."""

WITHOUT_EFFECT = frozenset({"metadata", "service_tier", "cache_control", "inference_geo", "speed"})
"""Fields that change nothing about the answer, so that a provider of another format needs none."""

NEUTRAL = {
    "stream": (b"false",),
    "tools": (b"[]",),
    "mcp_servers": (b"[]",),
}
"""How fields are written that say no more than if they weren't there."""

RECKONED = MAPPED | WITHOUT_EFFECT | NEUTRAL.keys() | {"tool_choice", "thinking", "top_k"}
"""Fields that make a call no dearer than its bytes and its bound; `unbounded` says what is left of them."""

NEUTRAL_TYPES = {"tool_choice": ("auto", "none"), "thinking": ("disabled",)}
"""The same of fields that are objects with a type."""

MOST_STOPS = 4
"""Texts that end an answer, at providers of other formats."""

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Typed(msgspec.Struct):
    type: str = ""


_typed = msgspec.json.Decoder(_Typed)


def request_of(raw: msgspec.Raw, body: Body) -> ModelRequest:
    """Return what a body asks.

    Args:
        raw: the body as it was written.
        body: the same, decoded.
    """
    schema, is_usable = _schema_of(body.output_config)
    said = spoken(raw, NEUTRAL)
    unmapped = [*_unmapped_fields(raw, said), *_unmapped_content(body)]
    if not is_usable:
        unmapped.append("params.output_config.format")
    in_chat = _in_chat(raw, body, said) if unmapped and is_usable else None
    blocks = [block for _, block in body.blocks()]
    request = ModelRequest(
        messages=tuple(_message(turn) for turn in body.messages),
        max_tokens=body.max_tokens,
        system=text_of(body.system) or None,
        temperature=body.temperature,
        top_p=body.top_p,
        stop=body.stop_sequences or (),
        schema=None if schema is None else schema.document,
        passed=Passed(
            body=raw,
            endpoint=Endpoint.MESSAGES,
            unmapped=tuple(unmapped),
            unbounded=tuple(f"params.{name}" for name in sorted(said - RECKONED)),
            in_chat=in_chat,
            beside="\n".join(_beside(raw, body)),
            images=sum(block.type == "image" for block in blocks),
            image_bytes=sum(block.picture_bytes for block in blocks),
            added_tokens=INSTRUCTIONS_TOKENS if body.tools else 0,
        ),
    )
    return through_chat(request)


def _in_chat(raw: msgspec.Raw, body: Body, said: frozenset[str]) -> msgspec.Raw | None:
    """Return what a body is in chat completions, None where these can't say all of it."""
    fields = _fields.decode(raw)
    beside = {
        name for name in said - MAPPED - WITHOUT_EFFECT if not _is_neutral(name, fields[name])
    }
    if not beside <= IN_CHAT or len(body.stop_sequences or ()) > MOST_STOPS or _goes_on(body):
        return None
    try:
        return chat_body(fields, body)
    except Unsayable:
        return None


def asked_schema(body: Body) -> Schema | None:
    """Return the schema that the answer of a provider of another format must satisfy; None for a text."""
    return _schema_of(body.output_config)[0]


def _schema_of(config: OutputConfig | None) -> tuple[Schema | None, bool]:
    """Return the schema that is asked for, and whether anybody but its own provider can be asked."""
    wanted = None if config is None else config.format
    return (None, True) if wanted is None else schema_of(wanted.type, wanted.schema)


def _message(turn: Turn) -> Message:
    return Message("assistant" if turn.role == "assistant" else "user", text_of(turn.content))


def _beside(raw: msgspec.Raw, body: Body) -> Iterator[str]:
    """Yield what goes in beside the texts of the turns: tools, calls of them, documents."""
    if body.tools:
        yield bytes(_fields.decode(raw)["tools"]).decode()
    for turn in body.messages:
        for block in blocks_of(turn.content):
            if block.type != "text":
                for _, inner in block.within():
                    yield from inner.words()


def _unmapped_fields(raw: msgspec.Raw, said: frozenset[str]) -> Iterator[str]:
    fields = _fields.decode(raw)
    for name in sorted(said - MAPPED - WITHOUT_EFFECT):
        if not _is_neutral(name, fields[name]):
            yield f"params.{name}"


def _is_neutral(name: str, raw: msgspec.Raw) -> bool:
    return name in NEUTRAL_TYPES and _type_of(raw) in NEUTRAL_TYPES[name]


def _type_of(raw: msgspec.Raw) -> str | None:
    try:
        return _typed.decode(raw).type
    except msgspec.DecodeError:
        return None


def _goes_on(body: Body) -> bool:
    """Whether the model is to go on with a turn that was begun for it; others would answer that."""
    return body.messages[-1].role == "assistant"


def _unmapped_content(body: Body) -> Iterator[str]:
    if body.output_config is not None and body.output_config.effort is not None:
        yield "params.output_config.effort"
    if len(body.stop_sequences or ()) > MOST_STOPS:
        yield "params.stop_sequences"
    for place, turn in enumerate(body.messages):
        where = f"params.messages[{place}]"
        if turn.role == "system":
            yield f"{where}.role"
        for number, block in enumerate(blocks_of(turn.content)):
            if block.type != "text":
                yield f"{where}.content[{number}].type"
    if _goes_on(body):
        yield f"params.messages[{len(body.messages) - 1}].role"
