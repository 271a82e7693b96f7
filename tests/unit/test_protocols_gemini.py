"""Gemini's generateContent: requests, answers, blocked prompts, usage and each row of its errors."""

import json
from typing import Any

import pytest
from pydantic import SecretStr

from jobs.clock import utcnow
from jobs.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ContextTooLong,
    MalformedReply,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from jobs.exchange import Finish, Message, ModelRequest, Usage
from workers.protocols.gemini import Gemini
from workers.protocols.hints import until_midnight_pacific_s

GEMINI = Gemini()

USAGE: dict[str, Any] = {
    "promptTokenCount": 100,
    "cachedContentTokenCount": 60,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 30,
    "toolUsePromptTokenCount": 5,
    "totalTokenCount": 155,
}


def reply(parts: Any = ({"text": "Hi"},), finish: Any = "STOP", usage: Any = USAGE) -> bytes:
    content = {"role": "model", "parts": parts} if parts is not None else None
    return json.dumps(
        {
            "candidates": [{"content": content, "finishReason": finish, "index": 0}],
            "usageMetadata": usage,
            "modelVersion": "gemini-2.5-flash",
            "responseId": "r-1",
        }
    ).encode()


def test_a_request_names_its_model_in_the_path_and_its_key_in_a_header() -> None:
    request = ModelRequest(
        messages=(Message("user", "Hello"), Message("assistant", "Hi"), Message("user", "Go on")),
        max_tokens=50,
        system="Be brief.",
        temperature=0.5,
        top_p=0.8,
        stop=("X",),
        seed=3,
        schema={"type": "array", "items": {"type": "string"}},
    )

    wire = GEMINI.request(request, "gemini-2.5-flash", SecretStr("k"))

    assert wire.path == "/models/gemini-2.5-flash:generateContent"
    assert dict(wire.headers) == {"content-type": "application/json", "x-goog-api-key": "k"}
    assert json.loads(wire.body) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hello"}]},
            {"role": "model", "parts": [{"text": "Hi"}]},
            {"role": "user", "parts": [{"text": "Go on"}]},
        ],
        "generationConfig": {
            "maxOutputTokens": 50,
            "temperature": 0.5,
            "topP": 0.8,
            "stopSequences": ["X"],
            "seed": 3,
            "responseMimeType": "application/json",
            "responseJsonSchema": {"type": "array", "items": {"type": "string"}},
        },
    }


def test_a_schema_without_a_form_is_json_and_asked_for_in_words() -> None:
    request = ModelRequest((Message("user", "Hi"),), max_tokens=5, schema={"type": "object"})
    body = json.loads(GEMINI.request(request, "m", None).body)

    assert body["generationConfig"] == {
        "maxOutputTokens": 5,
        "responseMimeType": "application/json",
    }
    (part,) = body["systemInstruction"]["parts"]
    assert part["text"].endswith('{"type":"object"}')


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("models/gemini-2.5-pro", "/models/gemini-2.5-pro:generateContent"),
        ("../../v1/files", "/models/..%2F..%2Fv1%2Ffiles:generateContent"),
        ("x?key=1#y", "/models/x%3Fkey%3D1%23y:generateContent"),
        ("half \ud83d", "/models/half%20%3F:generateContent"),
    ],
)
def test_a_models_name_cannot_lead_to_another_path(model: str, path: str) -> None:
    request = ModelRequest((Message("user", "Hi"),), max_tokens=5)

    assert GEMINI.request(request, model, None).path == path


def test_an_answer_leaves_its_thoughts_out_and_counts_them() -> None:
    answer = GEMINI.answer(
        200, {}, reply([{"text": "hm", "thought": True}, {"text": "Good "}, {"text": "day"}])
    )

    assert (answer.text, answer.finish) == ("Good day", Finish.COMPLETE)
    assert (answer.model, answer.request_id) == ("gemini-2.5-flash", "r-1")
    assert answer.usage == Usage(
        input_tokens=45, cached_input_tokens=60, output_tokens=50, reasoning_tokens=30
    )


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", Finish.COMPLETE),
        ("MAX_TOKENS", Finish.TRUNCATED),
        ("CONTINUATION", Finish.TRUNCATED),
        *(
            (reason, Finish.REFUSED)
            for reason in (
                "SAFETY",
                "RECITATION",
                "BLOCKLIST",
                "PROHIBITED_CONTENT",
                "SPII",
                "LANGUAGE",
                "ESCALATION",
                "PUP_LIMITED_DISABLED",
                "IMAGE_SAFETY",
                "IMAGE_OTHER",
            )
        ),
        *(
            (reason, Finish.MALFUNCTION)
            for reason in (
                "MALFORMED_FUNCTION_CALL",
                "MALFORMED_RESPONSE",
                "UNEXPECTED_TOOL_CALL",
                "TOO_MANY_TOOL_CALLS",
                "MISSING_THOUGHT_SIGNATURE",
                "OTHER",
            )
        ),
        ("SOMETHING_NEW", Finish.OTHER),
        (None, Finish.OTHER),
    ],
)
def test_finish_reasons_are_translated(reason: Any, finish: Finish) -> None:
    assert GEMINI.answer(200, {}, reply(finish=reason)).finish is finish


