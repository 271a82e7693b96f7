"""Tools, calls of them and pictures: how bodies of each surface reach the formats of others, and back."""

import json
from typing import Any, cast

import msgspec
import pytest

from api.openai.chunks import Chunks
from jobs.configuration import BatchLane, Configuration
from jobs.defaults import JobDefaults
from jobs.errors import LineFault
from jobs.exchange import Answer, Finish
from jobs.kinds import KINDS
from jobs.kinds.kind import Good
from jobs.lines import JobLine, LineReader, rebuild
from jobs.live import Answered, Text
from jobs.routing import Catalogue
from jobs.tokens import most_tokens
from scripts.simulator import dialects
from workers.calls.calls import said
from workers.lanes.wire import LaneHttp, lane_of
from workers.protocols.anthropic import VERSION, Anthropic
from workers.protocols.mistral import Mistral
from workers.protocols.openai import OpenAI
from workers.protocols.protocol import Protocol

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FUNCTION = {"name": "look", "description": "Looks.", "parameters": SCHEMA, "strict": True}
DATA, ADDRESS = "data:image/png;base64,QUJD", "https://mill.test/wheel.png"


def call(call_id: str, arguments: str = '{"a": 1}') -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "look", "arguments": arguments}}


def picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


CHAT: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "See:"}, picture(DATA)]},
        {"role": "assistant", "content": "I look.", "tool_calls": [call("call_1"), call("call_2")]},
        {"role": "tool", "tool_call_id": "call_1", "content": "a wheel"},
        {"role": "tool", "tool_call_id": "call_2", "content": "a pond"},
        {"role": "user", "content": [picture(ADDRESS), {"type": "text", "text": "And?"}]},
    ],
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": "required",
    "parallel_tool_calls": False,
}
MESSAGES: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "system": "Be brief.",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See:"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "call_1", "name": "look", "input": {"a": 1}},
                {"type": "tool_use", "id": "call_2", "name": "look", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "a wheel"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": "a pond"},
                {"type": "image", "source": {"type": "url", "url": ADDRESS}},
                {"type": "text", "text": "And?"},
            ],
        },
    ],
    "tools": [{"name": "look", "input_schema": SCHEMA, "description": "Looks.", "strict": True}],
    "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
}
RESPONSE: dict[str, Any] = {
    "model": "m",
    "max_output_tokens": 9,
    "instructions": "Be brief.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "See:"},
                {"type": "input_image", "image_url": DATA},
            ],
        },
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"a": 1}'},
        {"type": "function_call", "call_id": "call_2", "name": "look", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "a wheel"},
        {"type": "function_call_output", "call_id": "call_2", "output": "a pond"},
        {
            "role": "user",
            "content": [
                {"type": "input_image", "image_url": ADDRESS},
                {"type": "input_text", "text": "And?"},
            ],
        },
    ],
    "tools": [{"type": "function", **FUNCTION}],
    "tool_choice": "required",
    "parallel_tool_calls": False,
}
BODIES = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSE}
URLS = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}

PROVIDERS = Configuration.model_validate(
    {
        "providers": {
            name: {"protocol": name, "base_url": f"http://{name}.test", "models": [f"{name}-m"]}
            for name in ("openai", "anthropic", "mistral", "gemini")
        }
    }
)


def written(kind: str, body: Any) -> bytes:
    if kind == "messages":
        return json.dumps({"custom_id": "a", "params": body}).encode()
    line = {"custom_id": "a", "method": "POST", "url": URLS[kind], "body": body}
    return json.dumps(line).encode()


def read(kind: str, body: Any, model: str) -> JobLine | LineFault:
    reader = LineReader(JobDefaults(kind=kind), Catalogue(PROVIDERS), mixes_kinds=False)
    return reader.read(1, written(kind, body | {"model": model}))


def plan_of(kind: str, body: Any) -> Any:
    defaults = JobDefaults(kind=kind)
    return KINDS[kind].plan(rebuild(kind, written(kind, body).decode(), defaults))


def asked(kind: str, provider: str, protocol: Protocol, **fields: Any) -> dict[str, Any]:
    """The body that a provider is sent for a surface's."""
    body = BODIES[kind] | fields
    assert isinstance(read(kind, body, f"{provider}-m"), JobLine)
    (request,) = plan_of(kind, body).requests
    wire = protocol.request(said(PROVIDERS.providers[provider], request), "m", None)
    document: dict[str, Any] = json.loads(wire.body)
    return document


@pytest.mark.parametrize("kind", ["chat", "responses"])
def test_openais_bodies_reach_anthropic_in_its_own_words(kind: str) -> None:
    document = asked(kind, "anthropic", Anthropic())
    if kind == "responses":
        # Anthropic takes neighbouring turns of one side for one.
        text, calls = document["messages"][1:3]
        blocks = [{"type": "text", "text": text["content"]}, *calls["content"]]
        document["messages"][1:3] = [{"role": "assistant", "content": blocks}]
    assert document == MESSAGES


