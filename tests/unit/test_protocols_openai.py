"""OpenAI's chat completions and the servers that speak the same; the tables are the providers' own."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from jobs.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ContextTooLong,
    MalformedReply,
    Overloaded,
    ProviderError,
    ProviderUnusable,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    SchemaRefused,
    ServerFailed,
)
from jobs.exchange import Finish, Message, ModelRequest, Usage
from workers.protocols.openai import OpenAI, exceeds_limit

OPENAI = OpenAI("https://api.openai.com/v1")
KEY = SecretStr("sk-test")

REQUEST = ModelRequest(
    messages=(Message("user", "Bonjour"),),
    max_tokens=300,
    system="Translate.",
    temperature=0.2,
    top_p=0.9,
    stop=("END",),
    seed=7,
)

USAGE: dict[str, Any] = {
    "prompt_tokens": 100,
    "completion_tokens": 40,
    "total_tokens": 140,
    "prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 25},
}


def reply(
    content: Any = "Hello", finish: Any = "stop", usage: Any = USAGE, **message: Any
) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": finish,
    }
    return json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": "gpt-4o-mini-2024-07-18",
            "choices": [choice],
            "usage": usage,
        }
    ).encode()


def error(status: int, body: Any, headers: dict[str, str] | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        OPENAI.answer(
            status, headers or {}, body if isinstance(body, bytes) else json.dumps(body).encode()
        )
    return raised.value


def openai_error(message: str = "No.", type_: Any = None, code: Any = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def test_a_request_says_everything_that_was_asked_in_openais_words() -> None:
    wire = OPENAI.request(REQUEST, "gpt-4o-mini", KEY)

    assert wire.path == "/chat/completions"
    assert dict(wire.headers) == {
        "content-type": "application/json",
        "authorization": "Bearer sk-test",
    }
    assert json.loads(wire.body) == {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "Translate."},
            {"role": "user", "content": "Bonjour"},
        ],
        "max_completion_tokens": 300,
        "temperature": 0.2,
        "top_p": 0.9,
        "stop": ["END"],
        "seed": 7,
    }


def test_what_was_not_asked_is_not_sent_and_no_key_means_no_header() -> None:
    wire = OPENAI.request(ModelRequest((Message("user", "Hi"),), max_tokens=5), "m", None)

    assert dict(wire.headers) == {"content-type": "application/json"}
    assert set(json.loads(wire.body)) == {"model", "messages", "max_completion_tokens"}


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("http://localhost:8000/v1", "max_tokens"),
        ("https://openai.com.evil.example/v1", "max_tokens"),
        ("https://notopenai.com/v1", "max_tokens"),
    ],
)
def test_the_bound_on_the_output_has_the_name_that_the_host_knows(base_url: str, name: str) -> None:
    body = json.loads(OpenAI(base_url).request(REQUEST, "m", None).body)

    assert {key for key in body if key.startswith("max_")} == {name}


@pytest.mark.parametrize(
    ("base_url", "stop", "sent"),
    [
        ("http://localhost:8000/v1", ("END",), ["END", "\nEnglish:"]),
        ("http://localhost:8000/v1", (), ["\nEnglish:"]),
        ("http://localhost:8000/v1", ("a", "b", "c", "d"), ["a", "b", "c", "d"]),
        ("https://api.openai.com/v1", (), None),
    ],
)
def test_an_answer_ends_where_it_would_go_on_unless_a_model_may_refuse_that(
    base_url: str, stop: tuple[str, ...], sent: list[str] | None
) -> None:
    request = ModelRequest((Message("user", "Hi"),), max_tokens=5, stop=stop, goes_on="\nEnglish:")

    assert json.loads(OpenAI(base_url).request(request, "m", None).body).get("stop") == sent


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        (
            {
                "type": "object",
                "properties": {"a": {}},
                "required": ["a"],
                "additionalProperties": False,
            },
            True,
        ),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"anyOf": [{"type": "string"}, {"type": "object"}]}, False),
        ({"type": "string"}, True),
    ],
)
def test_another_server_gets_the_schema_as_it_is_strict_where_strict_mode_takes_it(
    schema: dict[str, Any], strict: bool
) -> None:
    request = ModelRequest((Message("user", "Hi"),), max_tokens=5, schema=schema)

    body = json.loads(OpenAI("http://localhost:8000/v1").request(request, "m", None).body)

    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": strict},
    }
    assert len(body["messages"]) == 1


FORMATS: list[tuple[dict[str, Any], str, dict[str, Any] | None]] = [
    (
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0}}},
        "m",
        {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "null"}]},
    ),
    (
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0}}},
        "ft:m",
        {"anyOf": [{"type": "integer", "description": "(minimum: 0)"}, {"type": "null"}]},
    ),
]


@pytest.mark.parametrize(("schema", "model", "property_sent"), FORMATS)
def test_openai_gets_a_schema_in_strict_mode(
    schema: dict[str, Any], model: str, property_sent: dict[str, Any]
) -> None:
    request = ModelRequest((Message("user", "Hi"),), max_tokens=5, schema=schema)

    sent = json.loads(OPENAI.request(request, model, None).body)["response_format"]

    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["strict"] is True
    assert sent["json_schema"]["schema"] == {
        "type": "object",
        "properties": {"a": property_sent},
        "required": ["a"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("schema", "answer_format"),
    [
        ({"type": "object"}, {"type": "json_object"}),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "object"}}}, {"type": "json_object"}),
        ({"type": "array", "items": {"type": "string"}}, None),
        ({"type": "string"}, None),
    ],
)
def test_what_strict_mode_does_not_take_is_asked_for_in_words(
    schema: dict[str, Any], answer_format: dict[str, Any] | None
) -> None:
    request = ModelRequest((Message("user", "Hi"),), max_tokens=5, schema=schema)

    body = json.loads(OPENAI.request(request, "m", None).body)

    assert body.get("response_format") == answer_format
    told = body["messages"][0]
    assert told["role"] == "system"
    assert json.dumps(schema, separators=(",", ":")) in told["content"]


def test_text_that_utf8_cannot_hold_is_rejected_before_it_is_sent() -> None:
    broken = ModelRequest((Message("user", "half \ud83d"),), max_tokens=5)

    with pytest.raises(RequestRejected):
        OPENAI.request(broken, "m", None)


@pytest.mark.parametrize("key", ["line\nbreak", "schlüssel", "nul\0"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(AuthenticationFailed) as raised:
        OPENAI.request(REQUEST, "m", SecretStr(key))

    assert key not in raised.value.message


def test_neither_key_nor_prompt_shows_in_a_repr() -> None:
    shown = repr(OPENAI.request(REQUEST, "m", KEY))

    assert "sk-test" not in shown
    assert "Bonjour" not in shown


def test_an_answer_carries_text_usage_model_and_request_id() -> None:
    headers = {"x-request-id": "req_1", "x-ratelimit-remaining-requests": "59"}

    answer = OPENAI.answer(200, headers, reply())

    assert (answer.text, answer.finish) == ("Hello", Finish.COMPLETE)
    assert answer.usage == Usage(
        input_tokens=50,
        cached_input_tokens=30,
        cache_write_tokens=20,
        output_tokens=40,
        reasoning_tokens=25,
    )
    assert (answer.model, answer.request_id) == ("gpt-4o-mini-2024-07-18", "req_1")
    assert answer.headers == headers


def test_without_a_header_the_replys_own_id_is_the_request_id() -> None:
    assert OPENAI.answer(200, {}, reply()).request_id == "chatcmpl-1"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", Finish.COMPLETE),
        ("length", Finish.TRUNCATED),
        ("tool_calls", Finish.TOOL_CALL),
        ("function_call", Finish.TOOL_CALL),
        ("content_filter", Finish.REFUSED),
        ("something_new", Finish.OTHER),
        (None, Finish.OTHER),
        (17, Finish.OTHER),
    ],
)
def test_finish_reasons_are_translated(reason: Any, finish: Finish) -> None:
    assert OPENAI.answer(200, {}, reply(finish=reason)).finish is finish


def test_a_refusal_is_an_answer_without_text() -> None:
    answer = OPENAI.answer(200, {}, reply(content=None, refusal="I can't help with that."))

    assert (answer.text, answer.finish) == ("", Finish.REFUSED)
    assert answer.refusal == "I can't help with that."
    assert answer.usage is not None


def test_thinking_that_used_up_the_tokens_leaves_an_empty_truncated_answer() -> None:
    answer = OPENAI.answer(200, {}, reply(content=None, finish="length"))

    assert (answer.text, answer.finish) == ("", Finish.TRUNCATED)


PLAIN = Usage(input_tokens=10, output_tokens=5)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param({"prompt_tokens": 10, "completion_tokens": 5}, PLAIN, id="two counters"),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": None,
                "prompt_tokens_details": None,
                "completion_tokens_details": None,
            },
            PLAIN,
            id="null details",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": "x"},
            PLAIN,
            id="odd details",
        ),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 12},
            },
            Usage(cached_input_tokens=12, output_tokens=5),
            id="more cached than prompted",
        ),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "completion_tokens_details": {"reasoning_tokens": 9},
            },
            Usage(input_tokens=10, output_tokens=5, reasoning_tokens=5),
            id="more reasoning than output",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 45},
            Usage(input_tokens=10, output_tokens=35),
            id="thinking left out of completion_tokens",
        ),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 3},
            PLAIN,
            id="total below the sum",
        ),
        pytest.param(None, None, id="null"),
        pytest.param([], None, id="a list"),
        pytest.param("12", None, id="a text"),
        pytest.param({}, None, id="empty"),
        pytest.param({"prompt_tokens": 10}, None, id="output absent"),
        pytest.param(
            {"prompt_tokens": 10, "completion_tokens": None}, None, id="null output (vLLM)"
        ),
        pytest.param({"prompt_tokens": -1, "completion_tokens": 5}, None, id="negative"),
        pytest.param({"prompt_tokens": 10.5, "completion_tokens": 5}, None, id="fraction"),
        pytest.param({"prompt_tokens": 10.0, "completion_tokens": 5}, None, id="float"),
        pytest.param({"prompt_tokens": "10", "completion_tokens": 5}, None, id="number as text"),
        pytest.param({"prompt_tokens": True, "completion_tokens": 5}, None, id="boolean"),
        pytest.param({"prompt_tokens": 10**18, "completion_tokens": 5}, None, id="10^18"),
        pytest.param({"prompt_tokens": 10**30, "completion_tokens": 5}, None, id="10^30"),
        pytest.param(
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": -3},
            },
            None,
            id="negative cached",
        ),
    ],
)
def test_usage_is_believed_only_where_it_can_be_true(usage: Any, expected: Usage | None) -> None:
    assert OPENAI.answer(200, {}, reply(usage=usage)).usage == expected


def test_a_reply_without_usage_is_still_an_answer() -> None:
    body = json.dumps({"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]})

    answer = OPENAI.answer(200, {}, body.encode())

    assert (answer.text, answer.usage) == ("Hi", None)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<!DOCTYPE html><html><body>Sign in</body></html>", id="HTML"),
        pytest.param(b'{"choices":[{"message":{"content":"Hel', id="cut off"),
        pytest.param(b"\xff\xfe\x00", id="not UTF-8"),
        pytest.param(b"[" * 100_000, id="nested without end"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"{}", id="empty object"),
        pytest.param(b'{"choices":[]}', id="no choices"),
        pytest.param(b'{"choices":[{"finish_reason":"stop"}]}', id="no message"),
        pytest.param(reply(content=None), id="content null"),
        pytest.param(reply(content=12), id="content a number"),
        pytest.param(b'{"error":{"message":"upstream failed"}}', id="an error under 200"),
    ],
)
def test_a_200_that_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedReply) as raised:
        OPENAI.answer(200, {"x-request-id": "req_1"}, body)

    assert (raised.value.status, raised.value.request_id) == (200, "req_1")
    assert raised.value.may_have_run


def test_a_broken_answer_is_described_but_not_shown() -> None:
    with pytest.raises(MalformedReply) as raised:
        OPENAI.answer(200, {}, b'{"choices":[{"message":{"content":"My dear Anna')

    assert "Anna" not in raised.value.message
    assert "body of 47 bytes" in raised.value.message


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(400, openai_error(type_="invalid_request_error"), RequestRejected, id="400"),
        pytest.param(
            400,
            openai_error(type_="invalid_request_error", code="context_length_exceeded"),
            ContextTooLong,
            id="400 context_length_exceeded",
        ),
        pytest.param(
            400, openai_error(code="unsupported_parameter"), RequestRejected, id="400 parameter"
        ),
        pytest.param(400, openai_error(code="unsupported_value"), RequestRejected, id="400 value"),
        pytest.param(400, openai_error(code="invalid_prompt"), RequestRejected, id="400 prompt"),
        pytest.param(
            400, openai_error(code="content_policy_violation"), RequestRejected, id="400 policy"
        ),
        pytest.param(
            401,
            openai_error(type_="invalid_request_error", code="invalid_api_key"),
            AuthenticationFailed,
            id="401 invalid_api_key",
        ),
        pytest.param(401, {}, AuthenticationFailed, id="401"),
        pytest.param(402, {}, QuotaExhausted, id="402"),
        pytest.param(403, openai_error("Country not supported"), AccessForbidden, id="403 region"),
        pytest.param(404, openai_error(code="model_not_found"), RequestRejected, id="404"),
        pytest.param(413, b"", RequestRejected, id="413"),
        pytest.param(422, b"", RequestRejected, id="422"),
        pytest.param(418, b"", RequestRejected, id="another 4xx"),
        pytest.param(
            429,
            openai_error(type_="tokens", code="rate_limit_exceeded"),
            RateLimited,
            id="429 tokens",
        ),
        pytest.param(
            429,
            openai_error(type_="requests", code="rate_limit_exceeded"),
            RateLimited,
            id="429 requests",
        ),
        pytest.param(
            429,
            openai_error(
                "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, "
                "Requested 2000. Please try again in 2s.",
                "tokens",
                "rate_limit_exceeded",
            ),
            RateLimited,
            id="429 requested within the limit",
        ),
        pytest.param(
            429,
            openai_error(
                "Request too large for gpt-4o on tokens per min (TPM): Limit 30,000, "
                "Requested 40,000.",
                "tokens",
                "rate_limit_exceeded",
            ),
            RequestRejected,
            id="429 requested > limit",
        ),
        pytest.param(
            429,
            openai_error(type_="rate_limit_error", code="slow_down"),
            RateLimited,
            id="429 slow_down",
        ),
        pytest.param(503, openai_error(code="slow_down"), RateLimited, id="503 slow_down"),
        pytest.param(429, openai_error("Resource Unavailable"), Overloaded, id="429 flex tier"),
        *(
            pytest.param(429, openai_error(type_=code, code=code), QuotaExhausted, id=f"429 {code}")
            for code in (
                "insufficient_quota",
                "credit_balance_exhausted",
                "organization_spend_limit_exceeded",
                "project_spend_limit_exceeded",
                "organization_usage_limit_exceeded",
            )
        ),
        pytest.param(
            429, openai_error(type_="insufficient_quota"), QuotaExhausted, id="429 quota as type"
        ),
        pytest.param(500, openai_error(type_="server_error"), ServerFailed, id="500"),
        pytest.param(
            503,
            openai_error(type_="service_unavailable_error", code="server_is_overloaded"),
            Overloaded,
            id="503 server_is_overloaded",
        ),
        pytest.param(503, b"upstream connect error", Overloaded, id="503"),
        pytest.param(529, b"", Overloaded, id="529"),
        pytest.param(408, b"", ServerFailed, id="408"),
        pytest.param(409, b"", ServerFailed, id="409"),
        pytest.param(502, b"<html>Bad gateway</html>", ServerFailed, id="502"),
        pytest.param(504, b"", ServerFailed, id="504"),
        pytest.param(307, b"", ProviderUnusable, id="a redirect, never followed"),
        pytest.param(204, b"", MalformedReply, id="204"),
        pytest.param(700, b"", MalformedReply, id="no status at all"),
        pytest.param(
            400,
            {"error": {"message": "This model's maximum context length is 4096", "code": 400}},
            ContextTooLong,
            id="vLLM context",
        ),
        pytest.param(
            400,
            {"object": "error", "message": "Bad", "type": "BadRequestError", "code": 400},
            RequestRejected,
            id="vLLM flat, code a number",
        ),
        pytest.param(
            503,
            openai_error("maximum pending requests exceeded"),
            Overloaded,
            id="Ollama busy",
        ),
        pytest.param(
            429,
            {"error": {"message": "No deployments available", "code": "429"}},
            RateLimited,
            id="LiteLLM, code a text",
        ),
        pytest.param(
            400,
            openai_error("Failed to initialize samplers: failed to parse grammar"),
            SchemaRefused,
            id="llama.cpp, no grammar",
        ),
        pytest.param(
            400,
            openai_error("Unable to generate parser for this template. JSON schema error at #/d"),
            SchemaRefused,
            id="llama.cpp, a boolean schema",
        ),
        pytest.param(
            400,
            openai_error("'response_format.type' must be 'text' or 'json_object'"),
            SchemaRefused,
            id="no structured output",
        ),
        pytest.param(400, {"error": "bad request"}, RequestRejected, id="error is a text"),
        pytest.param(500, {"error": None}, ServerFailed, id="error is null"),
        pytest.param(500, [1, 2], ServerFailed, id="a list"),
        pytest.param(500, b"[" * 100_000, ServerFailed, id="nested without end"),
    ],
)
def test_an_error_reply_is_its_exact_class(
    status: int, body: Any, kind: type[ProviderError]
) -> None:
    found = error(status, body)

    assert type(found) is kind
    assert found.status == status


def test_an_error_carries_message_code_request_id_and_wait() -> None:
    found = error(
        429,
        openai_error("Slow down.", "tokens", "rate_limit_exceeded"),
        {"x-request-id": "req_9", "retry-after-ms": "1500", "retry-after": "2"},
    )

    assert found.message == "HTTP 429: Slow down."
    assert (found.provider_code, found.request_id, found.wait_s) == (
        "rate_limit_exceeded",
        "req_9",
        1.5,
    )


def test_the_wait_may_stand_in_the_message_only() -> None:
    found = error(429, openai_error("Please try again in 6m0.5s. Visit our site."))

    assert found.wait_s == pytest.approx(360.5)


def test_a_message_is_one_short_line_without_control_characters() -> None:
    found = error(400, openai_error("a\x00b\n\n c\x1b[31m " + "x" * 5000))

    assert found.message.startswith("HTTP 400: ab c[31m xxx")
    assert len(found.message) < 600


@pytest.mark.parametrize(
    ("message", "exceeds"),
    [
        ("Request too large for gpt-4o: Limit 30000, Requested 30001.", True),
        ("Request too large for gpt-4o: Limit 30,000, Requested 40,000. Try again.", True),
        ("(TPM): Limit: 6000, Requested: 7000, please reduce your message size.", True),
        ("(TPM): Limit 30000, Used 12, Requested 40000. Please try again in 20s.", True),
        ("(TPM): Limit 30000, Used 29999, Requested 30000. Please try again in 59s.", False),
        ("(RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.", False),
        ("(TPM): Limit 0, Requested 1.", True),
        ("(TPM): Limit ,, Requested ,.", False),
        (f"Limit {'9' * 21}, Requested 1{'0' * 21}.", False),
        (f"Limit 3{' ' * 100}Requested 4", False),
        ("Requested 40000, Limit 30000", False),
        ("Limit reached", False),
        ("", False),
    ],
)
def test_a_request_larger_than_the_whole_limit_is_told_by_the_two_numbers(
    message: str, exceeds: bool
) -> None:
    assert exceeds_limit(message) is exceeds
