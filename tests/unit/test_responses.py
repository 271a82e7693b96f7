"""Lines for `/v1/responses`: what is passed on, what is said in other words, and what can't be."""

import json
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from openai.types.responses import Response

from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.errors import (
    LineFault,
    MalformedReply,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from jobs.exchange import Answer, Endpoint, Finish, Message, ModelRequest, Usage
from jobs.kinds import KINDS
from jobs.kinds.kind import Bad, Good
from jobs.lines import JobLine, LineReader, rebuild
from jobs.prices import PriceBook
from jobs.routing import Catalogue
from jobs.tokens import estimate_request, most_tokens
from tests.support.workshop import CONFIGURATION, MESSAGE, workshop
from workers.calls.calls import Caller
from workers.protocols.openai import OpenAI

DEFAULTS = JobDefaults(kind="responses", max_tokens=4096)
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 9000}
CALLED = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
LOOKED = {"type": "function_call_output", "call_id": "c", "output": "nothing"}
USED = Usage(input_tokens=3, cached_input_tokens=2, output_tokens=4, reasoning_tokens=1)


def with_responses(**top: Any) -> Configuration:
    """The configuration, whose first provider has the endpoint."""
    document = CONFIGURATION.model_dump() | top
    document["providers"]["first"]["responses"] = True
    return Configuration.model_validate(document)


HAS_IT = with_responses()


def written(body: Any, **line: Any) -> bytes:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", **line}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.dumps(line).encode()[:-1] + b',"body":' + raw + b"}"


def asks(**fields: Any) -> dict[str, Any]:
    return {"model": "small", "input": "Hi", **fields}


def says(*content: Any, **message: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content), **message}


def read(
    body: Any, configuration: Configuration = HAS_IT, *, budget: bool = False, **line: Any
) -> JobLine | LineFault:
    reader = LineReader(
        DEFAULTS,
        Catalogue(configuration),
        prices=PriceBook(configuration) if budget else None,
        mixes_kinds=False,
    )
    return reader.read(1, written(body, **line))


def request_of(body: Any) -> ModelRequest:
    rebuilt = rebuild("responses", written(body).decode(), DEFAULTS)
    assert KINDS["responses"].check(rebuilt) is None
    (request,) = KINDS["responses"].plan(rebuilt).requests
    return request


def judged(body: Any, answer: Answer) -> Any:
    plan = KINDS["responses"].plan(rebuild("responses", written(body).decode(), DEFAULTS))
    return plan.judge((), answer)


def parsed(output: Any) -> Response:
    """The output as OpenAI's own client reads it."""
    return Response.model_validate_json(msgspec.json.encode(output))


def test_a_body_is_passed_on_to_the_digit_but_for_its_model_and_bound() -> None:
    body = (
        b'{"input": [ {"type":"of_tomorrow","x":1.50} ],"model":"small","top_p":0.10,'
        b'"max_output_tokens":9,"tools":[{"type":"web_search"}],"new":{"b":1,"a":2}}'
    )
    wire = OpenAI("http://gate:8000/v1", Endpoint.RESPONSES).request(
        request_of(body), "gpt-x", None
    )
    assert wire.path == "/responses"
    assert wire.body == (
        b'{"input":[ {"type":"of_tomorrow","x":1.50} ],"model":"gpt-x","top_p":0.10,'
        b'"tools":[{"type":"web_search"}],"new":{"b":1,"a":2},"max_output_tokens":9}'
    )


def test_a_body_without_a_bound_gets_one() -> None:
    wire = OpenAI("https://api.openai.com/v1", Endpoint.RESPONSES).request(
        request_of(asks()), "m", None
    )
    assert json.loads(wire.body) == {"model": "m", "input": "Hi", "max_output_tokens": 4096}


@pytest.mark.parametrize(
    "fields",
    [
        {"reasoning": {"effort": "low"}},
        {"tools": [TOOL], "reasoning": {"effort": "low"}},
        {"input": [says({**PICTURE, "detail": "low"})]},
    ],
)
def test_what_chat_completions_can_say_is_refused_for_other_formats_alone(
    fields: dict[str, Any],
) -> None:
    assert isinstance(read(asks(**fields)), JobLine)
    assert isinstance(read(asks(**fields), CONFIGURATION), JobLine)
    fault = read(asks(**fields) | {"model": "cheap"}, CONFIGURATION)
    assert isinstance(fault, LineFault)
    assert fault.code == "unsupported_parameter"
    assert "second" in fault.message


