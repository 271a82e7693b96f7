"""A body of Anthropic's messages as one of chat completions says it, for servers of OpenAI's format.

Wanted only for what is more than text: tools and their calls, pictures, the effort of thinking. What of
these other formats can be told is read from here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from jobs.kinds.messages.body import Block, Body, Source, Turn, blocks_of, text_of

IN_CHAT = frozenset({"tools", "tool_choice"})
"""Fields beside those that every provider can be told; a part of one may be unsayable all the same."""

EFFORTS = frozenset({"low", "medium", "high"})
"""Words for the effort that both formats have."""

CHOICES = {"auto": "auto", "any": "required", "none": "none"}


class Unsayable(Exception):
    """Chat completions have no word for a part of it."""


def chat_body(raw: Mapping[str, msgspec.Raw], body: Body) -> msgspec.Raw:
    """Return the body; the model's own name and the bound of the output are put in where it is sent.

    Raises:
        Unsayable: a part of it has no place there.
    """
    document: dict[str, Any] = {
        "model": body.model,
        "messages": list(_messages(body)),
        **_about_tools(raw),
    }
    for name in ("temperature", "top_p"):
        if name in raw:
            document[name] = raw[name]
    if body.stop_sequences:
        document["stop"] = body.stop_sequences
    if body.output_config is not None:
        document |= _about_output(body)
    return msgspec.Raw(msgspec.json.encode(document))


def _messages(body: Body) -> Iterator[dict[str, Any]]:
    if body.system:
        yield {"role": "system", "content": text_of(body.system)}
    for turn in body.messages:
        if isinstance(turn.content, str):
            yield {"role": turn.role, "content": turn.content}
        elif turn.role == "assistant":
            yield _said(turn)
        else:
            yield from _brought(turn)


def _said(turn: Turn) -> dict[str, Any]:
    """Return a turn of the model's: what it wrote, and what it called."""
    blocks = blocks_of(turn.content)
    if not {block.type for block in blocks} <= {"text", "tool_use"}:
        raise Unsayable
    calls = [_call(block) for block in blocks if block.type == "tool_use"]
    message: dict[str, Any] = {"role": "assistant", "content": text_of(turn.content) or None}
    return message | ({"tool_calls": calls} if calls else {})


def _call(block: Block) -> dict[str, Any]:
    function = {"name": block.name, "arguments": bytes(block.input).decode() or "{}"}
    return {"id": block.id, "type": "function", "function": function}


def _brought(turn: Turn) -> Iterator[dict[str, Any]]:
    """Yield what tools have brought, and then what the user says beside it."""
    pieces = []
    for block in blocks_of(turn.content):
        if block.type == "tool_result":
            if any(inner.type != "text" for inner in blocks_of(block.content)):
                raise Unsayable
            content = text_of(block.content)
            yield {"role": "tool", "tool_call_id": block.tool_use_id, "content": content}
        else:
            pieces.append(_piece(block))
    if pieces:
        yield {"role": turn.role, "content": pieces}


def _piece(block: Block) -> dict[str, Any]:
    match block:
        case Block(type="text", text=str(text)):
            return {"type": "text", "text": text}
        case Block(type="image", source=Source(type="url", url=str(url))):
            return {"type": "image_url", "image_url": {"url": url}}
        case Block(
            type="image", source=Source(type="base64", media_type=str(kind), data=str(data))
        ):
            return {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
        case _:
            raise Unsayable


def _about_tools(raw: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    tools = msgspec.json.decode(raw["tools"]) if "tools" in raw else None
    choice = msgspec.json.decode(raw["tool_choice"]) if "tool_choice" in raw else None
    if not isinstance(choice, dict | None):
        raise Unsayable
    if not tools:
        if choice is not None and choice.get("type") not in {"auto", "none"}:
            raise Unsayable  # nobody takes a choice without tools
        return {}
    return {"tools": [_tool(tool) for tool in tools], **_choice(choice)}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": tool["name"], "parameters": tool.get("input_schema") or {"type": "object"}}
    for name in sorted(tool.keys() - {"name", "input_schema", "type", "cache_control"}):
        if name not in {"description", "strict"}:
            raise Unsayable
        function[name] = tool[name]
    return {"type": "function", "function": function}


def _choice(choice: object) -> dict[str, Any]:
    match choice:
        case None:
            return {}
        case {"type": str(kind), **rest} if kind in CHOICES:
            chosen: Any = CHOICES[kind]
        case {"type": "tool", "name": str(name), **rest}:
            chosen = {"type": "function", "function": {"name": name}}
        case _:
            raise Unsayable
    is_one_by_one = rest.get("disable_parallel_tool_use") is True
    return {"tool_choice": chosen, **({"parallel_tool_calls": False} if is_one_by_one else {})}


def _about_output(body: Body) -> dict[str, Any]:
    config = body.output_config
    assert config is not None  # or nobody asks
    said: dict[str, Any] = {}
    if config.effort is not None:
        if config.effort not in EFFORTS:
            raise Unsayable
        said["reasoning_effort"] = config.effort
    if config.format is not None:
        named = {"name": "answer", "schema": config.format.schema, "strict": True}
        said["response_format"] = {"type": "json_schema", "json_schema": named}
    return said
