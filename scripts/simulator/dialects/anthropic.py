"""Anthropic's messages."""

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import orjson

from scripts.simulator.buckets import Reading
from scripts.simulator.calls import (
    Answer,
    Call,
    ErrorReply,
    Failure,
    FailureKind,
    Finish,
    Rejected,
    Tool,
    read_call,
    words_of,
)
from scripts.simulator.dialects.reading import Content, Part, decode, texts_of, whole_seconds
from scripts.simulator.dialects.streaming import event
from scripts.simulator.dialects.tools import choose
from scripts.simulator.schemas import is_closed

NAME = "anthropic"
USAGE_FIELD = "usage"
BILLS_REFUSALS = False
REPORTS_REASONING = True

STOP_REASONS = {
    Finish.COMPLETE: "end_turn",
    Finish.TRUNCATED: "max_tokens",
    Finish.REFUSED: "refusal",
    Finish.TOOL_CALL: "tool_use",
}

SOME = {"any": "some", "auto": "auto", "none": "none"}
"""How tools may be called, by `tool_choice.type`."""

VERSION_WITHOUT_SAMPLING = "2026-10-21"
"""From this `anthropic-version` on, temperature, top_p and top_k are a 400."""

ERRORS: dict[FailureKind, tuple[int, str, str]] = {
    FailureKind.BAD_REQUEST: (400, "invalid_request_error", "Invalid request."),
    FailureKind.CONTEXT_TOO_LONG: (400, "invalid_request_error", "prompt is too long"),
    FailureKind.UNPROCESSABLE: (422, "invalid_request_error", "Unprocessable request."),
    FailureKind.UNAUTHORISED: (401, "authentication_error", "invalid x-api-key"),
    FailureKind.QUOTA_EXHAUSTED: (402, "billing_error", "Your credit balance is too low."),
    FailureKind.SPEND_LIMIT: (429, "rate_limit_error", "You have reached your spend limit."),
    FailureKind.FORBIDDEN: (403, "permission_error", "You may not use this model."),
    FailureKind.NOT_FOUND: (404, "not_found_error", "There is no such model."),
    FailureKind.RATE_LIMITED: (429, "rate_limit_error", "This request would exceed a rate limit."),
    FailureKind.SERVER_ERROR: (500, "api_error", "Internal server error"),
    FailureKind.UNAVAILABLE: (503, "api_error", "Service unavailable"),
    FailureKind.OVERLOADED: (529, "overloaded_error", "Overloaded"),
}

MOST_MARKS = 4
"""Of a prompt cache, in one request."""

ROUNDED_TO_TOKENS = 1000
"""Remaining input and output tokens are told to the nearest thousand."""

HEADER_DIMENSIONS = {"itpm": "input-tokens", "otpm": "output-tokens", "tpm": "tokens"}


class Message(msgspec.Struct):
    """One message; other fields are accepted and not looked at."""

    role: str
    content: Content


class Format(msgspec.Struct):
    """`output_config.format`."""

    type: str
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct):
    """`output_config`."""

    format: Format | None = None


class OwnTool(msgspec.Struct):
    """A tool that the caller runs."""

    name: str
    input_schema: dict[str, Any]


class ToolChoice(msgspec.Struct):
    """`tool_choice`."""

    type: str
    name: str = ""


class Request(msgspec.Struct):
    """The fields of a request that matter here."""

    model: str
    max_tokens: int
    messages: list[Message]
    system: Content = None
    output_config: OutputConfig | None = None
    stream: bool | None = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    tools: list[OwnTool] | None = None
    tool_choice: ToolChoice | None = None


_decoder = msgspec.json.Decoder(Request)


def read(body: bytes, model: str, version: str) -> Call:  # noqa: ARG001 - the dialects' signature
    """Return the call in `body`."""
    if not version:
        raise Rejected("anthropic-version: header is required")
    request = decode(_decoder, body)
    _check(request, version)
    contents = (request.system, *(message.content for message in request.messages))
    turns = texts_of(contents)
    wanted = request.output_config and request.output_config.format
    schema = wanted.schema if wanted else None
    if schema is not None and not is_closed(schema):
        raise Rejected(
            "output_config.format.schema: For 'object' type, "
            "'additionalProperties' must be explicitly set to false"
        )
    call = read_call(request.model, turns, request.max_tokens, schema)
    call.marked = _marked(contents)
    call.is_streamed = bool(request.stream)
    choice = request.tool_choice or ToolChoice("auto")
    tools = [Tool(tool.name, tool.input_schema) for tool in request.tools or ()]
    has_results = _check_blocks(request.messages)
    choose(call, tools, SOME.get(choice.type, choice.name), has_results=has_results)
    return call


def _check_blocks(messages: list[Message]) -> bool:
    """Return whether the last message has what calls have brought."""
    called: set[str] = set()
    brought: set[str] = set()
    for message in messages:
        parts = message.content if isinstance(message.content, list) else []
        brought = {part.tool_use_id for part in parts if part.type == "tool_result"}
        if called != brought:
            raise Rejected("tool_use blocks need a tool_result block each, immediately after")
        called = {part.id for part in parts if part.type == "tool_use"}
        for part in parts:
            if part.type == "image" and (part.source or {}).get("type") not in {"base64", "url"}:
                raise Rejected("image.source: Input should be a valid source")
            if part.type == "text" and not part.text:
                raise Rejected("text content blocks must be non-empty")
    return bool(brought)


