"""The events of a streamed message: a provider's own, or written from the text of any other."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from api.anthropic.errors import error_of
from jobs.kinds.messages.message import message
from jobs.live import Answered, Event, LiveCall, Piece, Text

_encode = msgspec.json.Encoder().encode


class _Named(msgspec.Struct):
    type: str = ""


_decoder = msgspec.json.Decoder(_Named)


class Events:
    """Writes one message's events."""

    def __init__(self, call: LiveCall) -> None:
        self._call = call
        self._has_begun = self._is_passed = self._has_text = False

    def write(self, piece: Piece) -> bytes:
        """See `api.live_calls.StreamWriter`."""
        match piece:
            case Event(data):
                self._is_passed = True
                name = _decoder.decode(data).type
                # The last one is said once the call is in the books.
                return b"" if name == "message_stop" else _framed(name, data)
            case Text(text):
                delta = {"type": "text_delta", "text": text}
                return self._text_begun() + event("content_block_delta", index=0, delta=delta)
            case Answered():
                end = b"" if self._is_passed else self._end(piece)
                return end + event("message_stop")

    def failed(self, status: HTTPStatus, problem: Mapping[str, Any]) -> bytes:
        """Return the event that says why it can't go on."""
        return _framed("error", _encode(error_of(status, problem, self._call.id)))

    def _begun(self) -> bytes:
        """Return the first event. Its counts are estimates; the last event's are those that count."""
        if self._has_begun:
            return b""
        self._has_begun = True
        begin: dict[str, Any] = {
            "id": f"msg_{self._call.id}",
            "type": "message",
            "role": "assistant",
            "model": self._call.job.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": self._call.job.estimated_tokens, "output_tokens": 1},
        }
        return event("message_start", message=begin)

    def _text_begun(self) -> bytes:
        if self._has_text:
            return b""
        self._has_text = True
        block = {"type": "text", "text": ""}
        return self._begun() + event("content_block_start", index=0, content_block=block)

    def _end(self, answered: Answered) -> bytes:
        whole = message(answered.answer, answered.answer.text)
        told = self._begun()
        if self._has_text:
            told += event("content_block_stop", index=0)
        calls = [block for block in whole["content"] if block["type"] == "tool_use"]
        told += b"".join(
            _called(index, block) for index, block in enumerate(calls, start=int(self._has_text))
        )
        names = ("stop_reason", "stop_sequence", "stop_details")
        delta = {name: whole[name] for name in names}
        usage = {} if whole["usage"] is None else {"usage": whole["usage"]}
        return told + event("message_delta", delta=delta, **usage)


def _called(index: int, block: Mapping[str, Any]) -> bytes:
    """Return the events of a tool's call, which is told at once."""
    delta = {"type": "input_json_delta", "partial_json": _encode(block["input"]).decode()}
    return (
        event("content_block_start", index=index, content_block={**block, "input": {}})
        + event("content_block_delta", index=index, delta=delta)
        + event("content_block_stop", index=index)
    )


def event(name: str, **fields: Any) -> bytes:
    """Return an event of a type, with its fields."""
    return _framed(name, _encode({"type": name, **fields}))


def _framed(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"
