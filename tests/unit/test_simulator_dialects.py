"""Each provider's wire format: what is refused, and the shapes of answers, errors and headers."""

import re
from dataclasses import replace
from typing import Any

import orjson
import pytest

from scripts.simulator.buckets import Reading
from scripts.simulator.calls import Answer, Call, Failure, FailureKind, Finish, Rejected, read_call
from scripts.simulator.dialects import DIALECTS, anthropic, gemini, mistral, openai, responses
from scripts.simulator.routes import find_route

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
OPEN_SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TURN = {"role": "user", "content": "hello"}
CHAT = {"model": "m", "messages": [TURN]}
RESPONSE = {"model": "m", "input": "hello"}
MESSAGES = {"model": "m", "max_tokens": 5, "messages": [TURN]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}


def named(schema: dict[str, Any], *, strict: bool = True) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": strict}}


def flat(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "name": "x", "schema": schema, "strict": True}


def read(protocol: str, body: dict[str, Any], version: str = "2023-06-01") -> Call:
    return DIALECTS[protocol].read(orjson.dumps(body), "path-model", version)


def an_answer(finish: Finish = Finish.COMPLETE) -> Answer:
    return Answer("text", finish, 100, 64, 50, 20)


A_CALL = read_call("m", ("hello",), None, None)


def a_call(
    model: str,
    text: str,
    max_tokens: int | None,
    schema: dict[str, Any] | None,
    *rest: Any,
    marked: str | None = None,
) -> Call:
    """Return a call whose last line is what is asked."""
    job_id, input_tokens = rest
    question = text.rpartition("\n")[2]
    return Call(
        *(model, text, max_tokens, schema, job_id, input_tokens),
        question=question,
        is_told=False,
        translation=None,
        marked=marked,
    )


@pytest.mark.parametrize(
    ("protocol", "body", "call"),
    [
        ("openai", CHAT | {"max_completion_tokens": 7}, a_call("m", "hello", 7, None, "", 2)),
        ("openai", CHAT | {"max_tokens": 8}, a_call("m", "hello", 8, None, "", 2)),
        (
            "openai",
            CHAT | {"response_format": named(SCHEMA)},
            a_call("m", "hello", None, SCHEMA, "", 2),
        ),
        (
            "openai",
            {
                "model": "m",
                "messages": [
                    {"role": "system", "content": "a"},
                    {"role": "user", "content": [{"type": "text", "text": "[job:b]"}]},
                ],
            },
            a_call("m", "a\n[job:b]", None, None, "b", 3),
        ),
        (
            "mistral",
            CHAT | {"max_tokens": 8, "random_seed": 3},
            a_call("m", "hello", 8, None, "", 2),
        ),
        (
            "mistral",
            CHAT | {"response_format": named(OPEN_SCHEMA)},
            a_call("m", "hello", None, OPEN_SCHEMA, "", 2),
        ),
        (
            "responses",
            RESPONSE | {"max_output_tokens": 7, "instructions": "[job:s]"},
            a_call("m", "[job:s]\nhello", 7, None, "s", 4),
        ),
        (
            "responses",
            {
                "model": "m",
                "input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}]}],
                "text": {"format": flat(SCHEMA)},
            },
            a_call("m", "hello", None, SCHEMA, "", 2),
        ),
        (
            "anthropic",
            MESSAGES | {"system": "[job:s]"},
            a_call("m", "[job:s]\nhello", 5, None, "s", 4, marked=""),
        ),
        (
            "anthropic",
            MESSAGES | {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            a_call("m", "hello", 5, SCHEMA, "", 2, marked=""),
        ),
        (
            "gemini",
            CONTENTS | {"systemInstruction": {"parts": [{"text": "s"}]}},
            a_call("path-model", "s\nhello", None, None, "", 2),
        ),
        (
            "gemini",
            CONTENTS
            | {
                "generationConfig": {
                    "maxOutputTokens": 9,
                    "responseMimeType": "application/json",
                    "responseJsonSchema": SCHEMA,
                }
            },
            a_call("path-model", "hello", 9, SCHEMA, "", 2),
        ),
    ],
)
def test_a_request_is_read(protocol: str, body: dict[str, Any], call: Call) -> None:
    assert read(protocol, body) == call


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        ("openai", {"model": "m"}),
        ("openai", CHAT | {"stream_options": {"include_usage": True}}),
        ("openai", CHAT | {"response_format": named(OPEN_SCHEMA)}),
        ("openai", CHAT | {"response_format": {"type": "json_object"}}),
        ("openai", CHAT | {"response_format": {"type": "json_schema"}}),
        ("responses", RESPONSE | {"input": []}),
        ("responses", RESPONSE | {"stream": True}),
        ("responses", RESPONSE | {"text": {"format": flat(OPEN_SCHEMA)}}),
        ("responses", RESPONSE | {"text": {"format": {"type": "json_object"}}}),
        ("responses", RESPONSE | {"text": {"format": {"type": "json_schema"}}}),
        ("mistral", CHAT | {"max_completion_tokens": 5}),
        ("mistral", CHAT | {"seed": 5}),
        ("mistral", {"model": "m", "messages": [TURN | {"reasoning_content": ""}]}),
        ("anthropic", {"model": "m", "messages": [TURN]}),
        ("anthropic", MESSAGES | {"max_tokens": 0}),
        (
            "anthropic",
            MESSAGES
            | {"output_config": {"format": {"type": "json_schema", "schema": OPEN_SCHEMA}}},
        ),
        ("gemini", {"contents": [{"role": "assistant", "parts": [{"text": "hello"}]}]}),
        ("gemini", {"contents": []}),
        ("gemini", CONTENTS | {"generationConfig": {"responseJsonSchema": SCHEMA}}),
        (
            "gemini",
            CONTENTS | {"generationConfig": {"responseJsonSchema": {}, "responseSchema": {}}},
        ),
    ],
)
def test_what_the_provider_refuses_is_refused(protocol: str, body: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as rejected:
        read(protocol, body)
    failure = rejected.value.failure
    is_unknown = protocol == "mistral"
    assert failure.kind is (FailureKind.UNPROCESSABLE if is_unknown else FailureKind.BAD_REQUEST)


def test_anthropic_needs_its_version_and_its_new_one_takes_no_temperature() -> None:
    warm = MESSAGES | {"temperature": 1.0}
    assert read("anthropic", warm, "2023-06-01").model == "m"
    for body, version in ((MESSAGES, ""), (warm, "2026-10-21")):
        with pytest.raises(Rejected):
            read("anthropic", body, version)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v1/chat/completions", ("openai", "")),
        ("/v1/responses", ("openai", "")),
        ("/mistral/v1/chat/completions", ("mistral", "")),
        ("/anthropic/v1/messages", ("anthropic", "")),
        ("/gemini/v1beta/models/a%2Fb:generateContent", ("gemini", "a/b")),
        ("/gemini/v1/models/m:generateContent", ("gemini", "m")),
        ("/gemini/v1/models/:generateContent", None),
        ("/gemini/v1/models/m:streamGenerateContent", ("gemini", "m")),
        ("/gemini/v1/models/m:countTokens", None),
        ("/v1/messages", None),
    ],
)
def test_each_path_belongs_to_one_provider(path: str, found: tuple[str, str] | None) -> None:
    route = find_route(path)
    assert (route and (route.dialect.NAME, route.model)) == found