def _marked(contents: Iterable[Content]) -> str:
    """Return the text up to the last mark, empty where there is none."""
    texts: list[str] = []
    marked, marks = "", 0
    for content in contents:
        for part in [Part(text=content)] if isinstance(content, str) else content or ():
            texts.append(part.text)
            if part.cache_control is None:
                continue
            marks += 1
            if part.cache_control.get("type") != "ephemeral":
                raise Rejected("cache_control.type: Input should be 'ephemeral'")
            if not part.text:
                raise Rejected("cache_control cannot be set for empty text blocks")
            marked = "\n".join(texts)
    if marks > MOST_MARKS:
        raise Rejected(f"A maximum of {MOST_MARKS} blocks with cache_control may be provided.")
    return marked


def _check(request: Request, version: str) -> None:
    if not request.messages:
        raise Rejected("messages: at least one message is required")
    if request.max_tokens < 1:
        raise Rejected("max_tokens: must be greater than or equal to 1")
    sampling = (request.temperature, request.top_p, request.top_k)
    if version >= VERSION_WITHOUT_SAMPLING and any(value is not None for value in sampling):
        raise Rejected("temperature, top_p and top_k are not supported by this version")


def answer(call: Call, answer: Answer, number: int) -> dict[str, Any]:
    """Return a `message`. A refusal comes before any output: no content, and nothing is billed."""
    is_refused, written = answer.finish is Finish.REFUSED, answer.cache_write_tokens
    refusal = {"type": "refusal", "category": None, "explanation": answer.text}
    return {
        "id": f"msg_{number:024x}",
        "type": "message",
        "role": "assistant",
        "model": call.model,
        "content": [] if is_refused else [_block(answer, number)],
        "stop_reason": STOP_REASONS[answer.finish],
        "stop_sequence": None,
        "stop_details": refusal if is_refused else None,
        "usage": {
            "input_tokens": answer.input_tokens - answer.cached_tokens - written,
            "cache_read_input_tokens": answer.cached_tokens,
            "cache_creation_input_tokens": written,
            "cache_creation": {
                "ephemeral_5m_input_tokens": written,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"thinking_tokens": answer.reasoning_tokens},
            "server_tool_use": None,
            "service_tier": "standard",
            "speed": "standard",
            "inference_geo": None,
        },
    }


def _block(answer: Answer, number: int) -> dict[str, Any]:
    if answer.called is None:
        return {"type": "text", "text": answer.text}
    name, called = answer.called
    return {"type": "tool_use", "id": f"toolu_{number:024x}", "name": name, "input": called}


def events(body: dict[str, Any], call: Call) -> Iterator[bytes]:  # noqa: ARG001 - the signature
    """Yield the events of a message; the counts of the last one are the whole ones."""
    usage = body.get(USAGE_FIELD)
    start = {**body, "content": [], "stop_reason": None}
    if usage is not None:
        start[USAGE_FIELD] = {**usage, "output_tokens": 1}
    yield _event("message_start", message=start)
    for index, block in enumerate(body["content"]):
        empty, deltas = _pieces(block)
        yield _event("content_block_start", index=index, content_block=empty)
        yield _event("ping")
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    told = {} if usage is None else {"usage": {"output_tokens": usage["output_tokens"]}}
    names = ("stop_reason", "stop_sequence", "stop_details")
    yield _event("message_delta", delta={name: body[name] for name in names}, **told)
    yield _event("message_stop")


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return how a block begins, and its content word by word."""
    if block["type"] == "tool_use":
        words = words_of(orjson.dumps(block["input"]).decode())
        return {**block, "input": {}}, [
            {"type": "input_json_delta", "partial_json": word} for word in words
        ]
    words = words_of(block["text"])
    return {**block, "text": ""}, [{"type": "text_delta", "text": word} for word in words]


def _event(name: str, **fields: Any) -> bytes:
    return event({"type": name, **fields}, name)


def error(failure: Failure, model: str, number: int) -> ErrorReply:  # noqa: ARG001 - the signature
    """Return the error; one of a spend limit never says when to try again."""
    status, type_, message = ERRORS[failure.kind]
    detail: dict[str, Any] = {"type": type_, "message": failure.message or message}
    wait_s = failure.wait_s
    if failure.kind is FailureKind.SPEND_LIMIT:
        detail["details"] = {"error_code": "enforced_spend_limit_reached"}
        wait_s = None
    body = {"type": "error", "error": detail, "request_id": f"req_{number:016x}"}
    return ErrorReply(
        status, body, {} if wait_s is None else {"retry-after": whole_seconds(wait_s)}
    )


def headers(
    readings: Mapping[str, Reading],
    answer: Answer | None,  # noqa: ARG001 - the dialects' signature
    number: int,
) -> dict[str, str]:
    """Return the identifiers and each rate that is limited, with its reset as a point in time."""
    found = {"request-id": f"req_{number:016x}", "anthropic-organization-id": "org-sim"}
    requests = readings.get("rpm") or readings.get("rps")
    if requests is not None:
        found |= _rate("requests", requests, requests.remaining)
    for dimension, name in HEADER_DIMENSIONS.items():
        reading = readings.get(dimension)
        if reading is not None:
            nearest = (reading.remaining + ROUNDED_TO_TOKENS // 2) // ROUNDED_TO_TOKENS
            found |= _rate(name, reading, nearest * ROUNDED_TO_TOKENS)
    return found


def _rate(name: str, reading: Reading, remaining: int) -> dict[str, str]:
    reset_at = datetime.now(UTC) + timedelta(seconds=math.ceil(reading.full_in_s))
    return {
        f"anthropic-ratelimit-{name}-limit": str(reading.limit),
        f"anthropic-ratelimit-{name}-remaining": str(remaining),
        f"anthropic-ratelimit-{name}-reset": reset_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
