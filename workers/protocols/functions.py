"""Turns of more than text and tools, as chat completions have them: functions, both ways."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from jobs.exchange import Choice, Message, Picture, Tool, ToolCall, ToolResult, Tools, Turn
from jobs.kinds.chat.completion import call_of

_CHOICES = {Choice.NONE: "none", Choice.SOME: "required"}

IdOf = Callable[[str], str]
"""From the id of a call to one that the server takes."""


def messages_of(messages: Iterable[Message], id_of: IdOf) -> Iterator[object]:
    """Yield turns as they are written in a body: what calls have brought are messages of their own."""
    for turn in messages:
        if isinstance(turn, Turn):
            yield from _turn(turn, id_of)
        else:
            yield turn


def _turn(turn: Turn, id_of: IdOf) -> Iterator[dict[str, object]]:
    calls = [
        call_of(msgspec.structs.replace(piece, id=id_of(piece.id)))
        for piece in turn.pieces
        if isinstance(piece, ToolCall)
    ]
    if calls:
        yield {"role": turn.role, "content": turn.content, "tool_calls": calls}
        return
    said: list[dict[str, object]] = []
    for piece in turn.pieces:
        match piece:
            case ToolResult():
                brought = {"tool_call_id": id_of(piece.call_id), "content": piece.text}
                yield {"role": "tool", **brought}
            case str():
                said.append({"type": "text", "text": piece})
            case Picture():
                url = piece.url or f"data:{piece.media_type};base64,{piece.data}"
                said.append({"type": "image_url", "image_url": {"url": url}})
            case ToolCall():  # the assistant's alone
                pass
    if said:
        yield {"role": turn.role, "content": said}


def about_tools(tools: Tools) -> dict[str, object]:
    """Return the fields that say which tools there are, and how they may be called."""
    said: dict[str, object] = {"tools": [_tool(tool) for tool in tools.tools]}
    if tools.choice is Choice.NAMED:
        said["tool_choice"] = {"type": "function", "function": {"name": tools.named}}
    elif tools.choice is not Choice.AUTO:
        said["tool_choice"] = _CHOICES[tools.choice]
    if tools.one_by_one:
        said["parallel_tool_calls"] = False
    return said


def _tool(tool: Tool) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.is_strict is not None:
        function["strict"] = tool.is_strict
    return {"type": "function", "function": function}


def calls_of(found: object) -> Iterator[ToolCall]:
    """Yield the calls of the caller's tools in a message's `tool_calls`, whatever these are."""
    for call in found if isinstance(found, list) else ():
        match call:
            case {
                "id": str(call_id),
                "function": {"name": str(name), "arguments": str(arguments)},
            }:
                yield ToolCall(call_id, name, arguments)
            case _:
                pass


class CallAssembly:
    """The calls of one message, which come in pieces."""

    def __init__(self) -> None:
        self._calls: dict[int, dict[str, Any]] = {}

    def add(self, pieces: object) -> None:
        """Take what a chunk has of them, whatever that is."""
        for piece in pieces if isinstance(pieces, list) else ():
            match piece:
                case {"index": int(index), "function": dict(function)}:
                    known = self._calls.setdefault(index, {"type": "function", "function": {}})
                    if isinstance(call_id := piece.get("id"), str) and call_id:
                        known["id"] = call_id
                    _add_to(known["function"], function)
                case _:
                    pass

    def calls(self) -> list[dict[str, Any]]:
        """Return them as a whole message has them."""
        return [self._calls[index] for index in sorted(self._calls)]


def _add_to(known: dict[str, Any], more: dict[str, Any]) -> None:
    if isinstance(name := more.get("name"), str) and name:
        known["name"] = name
    if isinstance(arguments := more.get("arguments"), str):
        known["arguments"] = known.get("arguments", "") + arguments
