"""OpenAI's responses: another endpoint of the same provider, with its limits, errors and account."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from scripts.simulator.calls import Answer, Call, Finish, Rejected, read_call
from scripts.simulator.dialects.openai import (
    BILLS_REFUSALS,
    NAME,
    REPORTS_REASONING,
    USAGE_FIELD,
    check_strict,
    error,
    headers,
)
from scripts.simulator.dialects.reading import Content, decode, texts_of

__all__ = [
    "BILLS_REFUSALS",
    "NAME",
    "REPORTS_REASONING",
    "USAGE_FIELD",
    "answer",
    "error",
    "events",
    "headers",
    "read",
]


class Item(msgspec.Struct):
    """One item of the input; other fields are accepted and not looked at."""

    type: str = "message"
    role: str = ""
    content: Content = None
    output: str = ""


class Format(msgspec.Struct):
    """How the answer is to be written; the schema has no envelope of its own here."""

    type: str
    name: str = ""
    schema: dict[str, Any] = {}
    strict: bool | None = False


class Text(msgspec.Struct):
    """What is said of the answer's text."""

    format: Format | None = None


class Request(msgspec.Struct):
    """The fields of a request that matter here."""

    model: str
    input: str | list[Item]
    instructions: str | None = None
    max_output_tokens: int | None = None
    text: Text | None = None
    stream: bool | None = False


_decoder = msgspec.json.Decoder(Request)


def read(body: bytes, model: str, version: str) -> Call:  # noqa: ARG001 - the dialects' signature
    """Return the call in `body`."""
    request = decode(_decoder, body)
    if request.stream:
        raise Rejected("The simulator does not stream.")
    if not request.input:
        raise Rejected("Invalid 'input': empty.")
    turns = (*filter(None, [request.instructions]), *_turns(request.input))
    return read_call(request.model, turns, request.max_output_tokens, _schema(request.text, turns))


def _turns(found: str | list[Item]) -> tuple[str, ...]:
    if isinstance(found, str):
        return (found,)
    return texts_of(item.content or item.output for item in found)


def _schema(text: Text | None, turns: Sequence[str]) -> dict[str, Any] | None:
    wanted = None if text is None else text.format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        if not any("json" in turn.lower() for turn in turns):
            raise Rejected("'input' must contain the word 'json' in some form.")
        return {"type": "object"}
    if wanted.type != "json_schema" or not wanted.name:
        raise Rejected(f"Invalid text.format: {wanted.type!r}.")
    if wanted.strict:
        check_strict("text.format", wanted.name, wanted.schema)
    return wanted.schema


def answer(call: Call, answer: Answer, number: int) -> dict[str, Any]:
    """Return a `response`; a refusal is a piece of its own kind."""
    is_whole = answer.finish is not Finish.TRUNCATED
    status = "completed" if is_whole else "incomplete"
    piece: dict[str, Any]
    if answer.finish is Finish.REFUSED:
        piece = {"type": "refusal", "refusal": answer.text}
    else:
        piece = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "error": None,
        "incomplete_details": None if is_whole else {"reason": "max_output_tokens"},
        "instructions": None,
        "max_output_tokens": call.max_tokens,
        "model": call.model,
        "output": [
            {
                "id": f"msg_{number}",
                "type": "message",
                "role": "assistant",
                "status": status,
                "content": [piece],
            }
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {
                "cached_tokens": answer.cached_tokens,
                "cache_write_tokens": answer.cache_write_tokens,
            },
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
    }


def events(body: dict[str, Any], call: Call) -> Iterator[bytes]:  # noqa: ARG001 - the signature
    """Yield nothing: whoever asks for events is refused before."""
    yield from ()
