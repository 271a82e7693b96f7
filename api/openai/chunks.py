"""The chunks of a streamed completion: a provider's own, or written from the text of any other."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from api.openai.errors import error_of
from jobs.kinds.chat.completion import REASONS, call_of, usage
from jobs.live import Answered, Event, Piece, Text

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


class _Seen(msgspec.Struct):
    """What tells a provider's last chunk, which has its usage and nothing else."""

    choices: list[msgspec.Raw] | None = None
    usage: Any = None


_decoder = msgspec.json.Decoder(_Seen)


class Chunks:
    """Writes one completion's chunks."""

    def __init__(self, call_id: str, model: str, *, wants_usage: bool) -> None:
        self._id = f"chatcmpl-{call_id}"
        self._model = model
        self._wants_usage = wants_usage
        self._created = int(time.time())
        self._has_begun = self._is_passed = False

    def write(self, piece: Piece) -> bytes:
        """See `api.live_calls.StreamWriter`; there is none for what its client did not ask for."""
        match piece:
            case Event(data):
                self._is_passed = True
                return self._passed(data)
            case Text(text):
                return self._begun() + self._chunk({"content": text})
            case Answered():  # which is in the books by now
                return DONE if self._is_passed else self._end(piece) + DONE

    def failed(self, status: HTTPStatus, problem: Mapping[str, Any]) -> bytes:
        """Return the event that says why it can't go on."""
        return event(error_of(status, problem, ""))

    def _passed(self, data: bytes) -> bytes:
        if data == b"[DONE]":
            return b""
        if not self._wants_usage:
            seen = _decoder.decode(data)
            if not seen.choices and seen.usage is not None:
                return b""
        return b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n"

    def _begun(self) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _end(self, answered: Answered) -> bytes:
        answer = answered.answer
        told = self._begun()
        if answer.refusal is not None:
            told += self._chunk({"refusal": answer.refusal})
        if answer.calls:
            calls = [{"index": index, **call_of(call)} for index, call in enumerate(answer.calls)]
            told += self._chunk({"tool_calls": calls})
        reason = "stop" if answer.refusal is not None else REASONS[answer.finish]
        told += self._chunk({}, reason)
        if self._wants_usage and answer.usage is not None:
            told += event(self._frame([]) | {"usage": usage(answer.usage)})
        return told

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return event(self._frame([choice]))

    def _frame(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }


def event(value: Any) -> bytes:
    """Return a value as an event."""
    return b"data: " + _encode(value) + b"\n\n"
