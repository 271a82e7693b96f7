"""A response in OpenAI's shape, made of the answer of a provider that has no such endpoint."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from jobs.exchange import Answer, Finish, Usage
from jobs.kinds.bodies import is_there
from jobs.kinds.responses.body import Body

REASONS = {
    Finish.TRUNCATED: "max_output_tokens",
    Finish.REFUSED: "content_filter",
    Finish.MALFUNCTION: "content_filter",
}
"""Why a response is incomplete; a model that said why it refuses has completed one, as OpenAI's do."""


def response(
    answer: Answer,
    text: str,
    body: Body,
    text_settings: msgspec.Raw,
    max_tokens: int,
    finished_at: datetime,
) -> dict[str, Any]:
    """Return the response.

    Args:
        answer: the provider's.
        text: what it says, which may have been mended.
        body: of the request; some of it is repeated.
        text_settings: the body's `text`, as it was written.
        max_tokens: the bound of the output.
        finished_at: aware; when it was answered.
    """
    number = answer.request_id or "none"
    reason = None if answer.refusal is not None else REASONS.get(answer.finish)
    status = "completed" if reason is None else "incomplete"
    finished_s = int(finished_at.timestamp())
    return {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": finished_s,
        "status": status,
        "completed_at": finished_s if reason is None else None,
        "background": False,
        "error": None,
        "incomplete_details": None if reason is None else {"reason": reason},
        "instructions": body.instructions,
        "max_output_tokens": max_tokens,
        "metadata": body.metadata or {},
        "model": answer.model or "",
        "output": list(_items(answer, text, number, status)),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": body.temperature,
        "text": text_settings,
        "tool_choice": "auto",
        "tools": body.tools if is_there(body.tools) else [],
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None if answer.usage is None else usage(answer.usage),
    }


def _items(answer: Answer, text: str, number: str, status: str) -> Iterator[dict[str, Any]]:
    """Yield the message, if there is one beside calls of the caller's tools, and these."""
    if text or answer.refusal is not None or not answer.calls:
        yield {
            "id": f"msg_{number}",
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [_piece(answer.refusal, text)],
        }
    for call in answer.calls:
        yield {
            "type": "function_call",
            "id": f"fc_{call.id}",
            "status": status,
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments,
        }


def _piece(refusal: str | None, text: str) -> dict[str, Any]:
    if refusal is not None:
        return {"type": "refusal", "refusal": refusal}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def usage(used: Usage) -> dict[str, Any]:
    """Return tokens in this endpoint's arithmetic: the input's hold those of the cache."""
    taken = used.total_input_tokens
    return {
        "input_tokens": taken,
        "input_tokens_details": {
            "cached_tokens": used.cached_input_tokens,
            "cache_write_tokens": used.cache_write_tokens,
        },
        "output_tokens": used.output_tokens,
        "output_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        "total_tokens": taken + used.output_tokens,
    }
