"""Lines of OpenAI's batches: what is passed on, what is said in other words, and what can't be."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.configuration import Configuration, ProtocolName
from jobs.defaults import JobDefaults
from jobs.errors import LineFault, RequestRejected
from jobs.exchange import Answer, Finish, Message, ModelRequest, Usage
from jobs.kinds import KINDS
from jobs.kinds.kind import Bad, Good
from jobs.lines import JobLine, LineReader, rebuild
from jobs.prices import PriceBook
from jobs.routing import Catalogue
from jobs.tokens import MOST_TOKENS_PER_IMAGE, TOKENS_PER_IMAGE, estimate_request, most_tokens
from tests.support.workshop import CONFIGURATION, MESSAGE, workshop
from workers.calls.calls import Caller
from workers.protocols.openai import OpenAI

DEFAULTS = JobDefaults(kind="chat", max_tokens=4096)
SAY = {"role": "user", "content": "Hi"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 9000}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
USED = Usage(input_tokens=3, cached_input_tokens=2, output_tokens=4, reasoning_tokens=1)


def written(body: Any, **line: Any) -> bytes:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", **line}
    return json.dumps(line).encode()[:-1] + b',"body":' + _json(body) + b"}"


def _json(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def read(
    body: Any, configuration: Configuration = CONFIGURATION, *, budget: bool = False, **line: Any
) -> JobLine | LineFault:
    prices = PriceBook(configuration) if budget else None
    reader = LineReader(DEFAULTS, Catalogue(configuration), prices=prices, mixes_kinds=False)
    return reader.read(1, written(body, **line))


def request_of(body: Any, **line: Any) -> ModelRequest:
    rebuilt = rebuild("chat", written(body, **line).decode(), DEFAULTS)
    assert KINDS["chat"].check(rebuilt) is None
    (request,) = KINDS["chat"].plan(rebuilt).requests
    return request


def judged(body: Any, answer: Answer) -> Any:
    return KINDS["chat"].plan(rebuild("chat", written(body).decode(), DEFAULTS)).judge((), answer)


def small(**fields: Any) -> dict[str, Any]:
    return {"model": "small", "messages": [SAY], **fields}


def test_a_body_is_passed_on_to_the_digit_but_for_its_model_and_bound() -> None:
    body = (
        b'{"logit_bias": {"50256": -100}, "seed":7,"model":"cheap","top_p":0.10, "max_tokens":9,'
        b'"messages":[{"role":"user","content":"\\u00e9","name":"Ann"}],'
        b'"tools":[{"type":"function","x":123456789012345678901234567890,"y":1.50}],"new":{"b":1,"a":2}}'
    )
    wire = OpenAI("http://llama:8000/v1").request(request_of(body), "gpt-x", None)
    assert wire.path == "/chat/completions"
    assert wire.body == (
        b'{"logit_bias":{"50256": -100},"seed":7,"model":"gpt-x","top_p":0.10,'
        b'"messages":[{"role":"user","content":"\\u00e9","name":"Ann"}],'
        b'"tools":[{"type":"function","x":123456789012345678901234567890,"y":1.50}],"new":{"b":1,"a":2},'
        b'"max_tokens":9}'
    )


@pytest.mark.parametrize(
    ("fields", "bound"),
    [({}, 4096), ({"max_tokens": 5}, 5), ({"max_completion_tokens": 6}, 6), ({"n": 3}, 4096)],
)
def test_every_call_has_a_bound_under_the_name_that_its_server_knows(
    fields: dict[str, Any], bound: int
) -> None:
    request = request_of(small(**fields))
    for server, name in (
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("http://vllm:8000/v1", "max_tokens"),
    ):
        sent = json.loads(OpenAI(server).request(request, "m", None).body)
        limits = {key: sent[key] for key in ("max_tokens", "max_completion_tokens") if key in sent}
        assert limits == {name: bound}
    assert request.most_output_tokens == bound * fields.get("n", 1)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tools": [TOOL] * 3, "tool_choice": "auto"},
        {"messages": [SAY, {"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}]},
        {"messages": [{"role": "user", "content": "é" * 500}, {"role": "system", "content": "x"}]},
        {"response_format": FORMAT},
    ],
)
def test_the_most_that_goes_in_is_no_less_than_the_body_has_bytes(fields: dict[str, Any]) -> None:
    body = small(**fields)
    request = request_of(body)
    assert most_tokens(request) >= len(json.dumps(body, ensure_ascii=False).encode())
    assert 0 < estimate_request(request) < most_tokens(request)


def test_a_picture_counts_as_one_and_not_by_its_bytes() -> None:
    plain = request_of(
        small(messages=[{"role": "user", "content": [{"type": "text", "text": "a"}]}])
    )
    content = [{"type": "text", "text": "a"}, PICTURE]
    seen = request_of(small(messages=[{"role": "user", "content": content}]))
    assert estimate_request(seen) - estimate_request(plain) == TOKENS_PER_IMAGE
    assert 0 < most_tokens(seen) - most_tokens(plain) - MOST_TOKENS_PER_IMAGE < 100


def test_tools_count_as_input() -> None:
    plain, equipped = request_of(small()), request_of(small(tools=[TOOL] * 10))
    assert estimate_request(equipped) - estimate_request(plain) > 100


def test_a_budget_reckons_with_every_sample() -> None:
    reader = LineReader(DEFAULTS, Catalogue(CONFIGURATION), prices=PriceBook(CONFIGURATION))
    body = small(n=5, max_tokens=1000)
    assert isinstance(reader.read(1, written(body)), JobLine)
    assert reader.least_nanos is not None
    assert reader.least_nanos >= 5 * 1000 * 1000  # at a dollar for a million


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"of_tomorrow": 1}, "body.of_tomorrow"),
        ({"tools": [TOOL, {"type": "web_search"}]}, "body.tools[1]"),
        (
            {"messages": [SAY, {"role": "assistant", "audio": {"id": "a"}}]},
            "body.messages[1].audio",
        ),
        ({"messages": [{"role": "user", "content": [PICTURE]}]}, "body"),
    ],
)
def test_no_budget_has_what_may_cost_more_than_is_reserved(
    fields: dict[str, Any], field: str
) -> None:
    assert isinstance(read(small(**fields)), JobLine)
    fault = read(small(**fields), budget=True)
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.field) == ("unbounded_cost", field)


def test_a_budget_has_what_costs_no_more_than_its_bytes_and_its_bound() -> None:
    turns = [
        SAY,
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]},
        {"role": "tool", "content": "x", "tool_call_id": "c"},
    ]
    body = small(
        messages=turns,
        tools=[TOOL],
        reasoning_effort="high",
        verbosity="low",
        n=3,
        logprobs=True,
        seed=7,
    )
    assert isinstance(read(body, budget=True), JobLine)


def test_a_budget_has_pictures_once_it_is_configured_what_one_is_at_most() -> None:
    body = small(messages=[{"role": "user", "content": [PICTURE]}])
    told = Configuration.model_validate(CONFIGURATION.model_dump() | {"max_image_tokens": 300})
    assert isinstance(read(body, told, budget=True), JobLine)
    assert most_tokens(request_of(body), 300) - most_tokens(request_of(body), 200) == 100


def test_other_formats_are_asked_in_their_own_words() -> None:
    request = request_of(
        {
            "model": "cheap",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
                SAY,
                {"role": "assistant", "content": "Yes?"},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                },
            ],
            "max_completion_tokens": 50,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop": "END",
            "seed": 3,
            "response_format": FORMAT,
            "user": "u1",
            "n": 1,
            "logprobs": False,
            "tools": [],
        }
    )
    assert request.passed is not None
    assert request.passed.unmapped == ()
    assert (request.system, request.max_tokens) == ("Be brief.\n\nBe kind.", 50)
    assert (request.temperature, request.top_p, request.stop, request.seed) == (
        0.5,
        0.9,
        ("END",),
        3,
    )
    assert request.schema == SCHEMA
    turns = (Message("user", "Hi"), Message("assistant", "Yes?"), Message("user", "a\nb"))
    assert request.messages == turns


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tools": [{**TOOL, "new": 1}]}, "tools"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"of_tomorrow": 1}, "of_tomorrow"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [SAY, {"role": "system", "content": "x"}]}, "messages[1].role"),
        (
            {"messages": [SAY, {"role": "tool", "content": "x", "tool_call_id": "c"}]},
            "messages[1].tool_call_id",
        ),
        ({"messages": [SAY, {"role": "assistant", "tool_calls": [{}]}]}, "messages[1].tool_calls"),
        ({"messages": [{**SAY, "name": "Ann"}]}, "messages[0].name"),
        ({"messages": [{**SAY, "of_tomorrow": 1}]}, "messages[0].of_tomorrow"),
        ({"messages": [{"role": "assistant", "content": [PICTURE]}]}, "messages[0].content"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
    ],
)
def test_what_only_openais_format_can_say_is_refused_for_a_route_with_another(
    fields: dict[str, Any], field: str
) -> None:
    assert isinstance(read(small(**fields)), JobLine)
    fault = read(small(**fields) | {"model": "cheap"})
    assert isinstance(fault, LineFault)
    assert (fault.code, fault.field) == ("unsupported_parameter", f"body.{field}")
    assert "second" in fault.message


async def test_nothing_is_left_out_of_a_request_after_the_configuration_has_changed() -> None:
    def reply(_request: httpx.Request) -> httpx.Response:
        raise AssertionError("a call was made")

    caller = Caller(httpx.MockTransport(reply), deadline_s=1)
    other = CONFIGURATION.providers["second"]
    assert other.protocol is ProtocolName.ANTHROPIC
    with pytest.raises(RequestRejected, match=r"body\.n"):
        await caller.call(other, None, "tiny", request_of(small(n=2)))


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (small(stream=True), "unsupported_parameter", "body.stream"),
        (small(modalities=["text", "audio"]), "unsupported_parameter", "body.modalities"),
        (small(audio={"voice": "x"}), "unsupported_parameter", "body.audio"),
        (small(prediction={}), "unsupported_parameter", "body.prediction"),
        (small(web_search_options={}), "unsupported_parameter", "body.web_search_options"),
        (small(best_of=2), "unsupported_parameter", "body.best_of"),
        (small(service_tier="priority"), "unsupported_parameter", "body.service_tier"),
        (small(messages=[]), "out_of_range", "body.messages"),
        (small(messages=[{"role": "usr"}]), "invalid_value", "body.messages[0].role"),
        (
            small(messages=[{"role": "user", "content": [{"type": "file", "file": {}}]}]),
            "invalid_value",
            "body.messages[0].content[0].type",
        ),
        (small(max_tokens=0), "out_of_range", "body.max_tokens"),
        (small(temperature="hot"), "wrong_type", "body.temperature"),
        ({"messages": [SAY]}, "missing_field", "body.model"),
        ("Hi", "wrong_format", "body"),
        (small(model="unheard-of"), "unknown_model", "model"),
        (b'{"model":"small","model":"small","messages":[]}', "out_of_range", "body.messages"),
        (b'{"model":"small","messages":[{"role":"user"}],"a":1,"a":2}', "duplicate_key", "body.a"),
    ],
)
def test_what_is_no_request_or_costs_nobody_knows_what_is_refused(
    body: Any, code: str, field: str
) -> None:
    fault = read(body)
    assert isinstance(fault, LineFault), fault
    assert fault.code == code
    assert fault.field in {field, field.removeprefix("body.")}
    assert len(fault.message) > 10


def test_in_a_file_of_chats_every_line_is_one() -> None:
    fault = read(small(), kind="generation")
    assert isinstance(fault, LineFault)
    assert fault.field == "kind"
    assert isinstance(read(small(), url="/v1/embeddings"), LineFault)
    assert isinstance(read(small(), method="GET"), LineFault)


@pytest.mark.parametrize(
    ("fields", "collapses"),
    [({}, False), ({"temperature": 0}, True), ({"temperature": 0.1}, False)],
)
def test_the_same_request_brings_one_answer_only_where_nothing_is_drawn(
    fields: dict[str, Any], collapses: bool
) -> None:
    job = read(small(**fields))
    assert isinstance(job, JobLine)
    assert job.collapses is collapses


def test_a_completion_comes_back_as_its_provider_wrote_it() -> None:
    reply = b'{"id": "x",\n "n": 1.50, "choices": [ {"message": {"content": null, "tool_calls": [1]}} ]}'
    answer = Answer("", Finish.TOOL_CALL, None, reply=reply)
    verdict = judged(small(tools=[TOOL]), answer)
    assert isinstance(verdict, Good)
    assert bytes(verdict.output) == (
        b'{"id":"x","n":1.50,"choices":[{"message":{"content":null,"tool_calls":[1]}}]}'
    )


@pytest.mark.parametrize(
    ("answer", "content", "refusal", "reason"),
    [
        (Answer("Hello", Finish.COMPLETE, USED), "Hello", None, "stop"),
        (Answer("Hel", Finish.TRUNCATED, USED), "Hel", None, "length"),
        (Answer("", Finish.REFUSED, USED), "", None, "content_filter"),
        (Answer("", Finish.REFUSED, USED, refusal="No."), None, "No.", "stop"),
    ],
)
def test_another_providers_answer_becomes_a_completion(
    answer: Answer, content: str | None, refusal: str | None, reason: str
) -> None:
    verdict = judged(small(), answer)
    assert isinstance(verdict, Good)
    (choice,) = verdict.output["choices"]
    assert choice["message"] == {"role": "assistant", "content": content, "refusal": refusal}
    assert choice["finish_reason"] == reason
    assert verdict.output["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 4,
        "total_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }


def test_a_format_is_looked_after_where_the_provider_has_another() -> None:
    body = small(response_format=FORMAT)
    good = judged(body, Answer('```json\n{"a": 1}\n```', Finish.COMPLETE, USED))
    assert isinstance(good, Good)
    assert good.mended
    assert good.output["choices"][0]["message"]["content"] == '{"a":1}'
    bad = judged(body, Answer('{"a": "one"}', Finish.COMPLETE, USED))
    assert isinstance(bad, Bad)
    assert bad.code == "schema_violation"


@pytest.mark.parametrize(
    ("reason", "raised", "is_kept"),
    [("stop", True, True), ("length", True, False), ("length", False, True)],
)
def test_a_retry_keeps_completions_but_those_that_may_be_longer_now(
    reason: str, raised: bool, is_kept: bool
) -> None:
    text = written(small()).decode()
    was = KINDS["chat"].plan(rebuild("chat", text, DEFAULTS))
    more = JobDefaults(kind="chat", max_tokens=8192 if raised else 100)
    plan = KINDS["chat"].plan(rebuild("chat", text, more))
    output = {"choices": [{"finish_reason": "stop"}, {"finish_reason": reason}]}
    assert plan.recheck(output, was) == (Good(output) if is_kept else None)


async def test_the_whole_way_over_both_formats(tmp_path: Path) -> None:
    lines = [
        {"kind": "chat", **json.loads(written(small(model="first/small"), custom_id="a"))},
        {"kind": "chat", **json.loads(written(small(model="second/tiny"), custom_id="b"))},
    ]
    reply = {
        "choices": [{"message": {"content": "Hello"}, "finish_reason": "stop", "logprobs": [0.5]}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        "fingerprint": "fp",
    }
    async with workshop(tmp_path) as shop:
        for line, said in zip(lines, (reply, MESSAGE), strict=True):
            shop.provider.replies.append(httpx.Response(200, json=said))
            await shop.run(shop.submit([line]))
        outputs = [json.loads(result.output or "") for result in shop.results()]
    assert outputs[0] == reply
    assert outputs[1]["choices"][0]["message"]["content"] == "Hello"
    assert outputs[1]["usage"]["total_tokens"] == 5