def test_a_call_of_a_function_is_told_by_its_part() -> None:
    answer = GEMINI.answer(200, {}, reply([{"functionCall": {"name": "f", "args": {}}}]))

    assert (answer.text, answer.finish) == ("", Finish.TOOL_CALL)


def test_thinking_that_used_up_the_tokens_leaves_an_empty_truncated_answer() -> None:
    answer = GEMINI.answer(200, {}, reply(None, "MAX_TOKENS"))

    assert (answer.text, answer.finish) == ("", Finish.TRUNCATED)


def test_a_blocked_prompt_is_a_refusal_with_its_reason() -> None:
    body = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 9}}

    answer = GEMINI.answer(200, {}, json.dumps(body).encode())

    assert (answer.text, answer.finish, answer.refusal) == ("", Finish.REFUSED, "SAFETY")
    assert answer.usage == Usage(input_tokens=9)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param({"promptTokenCount": 9}, Usage(input_tokens=9), id="zeros left out"),
        pytest.param(
            {"promptTokenCount": 9, "thoughtsTokenCount": None, "candidatesTokenCount": 2},
            Usage(input_tokens=9, output_tokens=2),
            id="null is zero",
        ),
        pytest.param(
            {"promptTokenCount": 9, "cachedContentTokenCount": 12},
            Usage(cached_input_tokens=12),
            id="more cached than prompted",
        ),
        pytest.param(None, None, id="null"),
        pytest.param({}, None, id="no prompt is of zero tokens"),
        pytest.param({"promptTokenCount": -1}, None, id="negative"),
        pytest.param({"promptTokenCount": "9"}, None, id="number as text"),
        pytest.param({"promptTokenCount": 9, "candidatesTokenCount": 10**18}, None, id="10^18"),
        pytest.param({"promptTokenCount": 9.5}, None, id="fraction"),
    ],
)
def test_usage_is_believed_only_where_it_can_be_true(usage: Any, expected: Usage | None) -> None:
    assert GEMINI.answer(200, {}, reply(usage=usage)).usage == expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="HTML"),
        pytest.param(b"\xff", id="not UTF-8"),
        pytest.param(b"{}", id="no candidates, no reason"),
        pytest.param(b'{"candidates":[],"promptFeedback":{}}', id="feedback without a reason"),
        pytest.param(reply(None), id="complete without content"),
        pytest.param(b'{"candidates":[{"content":"x"}]}', id="content a text"),
    ],
)
def test_a_200_that_is_no_answer_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedReply):
        GEMINI.answer(200, {}, body)


def gemini_error(code: str, *details: Any, message: str = "No.") -> dict[str, Any]:
    return {"error": {"code": 429, "message": message, "status": code, "details": list(details)}}