async def test_a_server_of_chat_completions_alone_is_asked_with_tools_and_its_calls_come_back() -> (
    None
):
    seen: list[httpx.Request] = []
    call = {"id": "c2", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    said = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=said)

    body = asks(
        instructions="Look.",
        input=[says({"type": "input_text", "text": "a"}, PICTURE), CALLED, CALLED, LOOKED],
        tools=[TOOL],
        tool_choice={"type": "function", "name": "look"},
        parallel_tool_calls=False,
        reasoning={"effort": "low"},
        text={"format": FORMAT},
        temperature=0.5,
        max_output_tokens=9,
        store=False,
    )
    caller = Caller(httpx.MockTransport(serve), deadline_s=5)
    provider = CONFIGURATION.providers["first"]
    answer = await caller.call(provider, None, "small", request_of(body))
    assert seen[0].url.path == "/v1/chat/completions"
    called = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    picture = {"type": "image_url", "image_url": {"url": PICTURE["image_url"]}}
    assert json.loads(seen[0].content) == {
        "model": "small",
        "max_tokens": 9,
        "messages": [
            {"role": "system", "content": "Look."},
            {"role": "user", "content": [{"type": "text", "text": "a"}, picture]},
            {"role": "assistant", "content": None, "tool_calls": [called, called]},
            {"role": "tool", "tool_call_id": "c", "content": "nothing"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
        ],
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "parallel_tool_calls": False,
        "reasoning_effort": "low",
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": SCHEMA, "strict": True},
        },
        "temperature": 0.5,
    }
    verdict = judged(body, answer)
    assert isinstance(verdict, Good)
    (item,) = parsed(verdict.output).output
    assert item.type == "function_call"
    assert (item.call_id, item.name, item.arguments) == ("c2", "look", '{"a":1}')


def test_openais_own_hosts_have_the_endpoint_and_others_where_it_is_configured() -> None:
    document = CONFIGURATION.model_dump()["providers"]["first"]
    for base_url, said, has_it in (
        ("https://api.openai.com/v1", None, True),
        ("https://eu.api.openai.com/v1", None, True),
        ("https://api.openai.com/v1", False, False),
        ("http://vllm:8000/v1", None, False),
        ("http://vllm:8000/v1", True, True),
        ("http://openai.com.test/v1", None, False),
    ):
        (provider,) = Configuration.model_validate(
            {"providers": {"p": document | {"base_url": base_url, "responses": said}}}
        ).providers.values()
        assert provider.takes(Endpoint.RESPONSES) is has_it
        assert provider.takes(Endpoint.CHAT)
    assert not CONFIGURATION.providers["second"].takes(Endpoint.RESPONSES)


