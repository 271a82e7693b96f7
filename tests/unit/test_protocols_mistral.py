"""Mistral's chat completions: its names, its several error bodies, its content in chunks."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from jobs.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ContextTooLong,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from jobs.exchange import Finish, Message, ModelRequest, Usage
from workers.protocols.mistral import Mistral

MISTRAL = Mistral()


def reply(content: Any = "Salut", finish: Any = "stop", usage: Any = None) -> bytes:
    return json.dumps(
        {
            "id": "cmpl-1",
            "model": "mistral-small-2603",
            "choices": [
                {"message": {"role": "assistant", "content": content}, "finish_reason": finish}
            ],
            "usage": usage,
        }
    ).encode()


def test_a_request_holds_only_names_that_mistral_knows() -> None:
    request = ModelRequest(
        messages=(Message("user", "Hello"), Message("assistant", "Hi"), Message("user", "Go on")),
        max_tokens=50,
        system="Be brief.",
        temperature=0.5,
        top_p=0.8,
        stop=("X",),
        seed=3,
        schema={"type": "object", "properties": {"a": {"type": "string"}}},
    )

    wire = MISTRAL.request(request, "mistral-small-latest", SecretStr("k"))

    assert wire.path == "/chat/completions"
    assert ("authorization", "Bearer k") in wire.headers
    assert json.loads(wire.body) == {
        "model": "mistral-small-latest",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": "Go on"},
        ],
        "max_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.8,
        "stop": ["X"],
        "random_seed": 3,
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "answer",
                "schema": {
                    "type": "object",
                    "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
                    "required": ["a"],
                    "additionalProperties": False,
                },
                "strict": True,
            },
        },
    }


def test_a_schema_without_a_form_is_json_mode_and_asked_for_in_words() -> None:
    request = ModelRequest((Message("user", "Hi"),), max_tokens=5, schema={"type": "object"})
    body = json.loads(MISTRAL.request(request, "m", None).body)

    assert body["response_format"] == {"type": "json_object"}
    assert body["messages"][0]["role"] == "system"
    assert "JSON Schema" in body["messages"][0]["content"]


def test_an_answer_in_chunks_is_joined_without_its_thinking() -> None:
    chunks = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "Bon"},
        {"type": "text", "text": "jour"},
    ]

    assert MISTRAL.answer(200, {}, reply(chunks)).text == "Bonjour"


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", Finish.COMPLETE),
        ("length", Finish.TRUNCATED),
        ("model_length", Finish.TRUNCATED),
        ("tool_calls", Finish.TOOL_CALL),
        ("error", Finish.MALFUNCTION),
        ("new", Finish.OTHER),
    ],
)
def test_finish_reasons_are_translated(reason: str, finish: Finish) -> None:
    assert MISTRAL.answer(200, {}, reply(finish=reason)).finish is finish


@pytest.mark.parametrize(
    "cached",
    [
        pytest.param({"prompt_tokens_details": {"cached_tokens": 64}}, id="documented"),
        pytest.param({"prompt_token_details": {"cached_tokens": 64}}, id="singular"),
        pytest.param({"num_cached_tokens": 64}, id="flat"),
    ],
)
def test_cached_tokens_are_found_under_each_of_their_names(cached: dict[str, Any]) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107, **cached}

    assert MISTRAL.answer(200, {}, reply(usage=usage)).usage == Usage(
        input_tokens=36, cached_input_tokens=64, output_tokens=7
    )


def test_the_correlation_id_is_the_request_id() -> None:
    headers = {"mistral-correlation-id": "c-1"}

    assert MISTRAL.answer(200, headers, reply()).request_id == "c-1"


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        pytest.param(
            429,
            {
                "object": "error",
                "message": "Rate limit exceeded",
                "type": "rate_limited",
                "param": None,
                "code": "1300",
                "raw_status_code": 429,
            },
            RateLimited,
            "Rate limit exceeded",
            id="429 code 1300",
        ),
        pytest.param(
            429,
            {"message": "Requests rate limit exceeded"},
            RateLimited,
            "Requests rate limit exceeded",
            id="429 bare message",
        ),
        pytest.param(
            429,
            {"message": "Service tier capacity exceeded for this model", "code": "3505"},
            Overloaded,
            "Service tier capacity exceeded for this model",
            id="429 code 3505",
        ),
        pytest.param(
            429,
            {"message": "Service tier capacity exceeded for this model."},
            Overloaded,
            "Service tier capacity exceeded for this model.",
            id="429 capacity in words",
        ),
        pytest.param(503, {"code": 3505}, Overloaded, "", id="503 code a number"),
        pytest.param(
            401,
            {"detail": "Unauthorized"},
            AuthenticationFailed,
            "Unauthorized",
            id="401 detail",
        ),
        pytest.param(402, {}, QuotaExhausted, "", id="402"),
        pytest.param(403, {}, AccessForbidden, "", id="403"),
        pytest.param(
            400,
            {"message": "Prompt contains 40000 tokens, too large for model context length 32768"},
            ContextTooLong,
            "context length 32768",
            id="400 context",
        ),
        pytest.param(
            400, {"message": "Invalid model: x"}, RequestRejected, "Invalid model", id="400 model"
        ),
        pytest.param(404, {}, RequestRejected, "", id="404"),
        pytest.param(413, {}, RequestRejected, "", id="413"),
        pytest.param(
            422,
            {"detail": [{"loc": ["body", "seed"], "msg": "Extra", "type": "extra_forbidden"}]},
            RequestRejected,
            "extra_forbidden",
            id="422 a list of details",
        ),
        pytest.param(
            422,
            {"object": "error", "message": {"detail": [{"msg": "Extra"}]}, "type": "x"},
            RequestRejected,
            "Extra",
            id="422 message is an object",
        ),
        pytest.param(500, {}, ServerFailed, "", id="500"),
        pytest.param(502, {}, ServerFailed, "", id="502"),
        pytest.param(504, {}, ServerFailed, "", id="504"),
    ],
)
def test_an_error_reply_is_its_exact_class(
    status: int, body: dict[str, Any], kind: type[ProviderError], message: str
) -> None:
    with pytest.raises(ProviderError) as raised:
        MISTRAL.answer(status, {"retry-after": "3"}, json.dumps(body).encode())

    assert type(raised.value) is kind
    assert message in raised.value.message
    assert raised.value.wait_s == 3
