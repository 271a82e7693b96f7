"""The events of a message that another provider has answered, calls of tools included."""

import json
from typing import Any

from api.anthropic.events import Events
from jobs.defaults import JobDefaults
from jobs.exchange import Usage
from jobs.lines import JobLine, LineReader
from jobs.live import Answered, LiveCall, Piece, Text
from jobs.routing import Catalogue
from tests.support.anthropic_surface import request
from tests.support.workshop import CONFIGURATION
from workers.protocols.openai import OpenAI

CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}


def told(text: str, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events of a streamed answer of a server of chat completions."""
    line = json.dumps(request(model="first/small")).encode()
    job = LineReader(JobDefaults(kind="messages"), Catalogue(CONFIGURATION)).read(1, line)
    assert isinstance(job, JobLine)
    reason = "tool_calls" if calls else "stop"
    said = {"message": {"content": text or None, "tool_calls": calls}, "finish_reason": reason}
    used = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    reply = json.dumps({"choices": [said], "usage": used}).encode()
    answer = OpenAI("http://llama:8000/v1").answer(200, {}, reply)
    assert answer.usage == Usage(input_tokens=3, output_tokens=2)
    events = Events(LiveCall("1", 1, job, 10, is_streamed=True))
    pieces: list[Piece] = [Text(text)] if text else []
    pieces.append(Answered(answer, "{}"))
    sent = b"".join(map(events.write, pieces)).decode()
    return [json.loads(event.partition("\ndata: ")[2]) for event in sent.strip("\n").split("\n\n")]


def test_a_call_of_a_tool_is_a_block_after_the_text() -> None:
    events = told("Let me look.", [CALL])
    assert [event["type"] for event in events] == [
        "message_start",
        *("content_block_start", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    assert [event["index"] for event in events[1:7]] == [0, 0, 0, 1, 1, 1]
    block = {"type": "tool_use", "id": "c1", "name": "look", "input": {}}
    assert events[4]["content_block"] == block
    assert json.loads(events[5]["delta"]["partial_json"]) == {"a": 1}
    assert events[7]["delta"]["stop_reason"] == "tool_use"
    assert events[7]["usage"]["output_tokens"] == 2


def test_without_a_text_the_first_call_is_the_first_block() -> None:
    events = told("", [CALL])
    assert [event["index"] for event in events if "index" in event] == [0, 0, 0]


def test_a_text_alone_has_no_other_block() -> None:
    events = told("Hi", [])
    assert [event["index"] for event in events if "index" in event] == [0, 0, 0]
    assert events[-2]["delta"]["stop_reason"] == "end_turn"
