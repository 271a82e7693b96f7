"""Requests of Anthropic's batches: what is passed on, what is said in other words, and what can't be."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from jobs.defaults import JobDefaults
from jobs.errors import LineFault, RequestRejected
from jobs.exchange import Answer, Endpoint, Finish, Message, ModelRequest, Usage
from jobs.kinds import KINDS
from jobs.kinds.bodies import INSTRUCTIONS_TOKENS
from jobs.kinds.chat.completion import completion
from jobs.kinds.kind import Bad, Good
from jobs.kinds.messages.body import Body
from jobs.kinds.messages.unbounded import faults_of
from jobs.lines import JobLine, LineReader, rebuild
from jobs.prices import PriceBook
from jobs.routing import Catalogue
from jobs.tokens import MOST_TOKENS_PER_IMAGE, TOKENS_PER_IMAGE, estimate_request, most_tokens
from tests.support.workshop import CONFIGURATION, MESSAGE, workshop
from workers.calls.calls import Caller
from workers.prompt_caching.prefix import Prefix
from workers.protocols.anthropic import VERSION, Anthropic
from workers.protocols.openai import OpenAI

DEFAULTS = JobDefaults(kind="messages")
SAY = {"role": "user", "content": "Hi"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
PICTURE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "A" * 9000},
}
CALL = {"type": "tool_use", "id": "t", "name": "look", "input": {"where": "behind the mill" * 20}}
BROUGHT = {
    "type": "tool_result",
    "tool_use_id": "t",
    "content": [{"type": "text", "text": "a wheel " * 50}, PICTURE],
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"format": {"type": "json_schema", "schema": SCHEMA}}
USED = Usage(
    input_tokens=3, cached_input_tokens=2, cache_write_tokens=7, output_tokens=4, reasoning_tokens=1
)


def written(params: Any, **line: Any) -> bytes:
    line = {"custom_id": "a", **line}
    return json.dumps(line).encode()[:-1] + b',"params":' + _json(params) + b"}"


def _json(params: Any) -> bytes:
    return params if isinstance(params, bytes) else json.dumps(params).encode()


def read(params: Any, **line: Any) -> JobLine | LineFault:
    reader = LineReader(DEFAULTS, Catalogue(CONFIGURATION), mixes_kinds=False)
    return reader.read(1, written(params, **line))


def request_of(params: Any) -> ModelRequest:
    rebuilt = rebuild("messages", written(params).decode(), DEFAULTS)
    assert KINDS["messages"].check(rebuilt) is None
    (request,) = KINDS["messages"].plan(rebuilt).requests
    return request


def judged(params: Any, answer: Answer) -> Any:
    line = rebuild("messages", written(params).decode(), DEFAULTS)
    return KINDS["messages"].plan(line).judge((), answer)


def tiny(**fields: Any) -> dict[str, Any]:
    return {"model": "second/tiny", "max_tokens": 50, "messages": [SAY], **fields}


def content(*blocks: Any) -> dict[str, Any]:
    return tiny(messages=[{"role": "user", "content": list(blocks)}])


def test_params_are_passed_on_to_the_digit_but_for_their_model() -> None:
    params = (
        b'{"top_k": 5, "model":"cheap","top_p":0.10, "max_tokens":9,'
        b'"system":[{"type":"text","text":"\\u00e9","cache_control":{"type":"ephemeral"}}],'
        b'"messages":[{"role":"user","content":"Hi"}],"thinking":{"type":"adaptive"},'
        b'"tools":[{"name":"f","x":123456789012345678901234567890,"y":1.50}],"new":{"b":1,"a":2}}'
    )
    kept = Prefix("x", 2000)
    wire = Anthropic().request(request_of(params), "claude-x", None, kept=kept)
    assert wire.path == "/messages"
    assert ("anthropic-version", VERSION) in wire.headers
    assert wire.body == (
        b'{"top_k":5,"model":"claude-x","top_p":0.10,"max_tokens":9,'
        b'"system":[{"type":"text","text":"\\u00e9","cache_control":{"type":"ephemeral"}}],'
        b'"messages":[{"role":"user","content":"Hi"}],"thinking":{"type":"adaptive"},'
        b'"tools":[{"name":"f","x":123456789012345678901234567890,"y":1.50}],"new":{"b":1,"a":2}}'
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": [TOOL] * 3, "tool_choice": {"type": "any"}},
        {"messages": [SAY, {"role": "assistant", "content": [CALL]}, SAY]},
        {"messages": [{"role": "user", "content": "é" * 500}], "system": "x"},
        {"output_config": FORMAT},
    ],
)
def test_the_most_that_goes_in_is_no_less_than_the_params_have_bytes(
    fields: dict[str, Any],
) -> None:
    params = tiny(**fields)
    request = request_of(params)
    assert most_tokens(request) >= len(json.dumps(params, ensure_ascii=False).encode())
    assert 0 < estimate_request(request) < most_tokens(request)


def test_a_picture_counts_as_one_and_not_by_its_bytes_wherever_it_is() -> None:
    text = {"type": "text", "text": "a"}
    for seen, plain in (
        (content(text, PICTURE), content(text)),
        (content(BROUGHT), content({**BROUGHT, "content": BROUGHT["content"][:1]})),
    ):
        more, less = request_of(seen), request_of(plain)
        assert estimate_request(more) - estimate_request(less) == TOKENS_PER_IMAGE
        assert 0 < most_tokens(more) - most_tokens(less) - MOST_TOKENS_PER_IMAGE < 200


def test_tools_calls_of_them_and_what_they_brought_count_as_input() -> None:
    plain = estimate_request(request_of(tiny()))
    assert estimate_request(request_of(tiny(tools=[TOOL]))) - plain > INSTRUCTIONS_TOKENS
    called = tiny(messages=[SAY, {"role": "assistant", "content": [CALL]}, SAY])
    assert estimate_request(request_of(called)) - plain > 50
    assert estimate_request(request_of(content(BROUGHT))) - plain > 80


def test_a_budget_reckons_with_max_tokens() -> None:
    reader = LineReader(DEFAULTS, Catalogue(CONFIGURATION), prices=PriceBook(CONFIGURATION))
    assert isinstance(reader.read(1, written(tiny(model="small", max_tokens=5000))), JobLine)
    assert reader.least_nanos is not None
    assert reader.least_nanos >= 5000 * 1000  # at a dollar for a million


@pytest.mark.parametrize(
    ("params", "field"),
    [(tiny(of_tomorrow=1), "params.of_tomorrow"), (content(PICTURE), "params")],
)
def test_no_budget_holds_what_nobody_can_reckon(params: Any, field: str) -> None:
    assert isinstance(read(params), JobLine)
    reader = LineReader(DEFAULTS, Catalogue(CONFIGURATION), prices=PriceBook(CONFIGURATION))
    fault = reader.read(1, written(params))
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.field) == ("unbounded_cost", field)


@pytest.mark.parametrize("levels", [100, 400, 5_000, 100_000])
def test_however_deep_a_body_is_nested_it_is_told_so(levels: int) -> None:
    inner = b'[{"type":"tool_result","content":' * levels + b'""' + b"}]" * levels
    params = (
        b'{"model":"second/tiny","max_tokens":5,"messages":[{"role":"user","content":%s}]}' % inner
    )
    fault = read(params)
    assert isinstance(fault, LineFault)
    assert fault.code == "too_deep"


def test_other_formats_are_asked_in_their_own_words() -> None:
    request = request_of(
        {
            "model": "cheap",
            "max_tokens": 50,
            "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
            "messages": [
                SAY,
                {"role": "assistant", "content": "Yes?"},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "a"},
                        {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}},
                    ],
                },
            ],
            "temperature": 0.5,
            "top_p": 0.9,
            "stop_sequences": ["END"],
            "output_config": FORMAT,
            "metadata": {"user_id": "u1"},
            "service_tier": "auto",
            "thinking": {"type": "disabled"},
            "tool_choice": {"type": "auto"},
            "tools": [],
            "top_k": None,
            "stream": False,
        }
    )
    assert request.passed is not None
    assert (request.passed.unmapped, request.passed.endpoint) == ((), Endpoint.MESSAGES)
    assert (request.system, request.max_tokens) == ("Be brief.\nBe kind.", 50)
    assert (request.temperature, request.top_p, request.stop) == (0.5, 0.9, ("END",))
    assert request.schema == SCHEMA
    turns = (Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "a\nb"))
    assert request.messages == turns


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [{**TOOL, "cache": 1}]}, "tools"),
        ({"top_k": 5}, "top_k"),
        ({"thinking": {"type": "adaptive"}}, "thinking"),
        ({"thinking": 5}, "thinking"),
        ({"of_tomorrow": 1}, "of_tomorrow"),
        ({"output_config": {"effort": "max"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format"),
        ({"stop_sequences": ["a", "b", "c", "d", "e"]}, "stop_sequences"),
        ({"messages": [SAY, {"role": "assistant", "content": "{"}]}, "messages[1].role"),
        ({"messages": [{"role": "user", "content": [BROUGHT]}]}, "messages[0].content[0].type"),
    ],
)
def test_what_only_anthropics_format_can_say_is_refused_for_a_route_with_another(
    fields: dict[str, Any], field: str
) -> None:
    assert isinstance(read(tiny(**fields) | {"model": "second/tiny"}), JobLine)
    fault = read(tiny(**fields) | {"model": "cheap"})
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.field) == ("unsupported_parameter", f"params.{field}")
    assert "first" in fault.message


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        (
            {"tools": [{**TOOL, "description": "Looks.", "cache_control": {"type": "ephemeral"}}]},
            "tools",
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "look",
                            "parameters": {"type": "object"},
                            "description": "Looks.",
                        },
                    }
                ]
            },
        ),
        (
            {
                "tools": [TOOL],
                "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
            },
            "tool_choice",
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "look"}},
            "tool_choice",
            {"tool_choice": {"type": "function", "function": {"name": "look"}}},
        ),
        ({"output_config": {"effort": "low"}}, "output_config.effort", {"reasoning_effort": "low"}),
        (
            {"messages": [{"role": "system", "content": "x"}, SAY]},
            "",
            {"messages": [{"role": "system", "content": "x"}, SAY]},
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, PICTURE]}]},
            "messages[0].content[1].type",
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "a"},
                            {
                                "type": "image_url",
                                "image_url": {"url": "data:image/png;base64," + "A" * 9000},
                            },
                        ],
                    }
                ]
            },
        ),
        (
            {
                "system": "Be brief.",
                "messages": [
                    SAY,
                    {"role": "assistant", "content": [{"type": "text", "text": "Let me."}, CALL]},
                    {
                        "role": "user",
                        "content": [
                            {"type": "tool_result", "tool_use_id": "t", "content": "a wheel"},
                            {"type": "text", "text": "And?"},
                        ],
                    },
                ],
            },
            "messages[1].content[1].type",
            {
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    SAY,
                    {
                        "role": "assistant",
                        "content": "Let me.",
                        "tool_calls": [
                            {
                                "id": "t",
                                "type": "function",
                                "function": {
                                    "name": "look",
                                    "arguments": json.dumps(CALL["input"]),
                                },
                            }
                        ],
                    },
                    {"role": "tool", "tool_call_id": "t", "content": "a wheel"},
                    {"role": "user", "content": [{"type": "text", "text": "And?"}]},
                ]
            },
        ),
    ],
)
def test_servers_of_chat_completions_are_told_tools_their_calls_and_pictures(
    fields: dict[str, Any], field: str, said: dict[str, Any]
) -> None:
    params = tiny(temperature=0.5, stop_sequences=["END"], **fields)
    passed = request_of(params).passed
    assert passed is not None
    paths = {*passed.unmapped, *(need.path for need in passed.needs)}
    assert paths == ({f"params.{field}"} if field else set())
    assert passed.in_chat is not None
    document = json.loads(bytes(passed.in_chat))
    assert {name: document[name] for name in said} == said
    assert (document["temperature"], document["stop"]) == (0.5, ["END"])
    assert isinstance(read({**params, "model": "cheap"}), JobLine)


def test_calls_of_tools_come_back_as_blocks() -> None:
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}},
        {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{"}},
    ]
    choice = {"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
    reply = json.dumps({"choices": [choice]}).encode()
    answer = OpenAI("http://llama:8000/v1").answer(200, {}, reply)
    verdict = judged(tiny(tools=[TOOL], output_config=FORMAT), answer)
    assert isinstance(verdict, Good)
    assert verdict.output["stop_reason"] == "tool_use"
    assert verdict.output["content"] == [
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"a": 1}},
        {"type": "tool_use", "id": "c2", "name": "look", "input": {"arguments": "{"}},
    ]


async def test_nothing_is_left_out_of_a_request_after_the_configuration_has_changed() -> None:
    def reply(_request: httpx.Request) -> httpx.Response:
        raise AssertionError("a call was made")

    caller = Caller(httpx.MockTransport(reply), deadline_s=1)
    other = CONFIGURATION.providers["first"]
    with pytest.raises(RequestRejected, match=r"params\.top_k"):
        await caller.call(other, None, "small", request_of(tiny(top_k=5)))


@pytest.mark.parametrize(
    ("params", "code", "field"),
    [
        (tiny(stream=True), "unsupported_parameter", "stream"),
        (tiny(speed="fast"), "unsupported_parameter", "speed"),
        (tiny(inference_geo="us"), "unsupported_parameter", "inference_geo"),
        (tiny(mcp_servers=[{}]), "unsupported_parameter", "mcp_servers"),
        (tiny(container="c"), "unsupported_parameter", "container"),
        (tiny(fallbacks=[{}]), "unsupported_parameter", "fallbacks"),
        (tiny(context_management={"edits": []}), "unsupported_parameter", "context_management"),
        (
            tiny(tools=[TOOL, {"type": "web_search_20250305", "name": "web_search"}]),
            "unsupported_parameter",
            "tools[1].type",
        ),
        (
            tiny(system=[{"type": "text", "text": "a", "cache_control": {"ttl": "1h"}}]),
            "unsupported_parameter",
            "system[0].cache_control.ttl",
        ),
        (
            content({"type": "document", "source": {"type": "base64", "data": "JVBERi0="}}),
            "unsupported_parameter",
            "messages[0].content[0].source.type",
        ),
        (
            content({"type": "image", "source": {"type": "file", "file_id": "f"}}),
            "unsupported_parameter",
            "messages[0].content[0].source.type",
        ),
        (tiny(messages=[]), "out_of_range", "messages"),
        (tiny(messages=[{"role": "usr", "content": ""}]), "invalid_value", "messages[0].role"),
        (content({"type": "container_upload"}), "invalid_value", "messages[0].content[0].type"),
        (tiny(max_tokens=0), "out_of_range", "max_tokens"),
        (tiny(temperature=1.5), "out_of_range", "temperature"),
        ({"model": "tiny", "messages": [SAY]}, "missing_field", "max_tokens"),
        ("Hi", "wrong_format", ""),
        (tiny(model="unheard-of"), "unknown_model", "model"),
    ],
)
def test_what_is_no_request_or_costs_nobody_knows_what_is_refused(
    params: Any, code: str, field: str
) -> None:
    fault = read(params)
    assert isinstance(fault, LineFault), fault
    assert fault.code == code
    assert fault.field in {f"params.{field}".rstrip("."), "model" if field == "model" else ""}
    assert len(fault.message) > 10


def test_a_document_is_text_where_it_is_sent_as_one() -> None:
    for source in (
        {"type": "text", "media_type": "text/plain", "data": "A long story."},
        {"type": "content", "content": [{"type": "text", "text": "A long story."}]},
    ):
        request = request_of(content({"type": "document", "source": source, "title": "Mills"}))
        assert request.passed is not None
        assert "A long story." in request.passed.beside
        assert "Mills" in request.passed.beside


def test_a_live_call_may_stream() -> None:
    body = msgspec.json.decode(_json(tiny(stream=True)), type=Body)
    assert list(faults_of(body, may_stream=True)) == []
    assert [fault.field for fault in faults_of(body)] == ["params.stream"]


def test_a_batch_has_requests_of_this_kind_only_with_ids_of_anthropics_pattern() -> None:
    fault = read(tiny(), kind="generation")
    assert isinstance(fault, LineFault)
    assert fault.field == "kind"
    assert isinstance(read(tiny(), strange=1), LineFault)
    for custom_id, is_one in (("a" * 64, True), ("A_-9", True), ("a" * 65, False), ("a.b", False)):
        assert isinstance(read(tiny(), custom_id=custom_id), JobLine) is is_one


@pytest.mark.parametrize(
    ("fields", "collapses"),
    [({}, False), ({"temperature": 0}, True), ({"temperature": 0.1}, False)],
)
def test_the_same_request_brings_one_answer_only_where_nothing_is_drawn(
    fields: dict[str, Any], collapses: bool
) -> None:
    job = read(tiny(**fields))
    assert isinstance(job, JobLine)
    assert job.collapses is collapses


def test_a_message_comes_back_as_its_provider_wrote_it() -> None:
    reply = b'{"id": "x",\n "n": 1.50, "content": [ {"type": "tool_use", "input": {}} ]}'
    answer = Answer("", Finish.TOOL_CALL, None, reply=reply, endpoint=Endpoint.MESSAGES)
    verdict = judged(tiny(tools=[TOOL]), answer)
    assert isinstance(verdict, Good)
    assert bytes(verdict.output) == (
        b'{"id":"x","n":1.50,"content":[{"type":"tool_use","input":{}}]}'
    )


def test_a_refusal_is_a_message_as_well() -> None:
    body = json.dumps({**MESSAGE, "stop_reason": "refusal", "content": []}).encode()
    answer = Anthropic().answer(200, {}, body)
    assert answer.finish is Finish.REFUSED
    verdict = judged(tiny(), answer)
    assert isinstance(verdict, Good)
    assert json.loads(bytes(verdict.output))["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    ("answer", "blocks", "reason", "details"),
    [
        (Answer("Hello", Finish.COMPLETE, USED), ["Hello"], "end_turn", None),
        (Answer("Hel", Finish.TRUNCATED, USED), ["Hel"], "max_tokens", None),
        (
            Answer("", Finish.REFUSED, USED, refusal="No."),
            [],
            "refusal",
            {"type": "refusal", "category": None, "explanation": "No."},
        ),
        (
            Answer("Hi", Finish.COMPLETE, USED, reply=b'{"choices":[]}', endpoint=Endpoint.CHAT),
            ["Hi"],
            "end_turn",
            None,
        ),
    ],
)
def test_another_providers_answer_becomes_a_message(
    answer: Answer, blocks: list[str], reason: str, details: Any
) -> None:
    verdict = judged(tiny(), answer)
    assert isinstance(verdict, Good)
    message = verdict.output
    assert (message["type"], message["role"]) == ("message", "assistant")
    assert message["content"] == [{"type": "text", "text": text} for text in blocks]
    assert (message["stop_reason"], message["stop_sequence"]) == (reason, None)
    assert message["stop_details"] == details
    usage = message["usage"]
    assert usage["input_tokens"] == 3
    assert usage["cache_read_input_tokens"] == 2
    assert usage["cache_creation_input_tokens"] == 7
    assert usage["output_tokens"] == 4
    assert usage["output_tokens_details"] == {"thinking_tokens": 1}


def test_each_surface_counts_in_its_own_arithmetic() -> None:
    """Of the same answer of a Claude model OpenAI's counts hold the cache's tokens, Anthropic's don't."""
    usage = {
        "input_tokens": 3,
        "cache_read_input_tokens": 2,
        "cache_creation_input_tokens": 7,
        "output_tokens": 4,
    }
    answer = Anthropic().answer(200, {}, json.dumps({**MESSAGE, "usage": usage}).encode())
    assert answer.usage is not None
    told = completion(answer, answer.text, datetime.now(UTC))["usage"]
    assert (told["prompt_tokens"], told["total_tokens"]) == (12, 16)
    assert told["prompt_tokens_details"] == {"cached_tokens": 2, "cache_write_tokens": 7}


def test_a_format_is_looked_after_where_the_provider_has_another() -> None:
    params = tiny(output_config=FORMAT)
    good = judged(params, Answer('```json\n{"a": 1}\n```', Finish.COMPLETE, USED))
    assert isinstance(good, Good)
    assert good.mended
    assert good.output["content"] == [{"type": "text", "text": '{"a":1}'}]
    bad = judged(params, Answer('{"a": "one"}', Finish.COMPLETE, USED))
    assert isinstance(bad, Bad)
    assert bad.code == "schema_violation"


async def test_the_whole_way_over_both_formats(tmp_path: Path) -> None:
    lines = [
        {"kind": "messages", **json.loads(written(tiny(model="first/small"), custom_id="a"))},
        {"kind": "messages", **json.loads(written(tiny(model="second/tiny"), custom_id="b"))},
    ]
    completed = {
        "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    async with workshop(tmp_path) as shop:
        for line, said in zip(lines, (completed, {**MESSAGE, "more": [0.5]}), strict=True):
            shop.provider.replies.append(httpx.Response(200, json=said))
            await shop.run(shop.submit([line]))
        outputs = [json.loads(result.output or "") for result in shop.results()]
    assert outputs[0]["content"] == [{"type": "text", "text": "Hello"}]
    assert outputs[0]["usage"]["input_tokens"] == 3
    assert outputs[1] == {**MESSAGE, "more": [0.5]}
