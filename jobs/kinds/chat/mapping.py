"""From a chat completion's body to a request: for a provider of that format, and for any other."""

from collections.abc import Iterator

import msgspec

from jobs.exchange import Ability, ModelRequest, Need, Passed, Tools
from jobs.kinds.bodies import (
    INSTRUCTIONS_TOKENS,
    WITHOUT_EFFECT,
    fields_of,
    is_there,
    schema_of,
    spoken,
    unreckoned_tools,
)
from jobs.kinds.chat.body import Body, ResponseFormat, Turn
from jobs.kinds.chat.tools import FIELDS, Unreadable, read_tools
from jobs.kinds.chat.turns import Conversation
from jobs.kinds.schemas import Schema

MAPPED = frozenset(
    {
        *("model", "messages", "max_completion_tokens", "max_tokens", "temperature", "top_p"),
        *("stop", "seed", "response_format"),
    }
)
"""Fields that every provider can be told, in its own words."""

SILENT = WITHOUT_EFFECT | {"store"}
"""Fields that no other provider needs to be told; nobody reads a stored completion of a batch."""

NEUTRAL = {
    "n": (b"1",),
    "stream": (b"false",),
    "logprobs": (b"false",),
    "top_logprobs": (b"0",),
    "presence_penalty": (b"0", b"0.0"),
    "frequency_penalty": (b"0", b"0.0"),
    "logit_bias": (b"{}",),
    "tools": (b"[]",),
    "functions": (b"[]",),
    "tool_choice": (b'"none"', b'"auto"'),
    "parallel_tool_calls": (b"true", b"false"),
    "modalities": (b'["text"]',),
}
"""How fields are written that say no more than if they weren't there; what they are about is told
by another field."""

RECKONED = (
    MAPPED
    | SILENT
    | NEUTRAL.keys()
    | {"reasoning_effort", "verbosity", "function_call", "stream_options"}
)
"""Fields that make a call no dearer than its bytes, its samples and their bound."""

RECKONED_OF_TURN = frozenset(
    {"role", "content", "name", "refusal", "tool_calls", "tool_call_id", "function_call"}
)
"""The same of a message: an earlier answer's `audio` is named by its id, of whatever length."""

TOOLS = frozenset({"function", "custom"})
"""Types of tools that the caller runs."""


class _Messages(msgspec.Struct):
    messages: list[dict[str, msgspec.Raw]]


_body = msgspec.json.Decoder(Body)
_messages = msgspec.json.Decoder(_Messages)


def request_of(raw: msgspec.Raw, body: Body, default_max_tokens: int) -> ModelRequest:
    """Return what a body asks.

    Args:
        raw: the body as it was written.
        body: the same, decoded.
        default_max_tokens: the bound of the output where the body has none.
    """
    schema, is_usable = _schema_of(body.response_format)
    told = leading_system(body.messages)
    conversation = Conversation(body.messages, told)
    said = spoken(raw, NEUTRAL)
    tools, about_tools, unmapped = _tools_of(raw, body)
    unmapped += [f"body.{name}" for name in sorted(said - MAPPED - SILENT - about_tools)]
    unmapped += _unmapped_turns(body.messages, told)
    unmapped += conversation.unmapped
    unknown = _unknown_of_turns(raw)
    unmapped += unknown
    if not is_usable:
        unmapped.append("body.response_format")
    pictures = [url for turn in body.messages for url in turn.pictures]
    system = "\n\n".join(turn.text for turn in body.messages[:told])
    needs = [] if tools is None else [Need(Ability.TOOLS, "body.tools")]
    return ModelRequest(
        messages=tuple(conversation.messages),
        max_tokens=body.max_completion_tokens or body.max_tokens or default_max_tokens,
        system=system if told else None,
        temperature=body.temperature,
        top_p=body.top_p,
        stop=(body.stop,) if isinstance(body.stop, str) else body.stop or (),
        seed=body.seed,
        schema=None if schema is None else schema.document,
        tools=tools,
        passed=Passed(
            body=raw,
            unmapped=tuple(unmapped),
            unbounded=(
                *(f"body.{name}" for name in sorted(said - RECKONED)),
                *unknown,
                *unreckoned_tools(body.tools, TOOLS),
            ),
            needs=(*needs, *conversation.needs),
            samples=body.n or 1,
            beside=_beside(body),
            images=len(pictures),
            image_bytes=sum(len(url) for url in pictures if url.startswith("data:")),
            foreign_tokens=0 if tools is None else INSTRUCTIONS_TOKENS,
        ),
    )


def reread(raw: msgspec.Raw, max_tokens: int) -> ModelRequest:
    """Return what a body asks that was written for another endpoint, and is said in this one's words."""
    return request_of(raw, _body.decode(raw), max_tokens)


def asked_schema(body: Body) -> Schema | None:
    """Return the schema that the answer of a provider of another format must satisfy; None for a text."""
    return _schema_of(body.response_format)[0]


def _schema_of(wanted: ResponseFormat | None) -> tuple[Schema | None, bool]:
    """Return the schema that is asked for, and whether anybody but its own provider can be asked."""
    if wanted is None:
        return None, True
    named = wanted.json_schema
    return schema_of(wanted.type, None if named is None else named.schema)


def leading_system(turns: tuple[Turn, ...]) -> int:
    """Return how many messages of the system stand before the first turn."""
    for place, turn in enumerate(turns):
        if turn.role not in {"system", "developer"}:
            return place
    return len(turns)


def _tools_of(raw: msgspec.Raw, body: Body) -> tuple[Tools | None, frozenset[str], list[str]]:
    """Return the tools of a body, the fields that say all about them, and what can't be read of it."""
    if not is_there(body.tools):
        return None, frozenset(), []
    try:
        tools = read_tools(fields_of(raw))
    except Unreadable as error:
        return None, FIELDS, [error.path]
    return tools, frozenset() if tools is None else FIELDS, []


def _unknown_of_turns(raw: msgspec.Raw) -> list[str]:
    return [
        f"body.messages[{place}].{name}"
        for place, turn in enumerate(_messages.decode(raw).messages)
        if not turn.keys() <= RECKONED_OF_TURN
        for name in sorted(turn.keys() - RECKONED_OF_TURN)
    ]


def _unmapped_turns(turns: tuple[Turn, ...], told: int) -> Iterator[str]:
    if told == len(turns):
        yield "body.messages"  # nobody else is asked without a turn of the user
    for place, turn in enumerate(turns):
        where = f"body.messages[{place}]"
        if turn.name is not None:
            yield f"{where}.name"
        if place < told and turn.pictures:
            yield f"{where}.content"
        if is_there(turn.function_call):
            yield f"{where}.function_call"


def _beside(body: Body) -> str:
    pieces = [body.tools, body.functions]
    pieces += [piece for turn in body.messages for piece in (turn.tool_calls, turn.function_call)]
    return "\n".join(bytes(piece).decode() for piece in pieces if is_there(piece))
