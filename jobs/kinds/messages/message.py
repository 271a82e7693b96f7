"""A message in Anthropic's shape, made of the answer of a provider of another format."""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from jobs.exchange import Answer, Finish, Usage

REASONS = {
    Finish.COMPLETE: "end_turn",
    Finish.TRUNCATED: "max_tokens",
    Finish.TOOL_CALL: "tool_use",
    Finish.REFUSED: "refusal",
    Finish.MALFUNCTION: "refusal",
    Finish.OTHER: "end_turn",
}
"""Why a model stopped. Others don't tell which text has ended an answer, so none says `stop_sequence`."""


def message(answer: Answer, text: str) -> dict[str, Any]:
    """Return the message.

    Args:
        answer: the provider's.
        text: what it says, which may have been mended.
    """
    reason = REASONS[answer.finish]
    return {
        "id": _id(answer),
        "type": "message",
        "role": "assistant",
        "model": answer.model or "",
        "content": list(_blocks(answer, text)),
        "stop_reason": reason,
        "stop_sequence": None,
        "stop_details": _refusal(answer) if reason == "refusal" else None,
        "usage": None if answer.usage is None else usage(answer.usage),
    }


def _blocks(answer: Answer, text: str) -> Iterator[dict[str, Any]]:
    if text:
        yield {"type": "text", "text": text}
    for call in answer.calls:
        yield {
            "type": "tool_use",
            "id": call.id,
            "name": call.name,
            "input": _arguments(call.arguments),
        }


def _arguments(text: str) -> dict[str, Any]:
    """Return what a tool is called with; under `arguments` as it came where it is no object."""
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except msgspec.DecodeError:
        return {"arguments": text}


def usage(used: Usage) -> dict[str, Any]:
    """Return tokens in Anthropic's arithmetic: those of the cache are not among the input's."""
    return {
        "input_tokens": used.input_tokens,
        "cache_creation_input_tokens": used.cache_write_tokens,
        "cache_read_input_tokens": used.cached_input_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": used.cache_write_tokens,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": used.output_tokens,
        "output_tokens_details": {"thinking_tokens": used.reasoning_tokens},
        "server_tool_use": None,
        "service_tier": "standard",
    }


def _id(answer: Answer) -> str:
    """Return a name of Anthropic's form for an answer, of what its provider calls it."""
    named = answer.request_id or "none"
    return f"msg_{hashlib.sha256(named.encode()).hexdigest()[:24]}"


def _refusal(answer: Answer) -> dict[str, Any]:
    return {"type": "refusal", "category": None, "explanation": answer.refusal}
