"""Gemini's generateContent: the model is in the path, the hints of a refusal are in the body."""

import math
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
    words_of,
)
from scripts.simulator.dialects.reading import decode, texts_of
from scripts.simulator.dialects.streaming import event

NAME = "gemini"
USAGE_FIELD = "usageMetadata"
BILLS_REFUSALS = True
REPORTS_REASONING = True

FINISH_REASONS = {Finish.COMPLETE: "STOP", Finish.TRUNCATED: "MAX_TOKENS"}

ERRORS: dict[FailureKind, tuple[int, str, str]] = {
    FailureKind.BAD_REQUEST: (400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    FailureKind.CONTEXT_TOO_LONG: (
        400,
        "INVALID_ARGUMENT",
        "The input token count exceeds the maximum number of tokens allowed.",
    ),
    FailureKind.UNPROCESSABLE: (400, "INVALID_ARGUMENT", "Invalid JSON payload received."),
    # A bad key is a 400 here, told apart by its reason.
    FailureKind.UNAUTHORISED: (400, "INVALID_ARGUMENT", "API key not valid."),
    FailureKind.QUOTA_EXHAUSTED: (402, "RESOURCE_EXHAUSTED", "Your prepaid credit is used up."),
    FailureKind.SPEND_LIMIT: (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    FailureKind.FORBIDDEN: (403, "PERMISSION_DENIED", "You may not use this model."),
    FailureKind.NOT_FOUND: (404, "NOT_FOUND", "The model is not found for this API version."),
    FailureKind.RATE_LIMITED: (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    FailureKind.SERVER_ERROR: (500, "INTERNAL", "An internal error has occurred."),
    FailureKind.UNAVAILABLE: (503, "UNAVAILABLE", "The service is currently unavailable."),
    FailureKind.OVERLOADED: (503, "UNAVAILABLE", "The model is overloaded."),
}

TYPE_PREFIX = "type.googleapis.com/google.rpc."


class Part(msgspec.Struct):
    """A piece of content; only text is read."""

    text: str = ""


class Content(msgspec.Struct):
    """One turn, or the system's instruction."""

    parts: list[Part]
    role: str = "user"


class GenerationConfig(msgspec.Struct, rename="camel"):
    """The fields of `generationConfig` that matter here."""

    max_output_tokens: int | None = None
    response_mime_type: str | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | None = None

    def schema(self) -> dict[str, Any] | None:
        """Return the schema asked for, None for text.

        Raises:
            Rejected: two schemas, or one without the JSON MIME type.
        """
        if self.response_schema is not None and self.response_json_schema is not None:
            raise Rejected("response_schema and response_json_schema exclude each other.")
        schema = self.response_json_schema
        if schema is None:
            schema = self.response_schema
        if self.response_mime_type == "application/json":
            return schema if schema is not None else {"type": "object"}
        if schema is not None:
            raise Rejected("A response schema needs response_mime_type application/json.")
        return None


class Request(msgspec.Struct, rename="camel"):
    """The fields of a request that matter here."""

    contents: list[Content]
    system_instruction: Content | None = None
    generation_config: GenerationConfig | None = None


_decoder = msgspec.json.Decoder(Request)


def read(body: bytes, model: str, version: str) -> Call:  # noqa: ARG001 - the dialects' signature
    """Return the call in `body` to the path's model."""
    request = decode(_decoder, body)
    if not request.contents:
        raise Rejected("contents is not specified")
    for content in request.contents:
        if content.role not in {"user", "model"}:
            raise Rejected("Please use a valid role: user, model.")
    contents = [
        *([request.system_instruction] if request.system_instruction else ()),
        *request.contents,
    ]
    turns = texts_of("\n".join(part.text for part in content.parts) for content in contents)
    config = request.generation_config or GenerationConfig()
    return read_call(model, turns, config.max_output_tokens, config.schema())


def answer(call: Call, answer: Answer, number: int) -> dict[str, Any]:
    """Return a response, without counters that are zero or candidates of a blocked prompt."""
    thoughts = answer.reasoning_tokens
    counters = {
        "promptTokenCount": answer.input_tokens,
        "cachedContentTokenCount": answer.cached_tokens,
        "candidatesTokenCount": answer.output_tokens - thoughts,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": answer.input_tokens + answer.output_tokens,
    }
    body: dict[str, Any] = {
        "usageMetadata": {name: count for name, count in counters.items() if count},
        "modelVersion": call.model,
        "responseId": f"{number:016x}",
    }
    if answer.finish is Finish.REFUSED:
        return {"promptFeedback": {"blockReason": "SAFETY"}} | body
    candidate = {
        "content": {"role": "model", "parts": [{"text": answer.text}]},
        "finishReason": FINISH_REASONS[answer.finish],
        "index": 0,
    }
    return {"candidates": [candidate]} | body


def events(body: dict[str, Any], call: Call) -> Iterator[bytes]:  # noqa: ARG001 - the signature
    """Yield a response as several, of which the last one has the reason; the counts are cumulative."""
    if "candidates" not in body:
        yield event(body)
        return
    (candidate,) = body["candidates"]
    (part,) = candidate["content"]["parts"]
    words = words_of(part["text"]) or [""]
    for number, word in enumerate(words, start=1):
        piece = {"content": {"role": "model", "parts": [{"text": word}]}, "index": 0}
        if number == len(words):
            piece["finishReason"] = candidate["finishReason"]
        yield event(body | {"candidates": [piece]})


def error(failure: Failure, model: str, number: int) -> ErrorReply:  # noqa: ARG001 - the signature
    """Return the error; a rate limit's details say which quota it is and how long to wait."""
    status, name, message = ERRORS[failure.kind]
    details: list[dict[str, Any]] = []
    match failure.kind:
        case FailureKind.UNAUTHORISED:
            details = [_detail("ErrorInfo", reason="API_KEY_INVALID", domain="googleapis.com")]
        case FailureKind.SPEND_LIMIT:
            details = [_violation("GenerateRequestsPerDayPerProjectPerModel", model, failure)]
        case FailureKind.RATE_LIMITED:
            counted = "InputTokens" if failure.is_about_tokens else "Requests"
            period = "Day" if failure.is_daily else "Minute"
            quota = f"Generate{counted}Per{period}PerProjectPerModel"
            details = [_violation(quota, model, failure)]
        case _:
            pass
    if failure.wait_s is not None:
        wait = f"{math.ceil(failure.wait_s * 1000) / 1000:g}s"
        details.append(_detail("RetryInfo", retryDelay=wait))
        message = f"{message} Please retry in {wait}."
    body = {
        "error": {
            "code": status,
            "message": failure.message or message,
            "status": name,
            **({"details": details} if details else {}),
        }
    }
    return ErrorReply(status, body, {})


def _detail(kind: str, **fields: object) -> dict[str, Any]:
    return {"@type": TYPE_PREFIX + kind, **fields}


def _violation(quota_id: str, model: str, failure: Failure) -> dict[str, Any]:
    violation = {
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
        "quotaId": quota_id,
        "quotaDimensions": {"model": model, "location": "global"},
        "quotaValue": str(failure.limit or 1000),
    }
    return _detail("QuotaFailure", violations=[violation])


def headers(
    readings: Mapping[str, Reading],  # noqa: ARG001 - Gemini has no rate headers
    answer: Answer | None,  # noqa: ARG001 - the dialects' signature
    number: int,  # noqa: ARG001 - the dialects' signature
) -> dict[str, str]:
    """Return nothing: Gemini documents no headers, and its identifier is in the body."""
    return {}
