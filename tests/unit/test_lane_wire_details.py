"""What each of the four batch APIs has of its own."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from pydantic import SecretStr

from jobs.configuration import ProtocolName, Provider
from jobs.errors import (
    ProviderError,
    ProviderUnusable,
    RateLimited,
    RequestRejected,
    ServerFailed,
)
from jobs.exchange import Answer, Endpoint, Passed
from tests.support.batch_words import (
    ANTHROPIC,
    APIS,
    GEMINI,
    HI,
    MISTRAL,
    NOW,
    OPENAI,
    TAG,
    Api,
    anthropic_batch,
    gemini_batch,
    mistral_batch,
    openai_batch,
    order_of,
)
from tests.support.recorded import BASE, Recorded, lines
from workers.lanes.wire import End, LaneHttp, Remote
from workers.lanes.wire.openai import OpenAIBatches

KEY = SecretStr("sk-secret")


async def test_anthropics_is_ours_only_if_its_results_are(tmp_path: Path) -> None:
    page = ANTHROPIC.page
    foreign = lines({"custom_id": "foreign-1", "result": {"type": "expired"}})
    path = "GET /v1/messages/batches/msgbatch_{}/results"
    gone = anthropic_batch("done", name="3")
    old = anthropic_batch("done", name="9", created_at=(NOW - timedelta(days=1)).isoformat())
    recorded = Recorded(
        {
            ANTHROPIC.listing: [
                page(
                    [anthropic_batch(name="1"), anthropic_batch("done", name="2"), gone, old], False
                ),
                page([anthropic_batch("done", name="1"), anthropic_batch("done", name="2")], False),
            ],
            path.format(2): foreign,
            **ANTHROPIC.results,
        }
    )
    batches = recorded.lane(ProtocolName.ANTHROPIC)
    order = order_of(batches, tmp_path)
    assert await batches.find(KEY, order, NOW) == (None, 1), "one that runs may be ours"
    assert path.format(9) not in recorded.names(), "one of another time isn't read"
    found, possible = await batches.find(KEY, order, NOW)
    assert found is not None
    assert (found.id, possible) == ("msgbatch_1", 0)


FAILED: dict[str, tuple[dict[str, Any], type[ProviderError]]] = {
    "a full queue at OpenAI": (
        openai_batch(
            "failed", errors={"data": [{"code": "token_limit_exceeded", "message": "Enqueued"}]}
        ),
        RateLimited,
    ),
    "another model at OpenAI": (
        openai_batch("failed", errors={"data": [{"code": "model_mismatch", "line": 3}]}),
        RequestRejected,
    ),
    "something new at OpenAI": (
        openai_batch("failed", errors={"data": [{"code": "moon_phase", "message": "Full"}]}),
        RequestRejected,
    ),
    "no reason at OpenAI": (openai_batch("failed"), ServerFailed),
    "a full queue at Gemini": (
        gemini_batch("BATCH_STATE_FAILED", error={"code": 8, "message": "Quota"}, done=True),
        RateLimited,
    ),
    "a bad file at Gemini": (
        gemini_batch("", error={"code": 3, "message": "Bad line"}, done=True),
        RequestRejected,
    ),
    "no reason at Mistral": (mistral_batch("FAILED"), ServerFailed),
    "a bad file at Mistral": (
        mistral_batch("FAILED", errors=[{"message": "bad line", "count": 4}]),
        RequestRejected,
    ),
}


@pytest.mark.parametrize("case", FAILED)
async def test_why_one_failed_says_whether_to_send_it_again(case: str) -> None:
    batch, kind = FAILED[case]
    api = next(api for name, api in APIS.items() if name in case.lower())
    remote = await Recorded({f"GET {api.one}": batch}).lane(api.protocol).look(KEY, api.id)
    assert remote.end is End.FAILED
    assert type(remote.failure) is kind


ENDED: dict[str, tuple[Api, dict[str, Any], End]] = {
    "openai expired": (OPENAI, openai_batch("expired"), End.EXPIRED),
    "openai cancelled": (OPENAI, openai_batch("cancelled"), End.CANCELLED),
    "anthropic expired": (ANTHROPIC, anthropic_batch("done"), End.EXPIRED),
    "anthropic cancelled": (
        ANTHROPIC,
        anthropic_batch("done", cancel_initiated_at="2026-11-28T02:00:00Z"),
        End.CANCELLED,
    ),
    "gemini expired": (GEMINI, gemini_batch("BATCH_STATE_EXPIRED"), End.EXPIRED),
    "gemini cancelled": (GEMINI, gemini_batch("JOB_STATE_CANCELLED"), End.CANCELLED),
    "mistral expired": (MISTRAL, mistral_batch("TIMEOUT_EXCEEDED"), End.EXPIRED),
    "mistral cancelled": (MISTRAL, mistral_batch("CANCELLED"), End.CANCELLED),
}


@pytest.mark.parametrize("case", ENDED)
async def test_an_end_is_told_by_its_name(case: str) -> None:
    api, batch, end = ENDED[case]
    remote = await Recorded({f"GET {api.one}": batch}).lane(api.protocol).look(KEY, api.id)
    assert remote.end is end


async def test_anthropics_results_come_from_its_own_address_only() -> None:
    recorded = Recorded(dict(ANTHROPIC.results))
    batches = recorded.lane(ProtocolName.ANTHROPIC)
    assert [line async for line in batches.results(KEY, Remote(ANTHROPIC.id, End.COMPLETED))]
    assert {request.url.host for request in recorded.asked} == {"provider.test"}


async def test_geminis_upload_does_not_lead_to_another_server(tmp_path: Path) -> None:
    leads = httpx.Response(200, headers={"x-goog-upload-url": "http://provider.test.evil/up"})
    recorded = Recorded({"POST /upload/v1/files": leads})
    batches = recorded.lane(ProtocolName.GEMINI)
    with pytest.raises(ProviderUnusable):
        await batches.upload(KEY, order_of(batches, tmp_path))
    assert len(recorded.asked) == 1


async def test_a_name_from_a_provider_leads_nowhere_else() -> None:
    recorded = Recorded({})
    batches = recorded.lane(ProtocolName.OPENAI)
    with pytest.raises(RequestRejected):
        await batches.look(KEY, "../../admin?x=1#")
    assert recorded.asked[0].url.raw_path == b"/v1/batches/..%2F..%2Fadmin%3Fx%3D1%23"


def test_a_passed_body_is_sent_on_one_line_as_it_was_written() -> None:
    raw = msgspec.Raw(
        b'{"model":"x","messages":[\n  {"role":"user",\r\n "content":"a\\n b"}],"n":1.50}'
    )
    request = msgspec.structs.replace(HI, passed=Passed(raw))
    line = Recorded({}).lane(ProtocolName.OPENAI).line(f"{TAG}-0", "m", request)
    assert b"\n" not in line
    assert b"\r" not in line
    assert b'"n":1.50' in line
    body = msgspec.json.decode(line)["body"]
    assert (body["model"], body["messages"][0]["content"]) == ("m", "a\n b")


def test_what_was_written_for_the_responses_goes_nowhere_else() -> None:
    raw = msgspec.Raw(b'{"model":"x","input":"hi"}')
    passed = Passed(raw, Endpoint.RESPONSES, unmapped=("body.tools",))
    request = msgspec.structs.replace(HI, passed=passed)
    provider = Provider(protocol=ProtocolName.OPENAI, base_url=BASE, responses=True)
    batches = OpenAIBatches(provider, LaneHttp(httpx.MockTransport(Recorded({}))))
    assert (batches.endpoint(HI), batches.endpoint(request)) == (Endpoint.CHAT, Endpoint.RESPONSES)
    line = msgspec.json.decode(batches.line(f"{TAG}-0", "m", request))
    assert (line["url"], line["body"]["input"]) == ("/v1/responses", "hi")
    with pytest.raises(RequestRejected):
        Recorded({}).lane(ProtocolName.OPENAI).line(f"{TAG}-0", "m", request)


async def test_answers_of_the_responses_are_read_as_such() -> None:
    reply = {
        "id": "resp_1",
        "status": "completed",
        "model": "m",
        "output": [
            {"type": "message", "content": [{"type": "output_text", "text": "hello"}]},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
    response = {"status_code": 200, "request_id": "req-1", "body": reply}
    batch = openai_batch("done", endpoint="/v1/responses", error_file_id=None)
    line = {"custom_id": f"{TAG}-0", "response": response, "error": None}
    recorded = Recorded({f"GET {OPENAI.one}": batch, "GET /v1/files/file-out/content": lines(line)})
    batches = recorded.lane(ProtocolName.OPENAI)
    remote = await batches.look(KEY, OPENAI.id)
    assert remote.endpoint is Endpoint.RESPONSES
    (found,) = [line async for line in batches.results(KEY, remote)]
    assert isinstance(found.end, Answer)
    assert (found.end.text, found.end.request_id) == ("hello", "req-1")


def test_mistrals_lines_have_no_model_of_their_own() -> None:
    line = Recorded({}).lane(ProtocolName.MISTRAL).line(f"{TAG}-0", "m", HI)
    assert set(msgspec.json.decode(line)["body"]) == {"messages", "max_tokens"}


async def test_mistrals_time_is_as_it_is_configured(tmp_path: Path) -> None:
    recorded = Recorded({MISTRAL.create: mistral_batch()})
    batches = recorded.lane(ProtocolName.MISTRAL, expires_after_s=5000)
    await batches.create(KEY, order_of(batches, tmp_path), "file-in")
    assert msgspec.json.decode(recorded.asked[0].content)["timeout_hours"] == 2


@pytest.mark.parametrize(
    ("name", "max_lines", "is_single_model"),
    [
        ("openai", 50_000, True),
        ("anthropic", 100_000, False),
        ("gemini", 100_000, True),
        ("mistral", 100_000, True),
    ],
)
def test_a_shape_is_what_the_provider_documents_unless_it_is_configured(
    name: str, max_lines: int, is_single_model: bool
) -> None:
    recorded = Recorded({})
    shape = recorded.lane(APIS[name].protocol).shape
    assert (shape.max_lines, shape.is_single_model) == (max_lines, is_single_model)
    less = recorded.lane(
        APIS[name].protocol, max_jobs=7, max_bytes=10**12, cancel_s=2.5, expires_after_s=60
    ).shape
    assert (less.max_lines, less.max_bytes) == (7, shape.max_bytes), "more than that is refused"
    assert (less.cancel_s, less.expires_after_s) == (2.5, 60)
