"""Tools that the caller runs, in several dialects: which one is called, and what calls must look like."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

from scripts.simulator.calls import Call, Called, Rejected, Tool, words_of


class ChatMessage(msgspec.Struct):
    """What OpenAI's and Mistral's messages have of calls."""

    role: str
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None


def function_of(document: Any) -> Tool | None:
    """Return the tool that OpenAI and Mistral know by this document; None for another sort."""
    match document:
        case {"type": "function", "function": {"name": str(name), **more}}:
            parameters = more.get("parameters")
            return Tool(name, parameters if isinstance(parameters, dict) else {"type": "object"})
        case _:
            return None


def choose(call: Call, tools: Iterable[Tool | None], choice: str, *, has_results: bool) -> None:
    """Enter which tool is called: the one of that name, the first where one must be, or if none was yet.

    `choice` is `auto`, `none`, `some`, or a name. `has_results`: the last turn is what calls have brought.
    """
    known = {tool.name: tool for tool in tools if tool is not None}
    if choice == "none" or not known or (choice == "auto" and has_results):
        return
    if choice not in {"auto", "some"} and choice not in known:
        raise Rejected(f"Tool {choice!r} is not among the tools.")
    call.tool = known.get(choice) or next(iter(known.values()))


def choice_of(choice: Any, some: str) -> str:
    """Return a `tool_choice` of OpenAI's or Mistral's; `some` is their word for a call of any."""
    match choice:
        case None:
            return "auto"
        case "auto" | "none":
            return str(choice)
        case {"type": "function", "function": {"name": str(name)}}:
            return name
        case str() if choice == some:
            return "some"
        case _:
            raise Rejected(f"Invalid tool_choice: {choice!r}.")


def check_results(messages: Iterable[ChatMessage]) -> bool:
    """Return whether the last message is what a call has brought.

    Raises:
        Rejected: a message answers a call that the assistant's message before it does not have.
    """
    called: set[str] = set()
    is_result = False
    for message in messages:
        is_result = message.role == "tool"
        if message.role == "assistant":
            called = {str(call.get("id")) for call in message.tool_calls or ()}
        elif is_result and message.tool_call_id not in called:
            raise Rejected(
                "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            )
    return is_result


def tool_call(called: Called, call_id: str) -> dict[str, Any]:
    """Return a call as OpenAI and Mistral tell it."""
    function = {"name": called.name, "arguments": orjson.dumps(called.arguments).decode()}
    return {"id": call_id, "type": "function", "function": function}


def deltas_of(calls: Iterable[Mapping[str, Any]]) -> Iterable[list[dict[str, Any]]]:
    """Yield what chunks have of calls: first who is called, then the arguments word by word."""
    for index, call in enumerate(calls):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        yield [{"index": index, **call, "function": {"name": name, "arguments": ""}}]
        for word in words_of(arguments):
            yield [{"index": index, "function": {"arguments": word}}]