def test_anthropics_params_reach_mistral_as_openais_body_does() -> None:
    ours, theirs = (asked(kind, "mistral", Mistral()) for kind in ("chat", "messages"))
    assert ours == theirs
    user, said_so, *results, last = ours["messages"][1:]
    assert user == CHAT["messages"][1]
    assert last == CHAT["messages"][5]
    ids = [made["id"] for made in said_so["tool_calls"]]
    assert ids == [result["tool_call_id"] for result in results]
    assert [len(made) for made in ids] == [9, 9]
    assert len(set(ids)) == 2
    assert ours["tools"] == CHAT["tools"]
    assert (ours["tool_choice"], ours["parallel_tool_calls"]) == ("required", False)


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize(
    ("provider", "protocol"), [("anthropic", Anthropic()), ("mistral", Mistral())]
)
def test_a_provider_takes_what_it_is_told(kind: str, provider: str, protocol: Protocol) -> None:
    body = json.dumps(asked(kind, provider, protocol)).encode()
    read_there = dialects.DIALECTS[provider].read(body, "m", VERSION)
    assert read_there.tool is not None
    assert read_there.tool.parameters == SCHEMA


@pytest.mark.parametrize("kind", BODIES)
def test_native_batches_are_told_the_same(kind: str) -> None:
    (request,) = plan_of(kind, BODIES[kind]).requests
    http = cast("LaneHttp", None)  # nothing is sent
    for name, protocol in (("anthropic", Anthropic()), ("mistral", Mistral())):
        lane = PROVIDERS.providers[name].model_copy(update={"batch_lane": BatchLane()})
        batches = lane_of(lane, http)
        assert batches is not None
        line = json.loads(batches.line("a", "m", request))
        told = line["params"] if name == "anthropic" else line["body"]
        whole = asked(kind, name, protocol)
        assert {field: told[field] for field in ("messages", "tools", "tool_choice")} == {
            field: whole[field] for field in ("messages", "tools", "tool_choice")
        }


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ("auto", None),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    ],
)
def test_which_tool_is_called_is_told(choice: Any, told: Any) -> None:
    fields = {"tool_choice": choice, "parallel_tool_calls": True}
    assert asked("chat", "anthropic", Anthropic(), **fields).get("tool_choice") == told
    there = asked("chat", "mistral", Mistral(), **fields).get("tool_choice")
    assert there == (None if choice == "auto" else choice)


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        ("chat", {}, "body.tools"),
        ("chat", {"messages": CHAT["messages"][1:2], "tools": []}, "body.messages[0].content"),
        ("responses", {}, "body.tool_choice"),
        ("messages", {}, "params.tool_choice"),
    ],
)
def test_a_format_whose_words_for_it_are_not_known_is_not_asked(
    kind: str, fields: dict[str, Any], field: str
) -> None:
    neutral = {"tool_choice": "auto"} if fields else {}
    fault = read(kind, BODIES[kind] | fields | neutral, "gemini-m")
    assert isinstance(fault, LineFault)
    assert fault.code == "unsupported_parameter"
    assert "gemini" in fault.message
    assert fault.field == field


TURNS = CHAT["messages"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools"),
        ({"tools": [{"type": "function", "function": {**FUNCTION, "x": 1}}]}, "tools"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice"),
        ({"functions": [FUNCTION]}, "functions"),
        ({"messages": [*TURNS[:4], {**TURNS[4], "tool_call_id": "x"}]}, "messages[4].tool_call_id"),
        (
            {"messages": [TURNS[1], {**TURNS[2], "tool_calls": [call("c", "{")]}]},
            "messages[1].tool_calls",
        ),
        (
            {"messages": [{"role": "user", "content": [picture("ftp://mill.test/a.png")]}]},
            "messages[0].content",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "image_url", "image_url": {"url": DATA, "detail": "low"}}
                        ],
                    }
                ]
            },
            "messages[0].content",
        ),
    ],
)
def test_what_has_no_place_in_another_format_is_named(fields: dict[str, Any], field: str) -> None:
    fault = read("chat", CHAT | fields, "anthropic-m")
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.field) == ("unsupported_parameter", f"body.{field}")
    assert isinstance(read("chat", CHAT | fields, "openai-m"), JobLine)


def test_money_is_reserved_for_the_instructions_that_come_with_tools_elsewhere() -> None:
    (plain,) = plan_of("chat", CHAT | {"tools": [], "tool_choice": "auto"}).requests
    (equipped,) = plan_of("chat", CHAT).requests
    assert most_tokens(equipped) - most_tokens(plain) > 1000


