"""Mistral's chat completions: like OpenAI's, but for unknown fields, headers and errors."""

import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from scripts.simulator.buckets import Reading
from scripts.simulator.calls import (
    Answer,
    Call,
    ErrorReply,
    Failure,
    FailureKind,
    Finish,
    Rejected,
    read_call,
)
from scripts.simulator.dialects.reading import (
    Content,
    ResponseFormat,
    decode,
    texts_of,
    whole_seconds,
)
from scripts.simulator.dialects.streaming import DONE, chunks_of, event
from scripts.simulator.dialects.tools import (
    ChatMessage,
    check_results,
    choice_of,
    choose,
    function_of,
    tool_call,
)

NAME = "mistral"
USAGE_FIELD = "usage"
BILLS_REFUSALS = True
REPORTS_REASONING = False

FINISH_REASONS = {
    Finish.COMPLETE: "stop",
    Finish.TRUNCATED: "length",
    Finish.REFUSED: "content_filter",
    Finish.TOOL_CALL: "tool_calls",
}

CALL_ID = re.compile(r"[a-zA-Z0-9]{9}")
"""The ids of calls that it takes."""

ERRORS: dict[FailureKind, tuple[int, str, str | None, str]] = {
    FailureKind.BAD_REQUEST: (400, "invalid_request_error", None, "Invalid request."),
    FailureKind.CONTEXT_TOO_LONG: (
        400,
        "invalid_request_error",
        None,
        "Prompt contains too many tokens for this model's context window.",
    ),
    FailureKind.QUOTA_EXHAUSTED: (402, "payment_required", None, "Payment required."),
    FailureKind.SPEND_LIMIT: (402, "payment_required", None, "Your spend limit is reached."),
    FailureKind.FORBIDDEN: (403, "forbidden", None, "You may not use this model."),
    FailureKind.NOT_FOUND: (404, "not_found", None, "There is no such resource."),
    FailureKind.RATE_LIMITED: (429, "rate_limited", "1300", "Rate limit exceeded"),
    FailureKind.SERVER_ERROR: (500, "internal_server_error", None, "Internal server error."),
    FailureKind.UNAVAILABLE: (503, "service_unavailable", None, "Service unavailable."),
    # Mistral has no 529; this is its word for a model that is overloaded for everybody.
    FailureKind.OVERLOADED: (
        503,
        "service_tier_capacity_exceeded",
        "3505",
        "Service tier capacity exceeded for this model.",
    ),
}


class Message(ChatMessage, kw_only=True, forbid_unknown_fields=True):
    """One message."""

    content: Content = None
    name: Any = None
    prefix: Any = None


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """All fields that Mistral knows: any other is refused with a 422."""

    model: str
    messages: list[Message]
    max_tokens: int | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = False
    temperature: Any = None
    top_p: Any = None
    stop: Any = None
    random_seed: int | None = None
    n: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: Any = None
    prediction: Any = None
    prompt_mode: Any = None
    reasoning_effort: Any = None
    safe_prompt: Any = None
    guardrails: Any = None
    prompt_cache_key: Any = None
    service_tier: Any = None
    metadata: Any = None


_decoder = msgspec.json.Decoder(Request)


def read(body: bytes, model: str, version: str) -> Call:  # noqa: ARG001 - the dialects' signature
    """Return the call in `body`."""
    request = decode(_decoder, body, FailureKind.UNPROCESSABLE)
    if not request.messages:
        raise Rejected("messages is empty", FailureKind.UNPROCESSABLE)
    turns = texts_of(message.content for message in request.messages)
    wanted = request.response_format
    schema = None if wanted is None else wanted.schema()
    call = read_call(request.model, turns, request.max_tokens, schema)
    call.is_streamed = bool(request.stream)
    _check_ids(request.messages)
    tools, choice = (
        map(function_of, request.tools or ()),
        choice_of(request.tool_choice, "required"),
    )
    choose(call, tools, choice, has_results=check_results(request.messages))
    return call


def _check_ids(messages: list[Message]) -> None:
    for message in messages:
        for call_id in [called.get("id") for called in message.tool_calls or ()]:
            if not (isinstance(call_id, str) and CALL_ID.fullmatch(call_id)):
                raise Rejected(
                    f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of 9."
                )


def answer(call: Call, answer: Answer, number: int) -> dict[str, Any]:
    """Return a `chat.completion`, which has no field for a refusal or for reasoning."""
    text, called = "" if answer.finish is Finish.REFUSED else answer.text, answer.called
    calls = [tool_call(called, f"{number:09x}"[-9:])] if called else None
    return {
        "id": f"{number:032x}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": call.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "tool_calls": calls},
                "finish_reason": FINISH_REASONS[answer.finish],
            }
        ],
        "usage": {
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
            "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        },
    }


def events(body: dict[str, Any], call: Call) -> Iterator[bytes]:  # noqa: ARG001 - the signature
    """Yield the chunks of a completion; the last one has the usage."""
    *first, last = chunks_of(body)
    yield from map(event, first)
    yield event(last | {name: body[name] for name in (USAGE_FIELD,) if name in body})
    yield DONE


def error(failure: Failure, model: str, number: int) -> ErrorReply:  # noqa: ARG001 - the signature
    """Return the error, in the one of Mistral's several shapes that belongs to it."""
    wish = {} if failure.wait_s is None else {"retry-after": whole_seconds(failure.wait_s)}
    if failure.kind is FailureKind.UNAUTHORISED:
        return ErrorReply(401, {"detail": "Unauthorized"}, wish)
    if failure.kind is FailureKind.UNPROCESSABLE:
        detail = {
            "type": "extra_forbidden",
            "loc": ["body"],
            "msg": failure.message or "Extra inputs are not permitted",
        }
        return ErrorReply(422, {"object": "error", "message": {"detail": [detail]}}, wish)
    status, type_, code, message = ERRORS[failure.kind]
    body = {
        "object": "error",
        "message": failure.message or message,
        "type": type_,
        "param": None,
        "code": code,
        "raw_status_code": status,
    }
    return ErrorReply(status, body, wish)


def headers(readings: Mapping[str, Reading], answer: Answer | None, number: int) -> dict[str, str]:
    """Return the identifier, the rates that are limited, and what this call took of them."""
    found = {"mistral-correlation-id": f"{number:032x}"}
    requests = readings.get("rpm")
    for name, reading in (("req", requests), ("tokens", readings.get("tpm"))):
        if reading is not None:
            found[f"x-ratelimit-limit-{name}-minute"] = str(reading.limit)
            found[f"x-ratelimit-remaining-{name}-minute"] = str(reading.remaining)
    if answer is not None:
        found["x-ratelimit-tokens-query-cost"] = str(answer.input_tokens + answer.output_tokens)
    return found
