"""Anthropic's messages: requests, answers, refusals, usage and each row of its error table."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from jobs.errors import (
    AccessForbidden,
    AuthenticationFailed,
    MalformedReply,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from jobs.exchange import Finish, Message, ModelRequest, Usage
from workers.prompt_caching.prefix import Prefix
from workers.protocols.anthropic import Anthropic

ANTHROPIC = Anthropic()

USAGE: dict[str, Any] = {
    "input_tokens": 12,
    "cache_read_input_tokens": 300,
    "cache_creation_input_tokens": 40,
    "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 90,
    "output_tokens_details": {"thinking_tokens": 60},
    "service_tier": "standard",
}


def reply(
    content: Any = ({"type": "text", "text": "Hi"},),
    stop_reason: Any = "end_turn",
    usage: Any = USAGE,
    stop_details: Any = None,
) -> bytes:
    return json.dumps(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-haiku-4-5",
            "content": content,
            "stop_reason": stop_reason,
            "stop_details": stop_details,
            "usage": usage,
        }
    ).encode()


def test_a_request_pins_the_version_that_takes_a_temperature() -> None:
    request = ModelRequest(
        messages=(Message("user", "Hello"),),
        max_tokens=50,
        system="Be brief.",
        temperature=0.5,
        top_p=0.8,
        stop=("X",),
        seed=3,
    )

    wire = ANTHROPIC.request(request, "claude-haiku-4-5", SecretStr("k"))

    assert wire.path == "/messages"
    assert dict(wire.headers) == {
        "content-type": "application/json",
        "anthropic-version": "2023-06-01",
        "x-api-key": "k",
    }
    assert json.loads(wire.body) == {
        "model": "claude-haiku-4-5",
        "max_tokens": 50,
        "messages": [{"role": "user", "content": "Hello"}],
        "system": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.8,
        "stop_sequences": ["X"],
    }


def test_a_schema_goes_out_closed_and_the_callers_copy_stays_open() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    request = ModelRequest((Message("user", "Hi"),), max_tokens=5, schema=schema)

    body = json.loads(ANTHROPIC.request(request, "m", None).body)

    assert body["output_config"] == {
        "format": {
            "type": "json_schema",
            "schema": {**schema, "additionalProperties": False},
        }
    }
    assert "additionalProperties" not in schema


def test_a_schema_without_a_form_is_asked_for_in_words() -> None:
    request = ModelRequest(
        (Message("user", "Hi"),), max_tokens=5, system="Be brief.", schema={"type": "object"}
    )
    body = json.loads(ANTHROPIC.request(request, "m", None).body)

    assert "output_config" not in body
    assert body["system"].startswith("Be brief.\n\nAnswer with one JSON value")
    assert body["system"].endswith('{"type":"object"}')


def test_an_answer_joins_its_text_blocks_and_leaves_the_others() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Good "},
        {"type": "something_new", "text": "no"},
        {"type": "text", "text": "day"},
    ]

    answer = ANTHROPIC.answer(200, {"request-id": "req_1"}, reply(blocks))

    assert (answer.text, answer.finish) == ("Good day", Finish.COMPLETE)
    assert (answer.model, answer.request_id) == ("claude-haiku-4-5", "req_1")
    assert answer.usage == Usage(
        input_tokens=12,
        cached_input_tokens=300,
        cache_write_tokens=40,
        output_tokens=90,
        reasoning_tokens=60,
    )


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", Finish.COMPLETE),
        ("stop_sequence", Finish.COMPLETE),
        ("max_tokens", Finish.TRUNCATED),
        ("model_context_window_exceeded", Finish.TRUNCATED),
        ("tool_use", Finish.TOOL_CALL),
        ("pause_turn", Finish.TOOL_CALL),
        ("refusal", Finish.REFUSED),
        ("new", Finish.OTHER),
        (None, Finish.OTHER),
    ],
)
def test_stop_reasons_are_translated(reason: Any, finish: Finish) -> None:
    assert ANTHROPIC.answer(200, {}, reply(stop_reason=reason)).finish is finish


def test_a_refusal_before_any_output_is_an_answer_that_says_why() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": None}

    answer = ANTHROPIC.answer(
        200, {}, reply(content=[], stop_reason="refusal", stop_details=details)
    )

    assert (answer.text, answer.finish, answer.refusal) == ("", Finish.REFUSED, "bio")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(
            {"input_tokens": 3, "output_tokens": 4},
            Usage(input_tokens=3, output_tokens=4),
            id="caches absent",
        ),
        pytest.param(
            {
                "input_tokens": 3,
                "output_tokens": 4,
                "cache_read_input_tokens": None,
                "cache_creation_input_tokens": None,
                "output_tokens_details": None,
            },
            Usage(input_tokens=3, output_tokens=4),
            id="caches null",
        ),
        pytest.param(None, None, id="null"),
        pytest.param({"input_tokens": 3}, None, id="output absent"),
        pytest.param({"input_tokens": -3, "output_tokens": 4}, None, id="negative"),
        pytest.param({"input_tokens": 3, "output_tokens": 10**18}, None, id="10^18"),
        pytest.param({"input_tokens": 3, "output_tokens": "4"}, None, id="number as text"),
        pytest.param(
            {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 1.5},
            None,
            id="fraction of a cached token",
        ),
    ],
)
def test_usage_is_believed_only_where_it_can_be_true(usage: Any, expected: Usage | None) -> None:
    assert ANTHROPIC.answer(200, {}, reply(usage=usage)).usage == expected


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff",
        b"[]",
        b'{"type":"message"}',
        b'{"content":"text"}',
        b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}',
    ],
)
def test_a_200_that_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedReply):
        ANTHROPIC.answer(200, {}, body)


@pytest.mark.parametrize(
    ("status", "type_", "error_code", "message", "kind"),
    [
        pytest.param(400, "invalid_request_error", None, "bad", RequestRejected, id="400"),
        pytest.param(
            400,
            "invalid_request_error",
            None,
            "You have reached your specified API usage limits. You will regain access on…",
            QuotaExhausted,
            id="400 own usage limits",
        ),
        pytest.param(
            400,
            "invalid_request_error",
            None,
            "You have reached your specified workspace API usage limits.",
            QuotaExhausted,
            id="400 workspace usage limits",
        ),
        pytest.param(
            400,
            "invalid_request_error",
            "organization_on_hold",
            "x",
            AccessForbidden,
            id="400 organization_on_hold",
        ),
        pytest.param(401, "authentication_error", None, "x", AuthenticationFailed, id="401"),
        pytest.param(402, "billing_error", None, "x", QuotaExhausted, id="402"),
        pytest.param(403, "permission_error", None, "x", AccessForbidden, id="403"),
        pytest.param(404, "not_found_error", None, "x", RequestRejected, id="404"),
        pytest.param(409, "conflict_error", None, "x", ServerFailed, id="409"),
        pytest.param(413, "request_too_large", None, "x", RequestRejected, id="413"),
        pytest.param(429, "rate_limit_error", None, "x", RateLimited, id="429"),
        pytest.param(
            429, "rate_limit_error", "ramp_limit_exceeded", "x", RateLimited, id="429 ramp"
        ),
        pytest.param(
            429,
            "rate_limit_error",
            "enforced_spend_limit_reached",
            "x",
            QuotaExhausted,
            id="429 enforced_spend_limit_reached",
        ),
        pytest.param(
            429,
            "rate_limit_error",
            "contract_spend_limit_reached",
            "x",
            QuotaExhausted,
            id="429 contract_spend_limit_reached",
        ),
        pytest.param(500, "api_error", None, "x", ServerFailed, id="500"),
        pytest.param(504, "timeout_error", None, "x", ServerFailed, id="504"),
        pytest.param(529, "overloaded_error", None, "x", Overloaded, id="529"),
        pytest.param(408, "", None, "", ServerFailed, id="408"),
        pytest.param(502, "", None, "", ServerFailed, id="502"),
        pytest.param(503, "", None, "", Overloaded, id="503"),
    ],
)
def test_an_error_reply_is_its_exact_class(
    status: int, type_: str, error_code: str | None, message: str, kind: type[ProviderError]
) -> None:
    inner: dict[str, Any] = {"type": type_, "message": message}
    if error_code is not None:
        inner["details"] = {"error_code": error_code}
    body = json.dumps({"type": "error", "error": inner, "request_id": "req_b"}).encode()

    with pytest.raises(ProviderError) as raised:
        ANTHROPIC.answer(status, {"request-id": "req_h", "retry-after": "7"}, body)

    assert type(raised.value) is kind
    assert (raised.value.request_id, raised.value.wait_s) == ("req_h", 7)
    assert raised.value.provider_code == (error_code or type_ or None)


def test_what_is_to_be_kept_in_the_prompt_cache_is_marked_at_its_end() -> None:
    request = ModelRequest(
        messages=(
            Message("user", "Head and tail"),
            Message("assistant", "Yes"),
            Message("user", "?"),
        ),
        max_tokens=50,
        system="Be brief.",
    )
    mark = {"type": "ephemeral"}

    def sent(kept: Prefix | None) -> Any:
        return json.loads(ANTHROPIC.request(request, "m", None, kept=kept).body)

    of_system = sent(Prefix("x", 2000))
    assert of_system["system"] == [{"type": "text", "text": "Be brief.", "cache_control": mark}]
    assert of_system["messages"] == sent(None)["messages"]
    with_head = sent(Prefix("x", 2000, head_characters=5))
    assert with_head["system"] == "Be brief."
    assert with_head["messages"][0]["content"] == [
        {"type": "text", "text": "Head ", "cache_control": mark},
        {"type": "text", "text": "and tail"},
    ]
    assert with_head["messages"][1:] == sent(None)["messages"][1:]
    whole = sent(Prefix("x", 2000, head_characters=13))["messages"][0]["content"]
    assert whole == [{"type": "text", "text": "Head and tail", "cache_control": mark}]