def test_usage_is_counted_as_each_provider_counts() -> None:
    cached = openai.answer(A_CALL, an_answer(), 1)["usage"]
    assert (cached["prompt_tokens"], cached["completion_tokens"]) == (100, 50)
    assert cached["prompt_tokens_details"]["cached_tokens"] == 64
    assert cached["completion_tokens_details"]["reasoning_tokens"] == 20
    response = responses.answer(A_CALL, an_answer(), 1)["usage"]
    assert (response["input_tokens"], response["output_tokens"]) == (100, 50)
    assert response["input_tokens_details"]["cached_tokens"] == 64
    assert response["output_tokens_details"]["reasoning_tokens"] == 20
    apart = anthropic.answer(A_CALL, an_answer(), 1)["usage"]
    assert (apart["input_tokens"], apart["cache_read_input_tokens"]) == (36, 64)
    assert (apart["output_tokens"], apart["output_tokens_details"]["thinking_tokens"]) == (50, 20)
    assert gemini.answer(A_CALL, an_answer(), 1)["usageMetadata"] == {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 64,
        "candidatesTokenCount": 30,
        "thoughtsTokenCount": 20,
        "totalTokenCount": 150,
    }
    assert mistral.answer(A_CALL, an_answer(), 1)["usage"] == {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 64},
    }


@pytest.mark.parametrize(
    ("finish", "openai_word", "anthropic_word", "gemini_word", "mistral_word"),
    [
        (Finish.COMPLETE, "stop", "end_turn", "STOP", "stop"),
        (Finish.TRUNCATED, "length", "max_tokens", "MAX_TOKENS", "length"),
        (Finish.REFUSED, "stop", "refusal", None, "content_filter"),
    ],
)
def test_the_reason_to_stop_has_each_providers_word(
    finish: Finish,
    openai_word: str,
    anthropic_word: str,
    gemini_word: str | None,
    mistral_word: str,
) -> None:
    answer = an_answer(finish)
    assert openai.answer(A_CALL, answer, 1)["choices"][0]["finish_reason"] == openai_word
    is_whole = finish is not Finish.TRUNCATED
    assert (responses.answer(A_CALL, answer, 1)["status"] == "completed") is is_whole
    assert anthropic.answer(A_CALL, answer, 1)["stop_reason"] == anthropic_word
    candidates = gemini.answer(A_CALL, answer, 1).get("candidates", [{"finishReason": None}])
    assert candidates[0]["finishReason"] == gemini_word
    assert mistral.answer(A_CALL, answer, 1)["choices"][0]["finish_reason"] == mistral_word


