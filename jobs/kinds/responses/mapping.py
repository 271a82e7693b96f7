"""From a response's body to a request: for a provider with that endpoint, and for any other."""

from collections.abc import Iterator, Sequence

import msgspec

from jobs.exchange import Endpoint, ModelRequest, Passed
from jobs.kinds.bodies import (
    WITHOUT_EFFECT,
    fields_of,
    is_there,
    schema_of,
    spoken,
    unreckoned_tools,
)
from jobs.kinds.responses.body import Body
from jobs.kinds.responses.chat_body import IN_CHAT, Unsayable, chat_body
from jobs.kinds.responses.items import SYSTEM, Item, message_of, read_items
from jobs.kinds.schemas import Schema
from jobs.kinds.through_chat import through_chat

MAPPED = frozenset(
    {"model", "input", "instructions", "max_output_tokens", "temperature", "top_p", "text"}
)
"""Fields that every provider can be told, in its own words."""

NEUTRAL = {
    "stream": (b"false",),
    "background": (b"false",),
    "store": (b"false",),
    "tools": (b"[]",),
    "tool_choice": (b'"none"', b'"auto"'),
    "parallel_tool_calls": (b"true", b"false"),
    "include": (b"[]",),
    "reasoning": (b"{}",),
    "top_logprobs": (b"0",),
    "truncation": (b'"disabled"',),
}
"""How fields are written that say no more than if they weren't there; what they are about is told
by another field."""

NEUTRAL_OF_TEXT = {"verbosity": (b'"medium"',)}

RECKONED = MAPPED | WITHOUT_EFFECT | NEUTRAL.keys() | {"max_tool_calls", "stream_options"}
"""Fields that make a call no dearer than its bytes and the bound of its output."""

TOOLS = frozenset({"function", "custom"})
"""Types of tools that the caller runs; the others the provider runs, at a price of their own."""


PLAIN_TEXT = msgspec.Raw(b'{"format":{"type":"text"}}')
"""What is said of the answer's text where the body says nothing."""


class _Text(msgspec.Struct):
    text: msgspec.Raw = PLAIN_TEXT


_text = msgspec.json.Decoder(_Text)


def request_of(raw: msgspec.Raw, body: Body, default_max_tokens: int) -> ModelRequest:
    """Return what a body asks.

    Args:
        raw: the body as it was written.
        body: the same, decoded.
        default_max_tokens: the bound of the output where the body has none.
    """
    items = read_items(body.input)
    told = _leading_system(items)
    said = spoken(raw, NEUTRAL)
    schema, is_usable = asked_schema(body)
    untold = said - MAPPED - WITHOUT_EFFECT
    unmapped = [f"body.text.{name}" for name in _unmapped_of_text(raw, body)]
    if not is_usable:
        unmapped.append("body.text.format")
    is_chat = not unmapped and untold <= IN_CHAT and all(item.is_reckoned for item in items)
    unmapped += [f"body.{name}" for name in sorted(untold)]
    unmapped += _unmapped_items(items, told)
    system = [body.instructions or "", *(item.text for item in items[:told])]
    pictures = [url for item in items for url in item.pictures]
    request = ModelRequest(
        messages=tuple(message_of(item) for item in items[told:]),
        max_tokens=body.max_output_tokens or default_max_tokens,
        system="\n\n".join(filter(None, system)) or None,
        temperature=body.temperature,
        top_p=body.top_p,
        schema=None if schema is None else schema.document,
        passed=Passed(
            body=raw,
            endpoint=Endpoint.RESPONSES,
            unmapped=tuple(unmapped),
            unbounded=tuple(_unbounded(body, said, items)),
            in_chat=_in_chat(raw, body) if unmapped and is_chat else None,
            beside=bytes(body.tools).decode() if is_there(body.tools) else "",
            images=len(pictures),
            image_bytes=sum(len(url) for url in pictures if url.startswith("data:")),
        ),
    )
    return through_chat(request)


def _in_chat(raw: msgspec.Raw, body: Body) -> msgspec.Raw | None:
    try:
        return chat_body(fields_of(raw), body)
    except Unsayable:
        return None


def text_settings(raw: msgspec.Raw) -> msgspec.Raw:
    """Return a body's `text`, as it was written."""
    found = _text.decode(raw).text
    return found if is_there(found) else PLAIN_TEXT


def asked_schema(body: Body) -> tuple[Schema | None, bool]:
    """Return the schema that is asked for, and whether anybody but OpenAI can be asked for it."""
    wanted = None if body.text is None else body.text.format
    if wanted is None:
        return None, True
    return schema_of(wanted.type, wanted.schema)


def _leading_system(items: Sequence[Item]) -> int:
    """Return how many messages of the system stand before the first turn."""
    for place, item in enumerate(items):
        if item.role not in SYSTEM:
            return place
    return len(items)


def _unmapped_of_text(raw: msgspec.Raw, body: Body) -> list[str]:
    if body.text is None:
        return []
    return sorted(spoken(text_settings(raw), NEUTRAL_OF_TEXT) - {"format"})


def _unmapped_items(items: Sequence[Item], told: int) -> Iterator[str]:
    if told == len(items):
        yield "body.input"  # nobody else is asked without a turn of the user
    for place, item in enumerate(items):
        if not item.is_plain or (place >= told and item.role in SYSTEM):
            yield f"body.input[{place}]"


def _unbounded(body: Body, said: frozenset[str], items: Sequence[Item]) -> Iterator[str]:
    for name in sorted(said - RECKONED):
        yield f"body.{name}"
    for place, item in enumerate(items):
        if not item.is_reckoned:
            yield f"body.input[{place}]"
    if is_there(body.tools):
        yield from unreckoned_tools(body.tools, TOOLS)