def quota(name: str, value: str = "10") -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaId": name, "quotaValue": value}],
    }


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17.264894187s"}
PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
INPUT_TOKENS_PER_MINUTE = "GenerateContentInputTokensPerModelPerMinute-FreeTier"
INPUT_TOKENS_PER_DAY = "GenerateContentInputTokensPerModelPerDay-FreeTier"
VIOLATED_PER_MINUTE = quota(PER_MINUTE)["violations"]
VIOLATED_PER_DAY = quota(PER_DAY)["violations"]
EXHAUSTED = "RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(400, gemini_error("INVALID_ARGUMENT"), RequestRejected, id="400"),
        pytest.param(
            400,
            gemini_error(
                "INVALID_ARGUMENT",
                message="The input token count (2000000) exceeds the maximum number of tokens",
            ),
            ContextTooLong,
            id="400 context",
        ),
        pytest.param(
            400,
            gemini_error("INVALID_ARGUMENT", {"reason": "API_KEY_INVALID"}),
            AuthenticationFailed,
            id="400 API_KEY_INVALID",
        ),
        pytest.param(
            400, gemini_error("FAILED_PRECONDITION"), AccessForbidden, id="400 FAILED_PRECONDITION"
        ),
        pytest.param(401, {}, AuthenticationFailed, id="401"),
        pytest.param(402, gemini_error(EXHAUSTED), QuotaExhausted, id="402 prepaid credit gone"),
        pytest.param(403, gemini_error("PERMISSION_DENIED"), AccessForbidden, id="403"),
        pytest.param(404, gemini_error("NOT_FOUND"), RequestRejected, id="404"),
        pytest.param(429, gemini_error(EXHAUSTED), RateLimited, id="429 without details"),
        pytest.param(
            429, gemini_error(EXHAUSTED, quota(PER_MINUTE)), RateLimited, id="429 PerMinute"
        ),
        pytest.param(429, gemini_error(EXHAUSTED, quota(PER_DAY)), QuotaExhausted, id="429 PerDay"),
        pytest.param(
            429, gemini_error(EXHAUSTED, quota(PER_DAY, "0")), RequestRejected, id="429 value 0"
        ),
        pytest.param(
            429,
            gemini_error(EXHAUSTED, message="Quota exceeded for metric x, limit: 0, model: y"),
            RequestRejected,
            id="429 limit: 0",
        ),
        pytest.param(
            429,
            gemini_error(EXHAUSTED, message="Quota exceeded, limit: 0.5, model: y"),
            RateLimited,
            id="429 limit: 0.5",
        ),
        pytest.param(
            429,
            gemini_error(EXHAUSTED, quota(INPUT_TOKENS_PER_MINUTE, "250000"), RETRY_INFO),
            RateLimited,
            id="429 input tokens PerMinute",
        ),
        pytest.param(
            429,
            gemini_error(EXHAUSTED, quota(INPUT_TOKENS_PER_DAY, "0"), RETRY_INFO),
            RequestRejected,
            id="429 no input tokens at all",
        ),
        pytest.param(
            429,
            gemini_error(EXHAUSTED, quota(PER_MINUTE), quota(PER_DAY), RETRY_INFO),
            QuotaExhausted,
            id="429 PerMinute and PerDay",
        ),
        pytest.param(
            429,
            gemini_error(EXHAUSTED, {"violations": [*VIOLATED_PER_MINUTE, *VIOLATED_PER_DAY]}),
            QuotaExhausted,
            id="429 both in one failure",
        ),
        pytest.param(
            429,
            gemini_error(EXHAUSTED, {"violations": [{"quotaId": PER_DAY}]}),
            QuotaExhausted,
            id="429 PerDay without a value",
        ),
        pytest.param(
            429,
            gemini_error(EXHAUSTED, {"violations": [{"quotaId": PER_DAY, "quotaValue": 0}]}),
            RequestRejected,
            id="429 value a number",
        ),
        pytest.param(
            429,
            gemini_error(EXHAUSTED, message="* Quota exceeded, limit: 0\nPlease retry in 17.3s."),
            RequestRejected,
            id="429 limit: 0 with a wish to wait",
        ),
        pytest.param(
            429,
            gemini_error(EXHAUSTED, message="Quota exceeded, limit: 05, model: y"),
            RateLimited,
            id="429 limit: 05",
        ),
        pytest.param(499, gemini_error("CANCELLED"), ServerFailed, id="499"),
        pytest.param(500, gemini_error("INTERNAL"), ServerFailed, id="500"),
        pytest.param(503, gemini_error("UNAVAILABLE"), Overloaded, id="503"),
        pytest.param(504, gemini_error("DEADLINE_EXCEEDED"), ServerFailed, id="504"),
        pytest.param(
            429, {"error": {"details": "x", "status": 8}}, RateLimited, id="odd details and status"
        ),
        pytest.param(
            429,
            gemini_error(EXHAUSTED, 1, None, {"violations": {}}, {"violations": [7]}),
            RateLimited,
            id="odd items",
        ),
    ],
)
def test_an_error_reply_is_its_exact_class(
    status: int, body: dict[str, Any], kind: type[ProviderError]
) -> None:
    with pytest.raises(ProviderError) as raised:
        GEMINI.answer(status, {}, json.dumps(body).encode())

    assert type(raised.value) is kind
    assert raised.value.status == status


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "in a list of one"])
def test_the_retry_info_is_the_wait(wrapped: bool) -> None:
    body: Any = gemini_error(EXHAUSTED, quota(PER_MINUTE), RETRY_INFO, message="Retry in 3s")

    with pytest.raises(RateLimited) as raised:
        GEMINI.answer(429, {}, json.dumps([body] if wrapped else body).encode())

    assert raised.value.wait_s == pytest.approx(17.264894187)
    assert raised.value.provider_code == EXHAUSTED


def test_without_retry_info_the_message_has_the_wait() -> None:
    body = gemini_error(EXHAUSTED, message="Quota exceeded. Please retry in 1h17m5.7s.")

    with pytest.raises(RateLimited) as raised:
        GEMINI.answer(429, {}, json.dumps(body).encode())

    assert raised.value.wait_s == pytest.approx(3600 + 17 * 60 + 5.7)


@pytest.mark.parametrize("retry_delay", ["-1s", "17s", "40000s", None])
def test_a_quota_of_the_day_waits_for_midnight_in_california_and_not_for_the_retry_info(
    retry_delay: str | None,
) -> None:
    body = gemini_error(
        EXHAUSTED, quota(PER_DAY), {"retryDelay": retry_delay}, message="retry in 2s"
    )

    before = until_midnight_pacific_s(utcnow())
    with pytest.raises(QuotaExhausted) as raised:
        GEMINI.answer(429, {"retry-after": "2"}, json.dumps(body).encode())
    after = until_midnight_pacific_s(utcnow())

    # The day that is 25 hours long is cut to 24, and midnight may be between the two looks.
    assert raised.value.wait_s is not None
    assert min(after, 86_400) <= raised.value.wait_s <= before or after > before