USED_HERE = {"input_tokens": 3, "output_tokens": 2}
USED_THERE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def of_anthropic() -> Answer:
    used = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"a": 1}}
    content = [{"type": "text", "text": "I look."}, used]
    reply = {"content": content, "stop_reason": "tool_use", "usage": USED_HERE}
    return Anthropic().answer(200, {}, json.dumps(reply).encode())


def of_mistral(reason: str = "tool_calls") -> Answer:
    message = {"role": "assistant", "content": "", "tool_calls": [call("a1b2c3d4e")]}
    choice = {"message": message, "finish_reason": reason}
    reply = {"choices": [choice], "usage": USED_THERE}
    return Mistral().answer(200, {}, json.dumps(reply).encode())


def output(kind: str, answer: Answer) -> Any:
    verdict = plan_of(kind, BODIES[kind]).judge((), answer)
    assert isinstance(verdict, Good)
    return json.loads(msgspec.json.encode(verdict.output))


def test_calls_come_back_as_the_surface_has_them() -> None:
    (choice,) = output("chat", of_anthropic())["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "I look."
    (made,) = choice["message"]["tool_calls"]
    assert made["id"] == "toolu_1"
    assert json.loads(made["function"].pop("arguments")) == {"a": 1}
    assert made["function"] == {"name": "look"}

    message = output("messages", of_mistral())
    assert message["stop_reason"] == "tool_use"
    assert message["content"] == [
        {"type": "tool_use", "id": "a1b2c3d4e", "name": "look", "input": {"a": 1}}
    ]
    _text, item = output("responses", of_anthropic())["output"]
    assert (item["type"], item["call_id"], item["name"]) == ("function_call", "toolu_1", "look")


def test_a_call_that_was_demanded_by_name_is_one_though_its_reason_is_another() -> None:
    assert of_mistral("stop").finish is Finish.TOOL_CALL
    message = {"content": None, "tool_calls": [call("c")]}
    reply = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    answer = OpenAI("http://llama:8000/v1").answer(200, {}, reply)
    assert answer.finish is Finish.TOOL_CALL


def test_a_call_with_bytes_that_are_no_text_costs_no_paid_answer() -> None:
    used = b'{"type":"tool_use","id":"t","name":"look","input":{"a":"\xff"}}'
    reply = b'{"content":[%b],"stop_reason":"tool_use"}' % used
    (made,) = Anthropic().answer(200, {}, reply).calls
    assert json.loads(made.arguments) == {"a": "\ufffd"}


def streamed(protocol: Protocol, events: list[Any]) -> Answer:
    assembly = protocol.assembly()
    for event in events:
        assembly.add(json.dumps(event).encode() if isinstance(event, dict) else event)
    assert assembly.is_complete
    return protocol.answer(200, {}, assembly.body())


def message_events(*arguments: str) -> list[Any]:
    used = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    text = {"type": "text", "text": ""}
    return [
        {"type": "message_start", "message": {"usage": USED_HERE}},
        {"type": "content_block_start", "index": 0, "content_block": text},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": "I look."},
        },
        {"type": "content_block_start", "index": 1, "content_block": used},
        *(
            {
                "type": "content_block_delta",
                "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": piece},
            }
            for piece in arguments
        ),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": USED_HERE},
        {"type": "message_stop"},
    ]


def test_a_call_in_anthropics_events_is_told_in_chunks() -> None:
    answer = streamed(Anthropic(), message_events("", '{"a": ', "12345678901234567890}"))
    chunks = Chunks("1", "m", wants_usage=True)
    sent = (chunks.write(Text("I look.")) + chunks.write(Answered(answer, "{}"))).decode()
    documents = [json.loads(data[6:]) for data in sent.strip().split("\n\n")[:-1]]
    (told,) = [
        delta["tool_calls"]
        for document in documents
        for delta in [choice["delta"] for choice in document["choices"]]
        if "tool_calls" in delta
    ]
    assert told == [
        {
            "index": 0,
            "id": "toolu_1",
            "type": "function",
            "function": {"name": "look", "arguments": '{"a": 12345678901234567890}'},
        }
    ]
    assert documents[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_call_that_was_cut_off_is_none() -> None:
    answer = streamed(Anthropic(), message_events('{"a": '))
    assert (answer.text, answer.calls) == ("I look.", ())


def test_a_call_in_chunks_is_put_together() -> None:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    function = {"name": "look", "arguments": ""}
    events = [
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}),
        *(
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
            for piece in ('{"a"', ": 1}")
        ),
        chunk({"tool_calls": [{"index": 1, "id": "c2", "function": function}, {"odd": 1}]}),
        chunk({"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
        b"[DONE]",
    ]
    for protocol in (OpenAI("http://llama:8000/v1"), Mistral()):
        answer = streamed(protocol, events)
        found = [(made.id, made.name, made.arguments) for made in answer.calls]
        assert found == [("c1", "look", '{"a": 1}'), ("c2", "look", "{}")]
        assert answer.finish is Finish.TOOL_CALL
