"""OpenAI's chat completions."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
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
from scripts.simulator.schemas import is_closed, requires_everything

NAME = "openai"
USAGE_FIELD = "usage"
BILLS_REFUSALS = True
REPORTS_REASONING = True

FINISH_REASONS = {
    Finish.COMPLETE: "stop",
    Finish.TRUNCATED: "length",
    Finish.REFUSED: "stop",
    Finish.TOOL_CALL: "tool_calls",
}

PERIODS = {"s": "sec", "m": "min", "h": "hour", "d": "day"}
"""The last letter of a dimension, as errors have it."""

REQUESTS = ("rpm", "rps", "rph", "rpd")
TOKENS = ("tpm", "tpd")
"""Which limit the headers tell of where there are several."""

ERRORS: dict[FailureKind, tuple[int, str, str | None, str]] = {
    FailureKind.BAD_REQUEST: (400, "invalid_request_error", None, "Invalid request."),
    FailureKind.CONTEXT_TOO_LONG: (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens.",
    ),
    FailureKind.UNPROCESSABLE: (422, "invalid_request_error", None, "Unprocessable request."),
    FailureKind.UNAUTHORISED: (
        401,
        "invalid_request_error",
        "invalid_api_key",
        "Incorrect API key provided.",
    ),
    FailureKind.QUOTA_EXHAUSTED: (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
    FailureKind.SPEND_LIMIT: (
        429,
        "insufficient_quota",
        "organization_spend_limit_exceeded",
        "Your organization has reached its spend limit.",
    ),
    FailureKind.FORBIDDEN: (403, "invalid_request_error", None, "You are not allowed to do this."),
    FailureKind.NOT_FOUND: (
        404,
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    FailureKind.RATE_LIMITED: (429, "requests", "rate_limit_exceeded", "Rate limit reached."),
    FailureKind.SERVER_ERROR: (
        500,
        "server_error",
        None,
        "The server had an error while processing your request.",
    ),
    FailureKind.UNAVAILABLE: (
        503,
        "service_unavailable_error",
        "server_is_overloaded",
        "The engine is currently overloaded, please try again later.",
    ),
    # OpenAI has no 529; this is its word for being overloaded.
    FailureKind.OVERLOADED: (
        503,
        "service_unavailable_error",
        "server_is_overloaded",
        "The server is overloaded or not ready yet.",
    ),
}


class Message(ChatMessage, kw_only=True):
    """One message; other fields are accepted and not looked at."""

    content: Content = None


class Request(msgspec.Struct):
    """The fields of a request that matter here."""

    model: str
    messages: list[Message]
    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    response_format: ResponseFormat | None = None
    stream: bool | None = False
    stream_options: dict[str, Any] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None


_decoder = msgspec.json.Decoder(Request)


def read(body: bytes, model: str, version: str) -> Call:  # noqa: ARG001 - the dialects' signature
    """Return the call in `body`."""
    request = decode(_decoder, body)
    if not request.messages:
        raise Rejected("Invalid 'messages': empty array.")
    if request.stream_options is not None and not request.stream:
        raise Rejected("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    max_tokens = request.max_completion_tokens or request.max_tokens
    turns = texts_of(message.content for message in request.messages)
    wanted, schema = request.response_format, None
    if wanted is not None:
        _check_format(wanted, turns)
        schema = wanted.schema()
    call = read_call(request.model, turns, max_tokens, schema)
    tools, choice = (
        map(function_of, request.tools or ()),
        choice_of(request.tool_choice, "required"),
    )
    choose(call, tools, choice, has_results=check_results(request.messages))
    if request.stream:
        call.is_streamed = True
        call.tells_usage = bool((request.stream_options or {}).get("include_usage"))
    return call


def _check_format(wanted: ResponseFormat, turns: Sequence[str]) -> None:
    if wanted.type == "json_object" and not any("json" in turn.lower() for turn in turns):
        raise Rejected("'messages' must contain the word 'json' in some form.")
    named = wanted.json_schema
    if named and named.strict:
        check_strict("response_format", named.name, named.schema)


def check_strict(field: str, name: str, schema: dict[str, Any]) -> None:
    """Find out whether strict mode takes a schema.

    Raises:
        Rejected: it doesn't.
    """
    if not is_closed(schema):
        raise Rejected(
            f"Invalid schema for {field} {name!r}: "
            "'additionalProperties' is required to be supplied and to be false."
        )
    if not requires_everything(schema):
        raise Rejected(
            f"Invalid schema for {field} {name!r}: "
            "'required' is required to be an array including every key in properties."
        )


def answer(call: Call, answer: Answer, number: int) -> dict[str, Any]:
    """Return a `chat.completion`; a refusal has its own field, and no content."""
    is_refused, called = answer.finish is Finish.REFUSED, answer.called
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": call.model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None if is_refused or called else answer.text,
                    "refusal": answer.text if is_refused else None,
                    **(
                        {"tool_calls": [tool_call(called, f"call_{number:024x}")]} if called else {}
                    ),
                },
                "finish_reason": FINISH_REASONS[answer.finish],
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
            "prompt_tokens_details": {
                "cached_tokens": answer.cached_tokens,
                "cache_write_tokens": answer.cache_write_tokens,
                "audio_tokens": 0,
            },
            "completion_tokens_details": {
                "reasoning_tokens": answer.reasoning_tokens,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
                "audio_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": None,
    }


def events(body: dict[str, Any], call: Call) -> Iterator[bytes]:
    """Yield the chunks of a completion; the usage comes last, in one of its own, if it is asked for."""
    told = {"usage": None} if call.tells_usage else {}
    for chunk in chunks_of(body):
        yield event(chunk | told)
    if call.tells_usage and USAGE_FIELD in body:
        frame = {name: body[name] for name in ("id", "created", "model")}
        frame["object"] = "chat.completion.chunk"
        yield event(frame | {"choices": [], USAGE_FIELD: body[USAGE_FIELD]})
    yield DONE


def error(failure: Failure, model: str, number: int) -> ErrorReply:  # noqa: ARG001 - the signature
    """Return the error; a limit's figures are in its text, as OpenAI has them."""
    status, type_, code, message = ERRORS[failure.kind]
    if failure.kind is FailureKind.RATE_LIMITED:
        type_, code, message = _rate_limited(failure, model)
    detail = {
        "message": failure.message or message,
        "type": type_,
        "param": None,
        "code": code,
    }
    return ErrorReply(status, {"error": detail}, _wish(failure.wait_s))


