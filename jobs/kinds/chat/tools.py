"""From the tools of a chat completion's body, and which may be called, to what other formats are told."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from jobs.exchange import Choice, Tool, Tools
from jobs.kinds.bodies import ANY_OBJECT, UNDECODABLE

FIELDS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
"""Of a body that has tools."""

_CHOICES = {"auto": Choice.AUTO, "none": Choice.NONE, "required": Choice.SOME}


class _Function(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw(ANY_OBJECT)
    strict: bool | None = None


class _Tool(msgspec.Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    function: _Function


_tools = msgspec.json.Decoder(tuple[_Tool, ...])


class Unreadable(Exception):
    """No other format can be told of it; `path` is what of the body."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.path = f"body.{name}"


def read_tools(fields: Mapping[str, msgspec.Raw]) -> Tools | None:
    """Return the tools that `fields` of a body are about, None where the list of them is empty.

    Raises:
        Unreadable: a part of it has no place in other formats.
    """
    try:
        found = _tools.decode(fields["tools"])
    except UNDECODABLE:
        raise Unreadable("tools") from None
    if not found:
        return None
    choice, named = _choice(msgspec.json.decode(fields.get("tool_choice", b'"auto"')))
    tools = tuple(
        Tool(
            tool.function.name,
            tool.function.parameters,
            tool.function.description,
            tool.function.strict,
        )
        for tool in found
    )
    one_by_one = bytes(fields.get("parallel_tool_calls", b"true")) == b"false"
    return Tools(tools, choice, named, one_by_one)


def _choice(choice: Any) -> tuple[Choice, str]:
    match choice:
        case str() if choice in _CHOICES:
            return _CHOICES[choice], ""
        case {"type": "function", "function": {"name": str(name)}}:
            return Choice.NAMED, name
        case _:
            raise Unreadable("tool_choice")
