"""Turns of more than text and tools, as Anthropic's messages have them: blocks, both ways."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from jobs.exchange import Choice, Message, Picture, Piece, Tool, ToolCall, ToolResult, Tools, Turn

_CHOICES = {Choice.AUTO: "auto", Choice.NONE: "none", Choice.SOME: "any", Choice.NAMED: "tool"}


class Block(msgspec.Struct):
    """A block of an answer, as far as it is read."""

    type: Any = None
    text: Any = None
    id: Any = None
    name: Any = None
    input: msgspec.Raw = msgspec.Raw(b"{}")


def messages_of(messages: Iterable[Message]) -> list[object]:
    """Return turns as they are written in a body."""
    return [
        {"role": turn.role, "content": [_block(piece) for piece in turn.pieces]}
        if isinstance(turn, Turn)
        else turn
        for turn in messages
    ]


def _block(piece: Piece) -> dict[str, object]:
    match piece:
        case str():
            return {"type": "text", "text": piece}
        case Picture(url=""):
            source = {"type": "base64", "media_type": piece.media_type, "data": piece.data}
            return {"type": "image", "source": source}
        case Picture():
            return {"type": "image", "source": {"type": "url", "url": piece.url}}
        case ToolCall():
            called = msgspec.Raw(piece.arguments.encode())
            return {"type": "tool_use", "id": piece.id, "name": piece.name, "input": called}
        case ToolResult():
            return {"type": "tool_result", "tool_use_id": piece.call_id, "content": piece.text}


def about_tools(tools: Tools) -> dict[str, object]:
    """Return the fields that say which tools there are, and how they may be called."""
    said: dict[str, object] = {"tools": [_tool(tool) for tool in tools.tools]}
    choice: dict[str, object] = {"type": _CHOICES[tools.choice]}
    if tools.choice is Choice.NAMED:
        choice["name"] = tools.named
    if tools.one_by_one and tools.choice is not Choice.NONE:
        choice["disable_parallel_tool_use"] = True
    if choice != {"type": "auto"}:
        said["tool_choice"] = choice
    return said


def _tool(tool: Tool) -> dict[str, object]:
    written: dict[str, object] = {"name": tool.name, "input_schema": tool.parameters}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.is_strict is not None:
        written["strict"] = tool.is_strict
    return written


def text_of(blocks: Iterable[Block]) -> str:
    """Return the texts of an answer."""
    return "".join(
        [block.text for block in blocks if block.type == "text" and isinstance(block.text, str)]
    )


def calls_of(blocks: Iterable[Block]) -> Iterator[ToolCall]:
    """Yield the calls of the caller's tools in an answer."""
    for block in blocks:
        match block:
            case Block(type="tool_use", id=str(call_id), name=str(name)):
                # Nobody has looked at its texts, so they may be no UTF-8.
                yield ToolCall(call_id, name, bytes(block.input).decode("utf-8", "replace"))
            case _:
                pass