def test_a_refusal_is_told_where_each_provider_tells_it() -> None:
    refused = an_answer(Finish.REFUSED)
    message = openai.answer(A_CALL, refused, 1)["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "text")
    (item,) = responses.answer(A_CALL, refused, 1)["output"]
    assert item["content"] == [{"type": "refusal", "refusal": "text"}]
    assert anthropic.answer(A_CALL, refused, 1)["content"] == []
    assert gemini.answer(A_CALL, refused, 1)["promptFeedback"] == {"blockReason": "SAFETY"}


@pytest.mark.parametrize("kind", FailureKind)
@pytest.mark.parametrize("protocol", DIALECTS)
def test_every_error_can_be_told_by_every_provider(protocol: str, kind: FailureKind) -> None:
    reply = DIALECTS[protocol].error(Failure(kind), "m", 1)
    assert 400 <= reply.status <= 529
    assert orjson.loads(orjson.dumps(reply.body))


def test_a_spend_limit_is_recognisable_at_each_provider() -> None:
    failure = Failure(FailureKind.SPEND_LIMIT, wait_s=5)
    assert (
        openai.error(failure, "m", 1).body["error"]["code"] == "organization_spend_limit_exceeded"
    )
    capped = anthropic.error(failure, "m", 1)
    assert capped.body["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}
    assert "retry-after" not in capped.headers
    violation = gemini.error(failure, "m", 1).body["error"]["details"][0]["violations"][0]
    assert "PerDay" in violation["quotaId"]


def test_a_rate_limit_with_a_hint_says_it_in_each_providers_way() -> None:
    failure = Failure(FailureKind.RATE_LIMITED, wait_s=1.2)
    told = openai.error(failure, "m", 1)
    assert told.headers == {"retry-after": "2", "retry-after-ms": "1200"}
    assert "Please try again in 1.2s." in told.body["error"]["message"]
    assert anthropic.error(failure, "m", 1).headers == {"retry-after": "2"}
    assert mistral.error(failure, "m", 1).headers == {"retry-after": "2"}
    details = gemini.error(failure, "m", 1).body["error"]["details"]
    assert details[1]["retryDelay"] == "1.2s"


@pytest.mark.parametrize("protocol", DIALECTS)
def test_a_rate_limit_without_a_hint_says_nothing_of_time(protocol: str) -> None:
    reply = DIALECTS[protocol].error(Failure(FailureKind.RATE_LIMITED), "m", 1)
    assert reply.headers == {}
    assert not re.search(rb"again in|retry in|RetryInfo", orjson.dumps(reply.body))


def test_openai_tells_a_request_that_can_never_fit_from_one_that_must_wait() -> None:
    later = Failure(
        FailureKind.RATE_LIMITED, wait_s=6.0, dimension="tpm", limit=100, used=90, requested=20
    )
    never = replace(later, wait_s=None, requested=101)
    assert "Limit 100, Requested 101." in openai.error(never, "m", 1).body["error"]["message"]
    error = openai.error(later, "m", 1).body["error"]
    assert error["type"] == "tokens"
    assert "Limit 100, Used 90, Requested 20." in error["message"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"),
        (0.02, "20ms"),
        (1.0, "1s"),
        (1.5, "1.5s"),
        (360.0, "6m0s"),
        (172.8, "2m52.8s"),
        (3723.0, "1h2m3s"),
    ],
)
def test_openai_writes_times_as_go_does(seconds: float, text: str) -> None:
    assert openai.duration(seconds) == text


RATES = {"rpm": Reading(60, 59, 1.0), "tpm": Reading(9000, 1499, 30.0)}


def test_rate_headers_have_each_providers_names_and_formats() -> None:
    told = openai.headers(RATES, an_answer(), 1)
    assert told["x-ratelimit-remaining-requests"] == "59"
    assert told["x-ratelimit-reset-tokens"] == "30s"
    told = anthropic.headers(RATES, an_answer(), 1)
    assert told["anthropic-ratelimit-requests-remaining"] == "59"
    assert told["anthropic-ratelimit-tokens-remaining"] == "1000"
    reset = told["anthropic-ratelimit-tokens-reset"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", reset)
    assert mistral.headers(RATES, an_answer(), 1) == {
        "mistral-correlation-id": f"{1:032x}",
        "x-ratelimit-limit-req-minute": "60",
        "x-ratelimit-remaining-req-minute": "59",
        "x-ratelimit-limit-tokens-minute": "9000",
        "x-ratelimit-remaining-tokens-minute": "1499",
        "x-ratelimit-tokens-query-cost": "150",
    }
    assert gemini.headers(RATES, an_answer(), 1) == {}


def test_without_limits_there_are_no_rate_headers() -> None:
    for dialect in DIALECTS.values():
        assert not [name for name in dialect.headers({}, None, 1) if "ratelimit" in name]
