"""Answers that come in events: cut out of bytes, and put together to what they'd be in one piece."""

import json
from typing import Any

import pytest

from jobs.errors import ConnectionLost, MalformedReply, ProviderError
from jobs.exchange import Finish, Usage
from workers.protocols.anthropic import Anthropic
from workers.protocols.events import EventReader
from workers.protocols.gemini import Gemini
from workers.protocols.mistral import Mistral
from workers.protocols.openai import OpenAI
from workers.protocols.protocol import Assembly, Protocol, WireRequest

WIRE = WireRequest("/x", (), b'{"model":"m"}')


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "c1", "model": "m-1", "choices": [choice], **more}


CHAT_USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
MESSAGE: dict[str, Any] = {"id": "msg_1", "model": "m-1", "content": [], "stop_reason": None}
CHAT = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "Hel"}),
    chunk({"content": "lo"}),
    chunk({}, "stop", usage=None),
]
EVENTS: dict[str, list[Any]] = {
    "openai": [*CHAT, {"id": "c1", "choices": [], "usage": CHAT_USAGE}, "[DONE]"],
    "mistral": [*CHAT[:-1], chunk({}, "stop", usage=CHAT_USAGE), "[DONE]"],
    "anthropic": [
        {
            "type": "message_start",
            "message": MESSAGE | {"usage": {"input_tokens": 9, "output_tokens": 1}},
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        {"type": "ping"},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": text},
            }
            for text in ("Hel", "lo")
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": 4, "input_tokens": None},
        },
        {"type": "message_stop"},
    ],
    "gemini": [
        {
            "candidates": [{"content": {"parts": [{"text": "hm", "thought": True}]}}],
            "usageMetadata": {"promptTokenCount": 9},
        },
        {"candidates": [{"content": {"parts": [{"text": "Hel"}]}}]},
        {
            "candidates": [{"content": {"parts": [{"text": "lo"}]}, "finishReason": "STOP"}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4},
        },
    ],
}
PROTOCOLS: dict[str, Protocol] = {
    "openai": OpenAI("https://api.openai.com/v1"),
    "mistral": Mistral(),
    "anthropic": Anthropic(),
    "gemini": Gemini(),
}


def data_of(event: Any) -> bytes:
    return event.encode() if isinstance(event, str) else json.dumps(event).encode()


def heard(protocol: str, events: list[Any]) -> tuple[str, Assembly]:
    assembly = PROTOCOLS[protocol].assembly()
    return "".join(assembly.add(data_of(event)) for event in events), assembly


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_events_are_read_as_the_reply_that_they_are_together(protocol: str) -> None:
    text, assembly = heard(protocol, EVENTS[protocol])
    assert (text, assembly.is_complete) == ("Hello", True)
    answer = PROTOCOLS[protocol].answer(200, {}, assembly.body())
    assert (answer.text, answer.finish) == ("Hello", Finish.COMPLETE)
    assert answer.usage == Usage(input_tokens=9, output_tokens=4)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_answer_without_its_last_event_is_not_complete(protocol: str) -> None:
    _text, assembly = heard(protocol, EVENTS[protocol][:-1])
    assert not assembly.is_complete


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"error": {"message": "overloaded", "type": "x"}}, ConnectionLost),
        ("{", MalformedReply),
        ("[]", MalformedReply),
    ],
)
def test_an_event_that_is_none_breaks_the_answer_off(
    protocol: str, event: Any, kind: type[ProviderError]
) -> None:
    _text, assembly = heard(protocol, EVENTS[protocol][:2])
    with pytest.raises(kind) as raised:
        assembly.add(data_of(event))
    assert raised.value.may_have_run


def test_several_choices_are_put_together_and_the_first_is_told() -> None:
    second = {"index": 1, "delta": {"content": "Bye"}, "finish_reason": "length"}
    text, assembly = heard("openai", [*CHAT[:2], {"choices": [second]}, *CHAT[2:], "[DONE]"])
    assert text == "Hello"
    choices = json.loads(assembly.body())["choices"]
    assert [choice["message"]["content"] for choice in choices] == ["Hello", "Bye"]


def test_a_blocked_prompt_is_a_refusal() -> None:
    _text, assembly = heard("gemini", [{"promptFeedback": {"blockReason": "SAFETY"}}])
    assert assembly.is_complete
    assert PROTOCOLS["gemini"].answer(200, {}, assembly.body()).finish is Finish.REFUSED


def test_a_stream_is_asked_for_in_each_ones_way() -> None:
    bodies = {name: json.loads(each.streamed(WIRE).body) for name, each in PROTOCOLS.items()}
    assert bodies["openai"]["stream_options"] == {"include_usage": True}
    assert bodies["mistral"] == bodies["anthropic"] == {"stream": True, "model": "m"}
    path = PROTOCOLS["gemini"].streamed(WireRequest("/models/m:generateContent", (), b"{}")).path
    assert path == "/models/m:streamGenerateContent?alt=sse"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_events_are_cut_out_wherever_the_bytes_are_cut(size: int, end: str) -> None:
    lines = [": a comment", "event: a", "data: 1", "", "", "data:2", "data: é", "id: 4", "", "x"]
    stream = end.join(lines).encode()
    reader = EventReader()
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [event for piece in pieces for event in reader.feed(piece)] == [
        b"1",
        "2\né".encode(),
    ]
