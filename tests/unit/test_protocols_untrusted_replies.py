"""Replies are untrusted: whatever bytes come, there is an answer or a `ProviderError`, nothing else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.configuration import ProtocolName, Provider
from jobs.errors import ProviderError
from jobs.exchange import Answer
from workers.protocols import Protocol, protocol_of

PROTOCOLS = [
    protocol_of(Provider(protocol=name, base_url="http://localhost/v1")) for name in ProtocolName
]

KEYS = st.sampled_from(
    [
        "choices",
        "message",
        "content",
        "finish_reason",
        "usage",
        "prompt_tokens",
        "completion_tokens",
        "error",
        "code",
        "type",
        "detail",
        "details",
        "error_code",
        "status",
        "candidates",
        "parts",
        "text",
        "finishReason",
        "usageMetadata",
        "violations",
        "promptTokenCount",
        "promptFeedback",
        "blockReason",
        "stop_reason",
        "stop_details",
        "input_tokens",
        "retryDelay",
        "output_tokens",
        "quotaId",
        "quotaValue",
        "refusal",
    ]
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)
STATUSES = st.sampled_from([200, 200, 200, 400, 401, 404, 429, 500, 503])


def assert_understood(protocol: Protocol, status: int, body: bytes) -> None:
    try:
        answer = protocol.answer(status, {"retry-after": "soon"}, body)
    except ProviderError:
        return
    assert isinstance(answer, Answer)
    assert status == 200
    answer.text.encode()


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=list(ProtocolName))
@settings(max_examples=150)
@given(status=STATUSES, body=st.binary(max_size=60))
def test_any_bytes_are_understood(protocol: Protocol, status: int, body: bytes) -> None:
    assert_understood(protocol, status, body)


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=list(ProtocolName))
@settings(max_examples=250)
@given(status=STATUSES, value=VALUES)
def test_any_json_is_understood(protocol: Protocol, status: int, value: Any) -> None:
    assert_understood(protocol, status, json.dumps(value).encode())


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=list(ProtocolName))
@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(429, b"{}", id="rate limited"),
        pytest.param(503, b"<html>", id="a proxy's page"),
        pytest.param(200, b"{", id="no JSON"),
        pytest.param(200, b"{}", id="no answer"),
        pytest.param(200, b'{"choices":[],"candidates":[]}', id="nothing in it"),
        pytest.param(
            200,
            b'{"choices":[{"message":{},"finish_reason":"stop"}],'
            b'"candidates":[{"finishReason":"STOP"}]}',
            id="no text",
        ),
    ],
)
def test_an_error_carries_its_replys_headers_and_shows_none(
    protocol: Protocol, status: int, body: bytes
) -> None:
    headers = {"x-ratelimit-limit-requests": "4711", "set-cookie": "secret-4711"}

    with pytest.raises(ProviderError) as raised:
        protocol.answer(status, headers, body)

    assert raised.value.headers == headers
    assert "4711" not in f"{raised.value!r} {raised.value} {raised.value.message}"


def test_an_error_without_a_reply_has_no_headers() -> None:
    assert dict(ProviderError("no connection").headers) == {}
