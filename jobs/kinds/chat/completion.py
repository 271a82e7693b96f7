"""A completion in OpenAI's shape, made of the answer of a provider of another format."""

from datetime import datetime
from typing import Any

from jobs.exchange import Answer, Finish, ToolCall, Usage

REASONS = {
    Finish.COMPLETE: "stop",
    Finish.TRUNCATED: "length",
    Finish.TOOL_CALL: "tool_calls",
    Finish.REFUSED: "content_filter",
    Finish.MALFUNCTION: "content_filter",
    Finish.OTHER: "stop",
}
"""A model that said why it refuses has stopped, as OpenAI's do: see `completion`."""


def completion(answer: Answer, text: str, finished_at: datetime) -> dict[str, Any]:
    """Return the completion.

    Args:
        answer: the provider's.
        text: what it says, which may have been mended.
        finished_at: aware; when it was answered.
    """
    is_told = answer.refusal is not None
    return {
        "id": f"chatcmpl-{answer.request_id or 'none'}",
        "object": "chat.completion",
        "created": int(finished_at.timestamp()),
        "model": answer.model or "",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None if is_told or (answer.calls and not text) else text,
                    "refusal": answer.refusal,
                    **(
                        {"tool_calls": [call_of(call) for call in answer.calls]}
                        if answer.calls
                        else {}
                    ),
                },
                "finish_reason": "stop" if is_told else REASONS[answer.finish],
                "logprobs": None,
            }
        ],
        "usage": None if answer.usage is None else usage(answer.usage),
    }


def call_of(call: ToolCall) -> dict[str, Any]:
    """Return a call of a tool."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def usage(used: Usage) -> dict[str, Any]:
    """Return tokens in OpenAI's arithmetic: the prompt's hold those of the cache."""
    prompt = used.total_input_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": used.output_tokens,
        "total_tokens": prompt + used.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": used.cached_input_tokens,
            "cache_write_tokens": used.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
    }