def test_other_formats_are_asked_in_their_own_words() -> None:
    request = request_of(
        asks(
            instructions="Be brief.",
            input=[
                {"role": "developer", "content": "Be kind."},
                says({"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}),
                says({"type": "output_text", "text": "c"}, role="assistant", type="message"),
                {"role": "user", "content": "d"},
            ],
            temperature=0.5,
            top_p=0.9,
            max_output_tokens=7,
            text={"format": FORMAT},
            store=False,
            metadata={"a": "b"},
            tools=[],
        )
    )
    assert request.system == "Be brief.\n\nBe kind."
    assert request.messages == (
        Message("user", "a\nb"),
        Message("assistant", "c"),
        Message("user", "d"),
    )
    assert (request.temperature, request.top_p, request.max_tokens) == (0.5, 0.9, 7)
    assert request.schema == SCHEMA
    assert request.passed is not None
    assert request.passed.unmapped == ()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "custom", "name": "x"}]}, "tools"),
        ({"tools": {"odd": 1}}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "mcp"}}, "tool_choice"),
        ({"store": True}, "store"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"truncation": "auto"}, "truncation"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"of_tomorrow": 1}, "of_tomorrow"),
        ({"input": [says("x", role="developer")]}, "input"),
        ({"input": [{"role": "user", "content": "a"}, CALLED | {"call_id": 7}]}, "input[1]"),
        ({"input": [{"role": "user", "content": "a"}, LOOKED | {"output": 7}]}, "input[1]"),
        ({"input": [{"role": "user", "content": "a", "of_tomorrow": 1}]}, "input[0]"),
        ({"input": [says({"type": "input_image", "file_id": "f"})]}, "input[0]"),
        ({"input": [says({"type": "input_file", "file_id": "f"})]}, "input[0]"),
        ({"input": [{"role": "user", "content": {"odd": 1}}]}, "input[0]"),
        ({"input": [{"role": "user", "content": "a"}, {"type": "item_reference"}]}, "input[1]"),
    ],
)
@pytest.mark.parametrize(("model", "configuration"), [("cheap", HAS_IT), ("small", CONFIGURATION)])
def test_what_only_that_endpoint_can_say_is_refused_for_who_has_not_got_it(
    fields: dict[str, Any], field: str, model: str, configuration: Configuration
) -> None:
    assert isinstance(read(asks(**fields)), JobLine)
    fault = read(asks(**fields) | {"model": model}, configuration)
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.field) == ("unsupported_parameter", f"body.{field}")
    assert "/responses" in fault.message


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (asks(stream=True), "unsupported_parameter", "body.stream"),
        (asks(background=True), "unsupported_parameter", "body.background"),
        (asks(service_tier="priority"), "unsupported_parameter", "body.service_tier"),
        (asks(input=[]), "missing_field", "body.input"),
        ({"model": "small"}, "missing_field", "body.input"),
        ({"input": "Hi"}, "missing_field", "body.model"),
        (asks(input=7), "wrong_type", "body.input"),
        (asks(input=["Hi"]), "wrong_type", "body.input[0]"),
        (asks(max_output_tokens=0), "out_of_range", "body.max_output_tokens"),
        (asks(temperature=3), "out_of_range", "body.temperature"),
        (asks(model="unheard-of"), "unknown_model", "model"),
        (b'{"model":"small","input":"Hi","a":1,"a":2}', "duplicate_key", "body.a"),
    ],
)
def test_what_is_no_request_is_refused(body: Any, code: str, field: str) -> None:
    fault = read(body)
    assert isinstance(fault, LineFault), fault
    assert fault.code == code
    assert fault.field in {field, field.removeprefix("body.")}
    assert len(fault.message) > 10


def test_in_a_file_for_this_endpoint_every_line_is_for_it() -> None:
    lines: list[dict[str, Any]] = [
        {"url": "/v1/chat/completions"},
        {"method": "GET"},
        {"kind": "chat"},
    ]
    for line in lines:
        fault = read(asks(), **line)
        assert isinstance(fault, LineFault)
        assert fault.field == next(iter(line))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tools": [TOOL, {"type": "web_search"}]}, "tools[1]"),
        ({"tools": {"odd": 1}}, "tools"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"of_tomorrow": 1}, "of_tomorrow"),
        ({"input": [says({"type": "input_file", "file_id": "f"})]}, "input[0]"),
        ({"input": [{"type": "item_reference", "id": "i"}]}, "input[0]"),
        ({"input": [{"type": "reasoning", "encrypted_content": "x"}]}, "input[0]"),
    ],
)
def test_no_budget_has_what_may_cost_more_than_is_reserved(
    fields: dict[str, Any], field: str
) -> None:
    assert isinstance(read(asks(**fields)), JobLine)
    fault = read(asks(**fields), budget=True)
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.field) == ("unbounded_cost", f"body.{field}")


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL, {"type": "custom", "name": "x"}], "tool_choice": "auto"},
        {"reasoning": {"effort": "high"}, "include": ["reasoning.encrypted_content"]},
        {"input": [{"role": "user", "content": "a"}, CALLED, LOOKED]},
        {"text": {"format": FORMAT, "verbosity": "high"}, "store": True, "top_logprobs": 5},
    ],
)
def test_a_budget_has_what_costs_no_more_than_its_bytes_and_its_bound(
    fields: dict[str, Any],
) -> None:
    body = asks(**fields)
    assert isinstance(read(body, budget=True), JobLine)
    request = request_of(body)
    assert most_tokens(request) >= len(json.dumps(body).encode())
    assert 0 < estimate_request(request) < most_tokens(request)


