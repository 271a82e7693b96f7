"""A response's body as one of chat completions says it, for servers of OpenAI's format without `/responses`.

Wanted only for what is more than text: tools and their calls, pictures, the effort of reasoning. What of
these other formats can be told is read from here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from jobs.kinds.responses.body import Body

IN_CHAT = frozenset({"tools", "tool_choice", "parallel_tool_calls", "reasoning"})
"""Fields beside those that every provider can be told; a part of one may be unsayable all the same."""


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
    if (effort := _effort(_value(raw, "reasoning"))) is not None:
        document["reasoning_effort"] = effort
    for name in ("temperature", "top_p"):
        if name in raw:
            document[name] = raw[name]
    if (wanted := _format(_value(raw, "text"))) is not None:
        document["response_format"] = wanted
    return msgspec.Raw(msgspec.json.encode(document))


def _value(raw: Mapping[str, msgspec.Raw], name: str) -> Any:
    return msgspec.json.decode(raw[name]) if name in raw else None


def _messages(body: Body) -> Iterator[dict[str, Any]]:
    if body.instructions:
        yield {"role": "system", "content": body.instructions}
    if body.input is None or isinstance(body.input, str):
        yield {"role": "user", "content": body.input or ""}
        return
    called: list[dict[str, Any]] = []
    for item in body.input:
        if item.get("type") == "function_call":
            called.append(_call(item))
            continue
        if called:
            # What was called in one turn belongs into one message.
            yield {"role": "assistant", "content": None, "tool_calls": called}
            called = []
        yield _message(item)
    if called:
        yield {"role": "assistant", "content": None, "tool_calls": called}


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    match item:
        case {"call_id": str(call_id), "name": str(name), "arguments": str(arguments)}:
            function = {"name": name, "arguments": arguments}
            return {"id": call_id, "type": "function", "function": function}
        case _:
            raise Unsayable


def _message(item: Mapping[str, Any]) -> dict[str, Any]:
    match item:
        case {"type": "function_call_output", "call_id": str(call_id), "output": str(output)}:
            return {"role": "tool", "tool_call_id": call_id, "content": output}
        case {"role": "system" | "developer" | "user" | "assistant" as role} if (
            item.get("type", "message") == "message"
        ):
            name = "system" if role == "developer" else role
            return {"role": name, "content": _content(item.get("content"))}
        case _:
            raise Unsayable


def _content(content: object) -> str | list[dict[str, Any]]:
    match content:
        case str():
            return content
        case [*pieces]:
            return [_piece(piece) for piece in pieces]
        case _:
            raise Unsayable


def _piece(piece: object) -> dict[str, Any]:
    match piece:
        case {"type": "input_text" | "output_text", "text": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "refusal", "refusal": str(text)}:
            return {"type": "text", "text": text}
        case {"type": "input_image", "image_url": str(url), **rest}:
            detail = rest.get("detail")
            picture = {"url": url} if detail is None else {"url": url, "detail": detail}
            return {"type": "image_url", "image_url": picture}
        case _:
            raise Unsayable


def _about_tools(raw: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    choice, tools = _choice(_value(raw, "tool_choice")), _tools(_value(raw, "tools"))
    if not tools:
        if choice not in (None, "auto", "none"):
            raise Unsayable  # nobody takes a choice without tools
        return {}
    said: dict[str, Any] = {"tools": tools}
    if choice is not None:
        said["tool_choice"] = choice
    if "parallel_tool_calls" in raw:
        said["parallel_tool_calls"] = raw["parallel_tool_calls"]
    return said


def _tools(tools: object) -> list[dict[str, Any]]:
    if tools is not None and not isinstance(tools, list):
        raise Unsayable
    return [_tool(tool) for tool in tools or ()]


def _tool(tool: object) -> dict[str, Any]:
    match tool:
        case {"type": "function", "name": str(name), **function}:
            return {"type": "function", "function": {"name": name, **function}}
        case _:
            raise Unsayable


def _choice(choice: object) -> Any:
    match choice:
        case None | str():
            return choice
        case {"type": "function", "name": str(name)}:
            return {"type": "function", "function": {"name": name}}
        case _:
            raise Unsayable


def _effort(reasoning: object) -> str | None:
    match reasoning:
        case None:
            return None
        case {"effort": str(effort), **rest} if not any(rest.values()):
            return effort
        case dict() if not any(reasoning.values()):
            return None
        case _:
            raise Unsayable


def _format(text: object) -> dict[str, Any] | None:
    match text:
        case {"format": {"type": "json_schema", **named}}:
            return {"type": "json_schema", "json_schema": named}
        case {"format": {"type": "json_object"}}:
            return {"type": "json_object"}
        case _:
            return None