def _rate_limited(failure: Failure, model: str) -> tuple[str, str, str]:
    if failure.dimension == "concurrency":
        return "rate_limit_error", "slow_down", "Too many requests at once. Please slow down."
    type_ = "tokens" if failure.is_about_tokens else "requests"
    again = "" if failure.wait_s is None else f" Please try again in {duration(failure.wait_s)}."
    if not failure.dimension:
        return type_, "rate_limit_exceeded", f"Rate limit reached for {model}.{again}"
    period = PERIODS[failure.dimension[-1]]
    words = f"{type_} per {period} ({failure.dimension.upper()})"
    if failure.requested > failure.limit:
        message = (
            f"Request too large for {model} in organization org-sim on {words}: "
            f"Limit {failure.limit}, Requested {failure.requested}."
        )
    else:
        message = (
            f"Rate limit reached for {model} in organization org-sim on {words}: Limit "
            f"{failure.limit}, Used {failure.used}, Requested {failure.requested}.{again}"
        )
    return type_, "rate_limit_exceeded", message


def _wish(wait_s: float | None) -> dict[str, str]:
    if wait_s is None:
        return {}
    return {
        "retry-after": whole_seconds(wait_s),
        "retry-after-ms": str(math.ceil(wait_s * 1000)),
    }


def headers(
    readings: Mapping[str, Reading],
    answer: Answer | None,  # noqa: ARG001 - the dialects' signature
    number: int,
) -> dict[str, str]:
    """Return the identifiers and the two rates, requests and tokens, where they are limited."""
    found = {
        "x-request-id": f"req_{number:016x}",
        "openai-organization": "org-sim",
        "openai-version": "2020-10-01",
    }
    for name, dimensions in (("requests", REQUESTS), ("tokens", TOKENS)):
        reading = next(filter(None, map(readings.get, dimensions)), None)
        if reading is not None:
            found[f"x-ratelimit-limit-{name}"] = str(reading.limit)
            found[f"x-ratelimit-remaining-{name}"] = str(reading.remaining)
            found[f"x-ratelimit-reset-{name}"] = duration(reading.full_in_s)
    return found


def duration(seconds: float) -> str:
    """Return a time as OpenAI writes it: `20ms`, `1.5s`, `6m0s`, `1h2m3s`."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest_ms = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
