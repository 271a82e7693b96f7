"""What answering in events needs in more than one dialect."""

from collections.abc import Iterator
from typing import Any

import orjson

from scripts.simulator.calls import words_of
from scripts.simulator.dialects.tools import deltas_of

DONE = b"data: [DONE]\n\n"


def event(value: Any, name: str = "") -> bytes:
    """Return a value as an event, with a name where the dialect has them."""
    named = f"event: {name}\n".encode() if name else b""
    return named + b"data: " + orjson.dumps(value) + b"\n\n"


def chunks_of(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a chat completion as its chunks, without the usage."""
    frame = {name: body[name] for name in ("id", "created", "model")}
    frame["object"] = "chat.completion.chunk"
    (choice,) = body["choices"]
    message = choice["message"]

    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return frame | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    yield chunk({"role": "assistant", "content": ""})
    for word in words_of(message["content"] or ""):
        yield chunk({"content": word})
    for pieces in deltas_of(message.get("tool_calls") or ()):
        yield chunk({"tool_calls": pieces})
    if message.get("refusal"):
        yield chunk({"refusal": message["refusal"]})
    yield chunk({}, choice["finish_reason"])