def test_a_budget_has_pictures_once_it_is_configured_what_one_is_at_most() -> None:
    body = asks(input=[says({"type": "input_text", "text": "a"}, PICTURE)])
    fault = read(body, budget=True)
    assert isinstance(fault, LineFault)
    assert fault.code == "unbounded_cost"
    assert "max_image_tokens" in fault.message
    assert isinstance(read(body, with_responses(max_image_tokens=300), budget=True), JobLine)
    request = request_of(body)
    assert most_tokens(request, 300) - most_tokens(request, 200) == 100
    assert most_tokens(request, 300) < 1000


def test_a_response_comes_back_as_its_provider_wrote_it() -> None:
    reply = b'{"id": "resp_1",\n "n": 1.50, "output": [ {"type": "function_call"} ]}'
    answer = Answer("", Finish.TOOL_CALL, None, reply=reply, endpoint=Endpoint.RESPONSES)
    verdict = judged(asks(tools=[TOOL]), answer)
    assert isinstance(verdict, Good)
    assert bytes(verdict.output) == (
        b'{"id":"resp_1","n":1.50,"output":[{"type":"function_call"}]}'
    )


@pytest.mark.parametrize(
    ("answer", "status", "reason", "text"),
    [
        (Answer("Hello", Finish.COMPLETE, USED), "completed", None, "Hello"),
        (Answer("Hel", Finish.TRUNCATED, USED), "incomplete", "max_output_tokens", "Hel"),
        (Answer("", Finish.REFUSED, USED), "incomplete", "content_filter", ""),
        (Answer("", Finish.REFUSED, USED, refusal="No."), "completed", None, ""),
        (Answer("Hi", Finish.COMPLETE, USED, reply=b'{"choices":[]}'), "completed", None, "Hi"),
    ],
)
def test_another_providers_answer_becomes_a_response(
    answer: Answer, status: str, reason: str | None, text: str
) -> None:
    verdict = judged(asks(instructions="Be brief.", metadata={"a": "b"}), answer)
    assert isinstance(verdict, Good)
    response = parsed(verdict.output)
    assert (response.object, response.status, response.output_text) == ("response", status, text)
    details = response.incomplete_details
    assert (None if details is None else details.reason) == reason
    assert (response.instructions, response.metadata) == ("Be brief.", {"a": "b"})
    if answer.refusal is not None:
        (item,) = verdict.output["output"]
        assert item["content"] == [{"type": "refusal", "refusal": "No."}]
    assert verdict.output["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 9,
    }


def test_a_format_is_looked_after_where_the_provider_has_another() -> None:
    body = asks(text={"format": FORMAT})
    good = judged(body, Answer('```json\n{"a": 1}\n```', Finish.COMPLETE, USED))
    assert isinstance(good, Good)
    assert good.mended is not None
    response = parsed(good.output)
    assert response.output_text == '{"a":1}'
    assert response.text is not None
    assert json.loads(bytes(good.output["text"])) == {"format": FORMAT}
    bad = judged(body, Answer('{"a": "x"}', Finish.COMPLETE, USED))
    assert isinstance(bad, Bad)
    assert bad.code == "schema_violation"
    equipped, of_chat = (
        body | {"tools": [TOOL]},
        Answer('{"a": "x"}', Finish.COMPLETE, USED, reply=b"{}"),
    )
    as_it_came = judged(equipped, of_chat)
    assert isinstance(as_it_came, Good)
    assert parsed(as_it_came.output).output_text == '{"a": "x"}'
    elsewhere = judged(equipped, msgspec.structs.replace(of_chat, reply=None))
    assert isinstance(elsewhere, Bad)


@pytest.mark.parametrize(
    ("reason", "raised", "is_kept"),
    [
        ("max_output_tokens", True, False),
        ("max_output_tokens", False, True),
        (None, True, True),
    ],
)
def test_a_retry_keeps_responses_but_those_that_may_be_longer_now(
    reason: str | None, raised: bool, is_kept: bool
) -> None:
    text = written(asks()).decode()
    was = KINDS["responses"].plan(rebuild("responses", text, DEFAULTS))
    more = JobDefaults(kind="responses", max_tokens=8192 if raised else 100)
    plan = KINDS["responses"].plan(rebuild("responses", text, more))
    output = {"incomplete_details": None if reason is None else {"reason": reason}}
    assert plan.recheck(output, was) == (Good(output) if is_kept else None)


def reply(**fields: Any) -> bytes:
    said = {"type": "output_text", "text": "Hello", "annotations": []}
    output = [
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [said]},
    ]
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 17,
    }
    whole = {"id": "resp_1", "status": "completed", "model": "m", "output": output, "usage": usage}
    return json.dumps(whole | fields).encode()


def answered(body: bytes) -> Answer:
    return OpenAI("http://gate:8000/v1", Endpoint.RESPONSES).answer(200, {}, body)


def test_a_reply_is_read_with_its_usage_in_disjoint_counts() -> None:
    answer = answered(reply())
    assert (answer.text, answer.finish, answer.model) == ("Hello", Finish.COMPLETE, "m")
    assert answer.usage == Usage(5, 4, 1, 7, 5)
    assert (answer.reply, answer.endpoint) == (reply(), Endpoint.RESPONSES)
    assert answered(reply(usage={"input_tokens": -1, "output_tokens": 1})).usage is None
    assert answered(reply(usage=None)).usage is None


@pytest.mark.parametrize(
    ("fields", "finish"),
    [
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            Finish.TRUNCATED,
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            Finish.REFUSED,
        ),
        ({"status": "incomplete", "incomplete_details": {"reason": "of_tomorrow"}}, Finish.OTHER),
        ({"status": "incomplete", "incomplete_details": None}, Finish.OTHER),
        ({"output": [CALLED]}, Finish.TOOL_CALL),
        (
            {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
            Finish.REFUSED,
        ),
        ({"output": [None, 7, {"type": "message", "content": [None]}]}, Finish.TOOL_CALL),
    ],
)
def test_how_a_response_ended_is_read(fields: dict[str, Any], finish: Finish) -> None:
    assert answered(reply(**fields)).finish is finish


@pytest.mark.parametrize(
    ("fields", "raised"),
    [
        ({"status": "failed", "error": {"code": "server_error", "message": "x"}}, ServerFailed),
        ({"status": "failed", "error": {"code": "rate_limit_exceeded"}}, RateLimited),
        ({"status": "failed", "error": {"code": "insufficient_quota"}}, QuotaExhausted),
        ({"status": "failed", "error": {"code": "invalid_prompt"}}, RequestRejected),
        ({"status": "failed", "error": {"code": "of_tomorrow"}}, ServerFailed),
        ({"status": "failed", "error": None}, ServerFailed),
        ({"status": "in_progress"}, MalformedReply),
        ({"status": None}, MalformedReply),
        ({"output": None}, MalformedReply),
    ],
)
def test_a_response_that_failed_raises_what_it_says(
    fields: dict[str, Any], raised: type[ProviderError]
) -> None:
    with pytest.raises(raised) as caught:
        answered(reply(**fields))
    assert type(caught.value) is raised


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    found = [tmp_path / "a", tmp_path / "b"]
    for folder in found:
        folder.mkdir()
    return found


async def test_the_whole_way_over_all_three_formats(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = json.loads(reply(extra=[0.5]))
    chat = {
        "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }

    async def outputs(folder: Path, *models: tuple[str, Any]) -> list[Any]:
        async with workshop(folder) as shop:
            for model, answer in models:
                line = {"kind": "responses", **json.loads(written(asks(model=model)))}
                shop.provider.replies.append(httpx.Response(200, json=answer))
                await shop.run(shop.submit([line]))
            paths = [request.url.path for request in shop.provider.seen]
            return [paths, *(json.loads(result.output or "") for result in shop.results())]

    paths, by_chat, by_message = await outputs(
        folders[0], ("first/small", chat), ("second/tiny", MESSAGE)
    )
    assert paths == ["/v1/chat/completions", "/messages"]
    for output in (by_chat, by_message):
        response = parsed(output)
        assert response.output_text == "Hello"
        assert response.usage is not None
        assert response.usage.total_tokens == 5
    monkeypatch.setattr("tests.support.workshop.CONFIGURATION", HAS_IT)
    paths, as_it_came = await outputs(folders[1], ("first/small", said))
    assert paths == ["/v1/responses"]
    assert as_it_came == said
