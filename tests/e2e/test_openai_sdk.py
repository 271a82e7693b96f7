"""OpenAI's own client, unmodified, against `tidemill up`: only its base URL is another one.

The same holds for its older majors, with which this file runs as it is (1.109 and 2.54 were tried):
`pip install --target OLD openai==1.109.1`, then `PYTHONPATH=OLD` before pytest.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response

from tests.e2e.judging import books_agree
from tests.support.eventually import eventually, eventually_async
from tests.support.system import PATHS, ROOT, SMALL, System, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def one_machine(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """The shared system, with a provider of each protocol."""
    folder = tmp_path_factory.mktemp("four")
    with running_system(folder, shared_simulator.url, tuple(PATHS)) as system:
        system.start_up()
        yield system


@pytest.fixture
def client(one_machine: System) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{one_machine.url}/v1", api_key=one_machine.key) as client:
        yield client


def request_line(number: int, **fields: Any) -> str:
    body = {"model": SMALL, "messages": [{"role": "user", "content": f"Say {number}."}], **fields}
    line = {
        "custom_id": f"request-{number}",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": body,
    }
    return json.dumps(line)


def jsonl(*lines: str) -> bytes:
    return "\n".join(lines).encode()


def ended(client: OpenAI, batch_id: str) -> Any:
    seen: list[Any] = []

    def has_ended() -> bool:
        seen[:] = [client.batches.retrieve(batch_id)]
        return seen[0].status in {"completed", "failed", "cancelled", "expired"}

    eventually(has_ended, WITHIN_S, f"{batch_id} has ended")
    return seen[0]


def answered_of(client: OpenAI, batch_id: str) -> int:
    counts = client.batches.retrieve(batch_id).request_counts
    return 0 if counts is None else counts.completed


def batch_of(
    client: OpenAI, content: bytes, endpoint: Any = "/v1/chat/completions", **more: Any
) -> Any:
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more
    )


def usage_of(batch: Any) -> Any:
    """The batch's usage, for which the oldest client has no type yet."""
    return batch.model_dump()["usage"]


def response_line(number: int, provider: str, **fields: Any) -> str:
    said = f"[job:{provider}-{number}] Say {number}."
    body = {"model": f"{provider}/{SMALL}", "instructions": "Be brief.", "input": said, **fields}
    line = {"custom_id": f"{provider}-{number}", "method": "POST", "url": "/v1/responses"}
    return json.dumps({**line, "body": body})


def native(system: System, batch_id: str) -> Any:
    """The batch as `/api` shows it, which has it by this name."""
    listed = system.http.get("/api/batches").json()["data"]
    (ref,) = [batch["id"] for batch in listed if batch["name"] == batch_id]
    return system.batch(ref)


def test_the_published_example_of_a_batch(client: OpenAI) -> None:
    file = client.files.create(
        file=("batchinput.jsonl", jsonl(*map(request_line, range(20)))), purpose="batch"
    )
    assert (file.object, file.purpose, file.filename) == ("file", "batch", "batchinput.jsonl")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"description": "nightly eval job"},
    )
    assert batch.status in {"validating", "in_progress"}
    batch = ended(client, batch.id)
    assert batch.status == "completed"
    assert batch.request_counts.total == batch.request_counts.completed == 20
    assert batch.metadata == {"description": "nightly eval job"}
    usage = usage_of(batch)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    assert batch.created_at <= batch.in_progress_at <= batch.completed_at
    assert batch.error_file_id is None
    lines = [json.loads(line) for line in client.files.content(batch.output_file_id).iter_lines()]
    assert {line["custom_id"] for line in lines} == {f"request-{number}" for number in range(20)}
    for line in lines:
        assert line["error"] is None
        assert line["response"]["status_code"] == 200
        assert line["response"]["body"]["object"] == "chat.completion"
        assert line["response"]["body"]["choices"][0]["message"]["content"]
        assert line["response"]["body"]["usage"]["total_tokens"] > 0


def test_responses_come_from_every_protocol_with_the_usage_of_that_endpoint(
    client: OpenAI, one_machine: System, simulator: "Simulator"
) -> None:
    lines = [response_line(number, provider) for number in range(25) for provider in PATHS]
    batch = batch_of(client, jsonl(*lines), "/v1/responses")
    assert batch.endpoint == "/v1/responses"
    batch = ended(client, batch.id)
    assert (batch.status, batch.request_counts.completed) == ("completed", len(lines))
    taken = given = 0
    for line in client.files.content(batch.output_file_id).iter_lines():
        result = json.loads(line)
        response = Response.model_validate(result["response"]["body"])
        assert (response.object, response.status) == ("response", "completed")
        assert response.output_text.startswith(f"[job:{result['custom_id']}] ")
        assert response.usage is not None
        total = response.usage.input_tokens + response.usage.output_tokens
        assert response.usage.total_tokens == total
        taken += response.usage.input_tokens
        given += response.usage.output_tokens
    usage = usage_of(batch)
    assert (usage["input_tokens"], usage["output_tokens"]) == (taken, given)
    books_agree(one_machine, native(one_machine, batch.id), simulator)


def test_tools_are_called_in_a_batch_by_every_provider_that_knows_them(
    client: OpenAI, one_machine: System, simulator: "Simulator"
) -> None:
    schema = {"type": "object", "properties": {"where": {"type": "string"}}, "required": ["where"]}
    tools = [{"type": "function", "function": {"name": "tide", "parameters": schema}}]
    models = [f"{name}/{SMALL}" for name in PATHS if name != "gemini"]
    says = [[{"role": "user", "content": f"[job:request-{number}] When?"}] for number in range(3)]
    lines = [
        request_line(number, model=model, tools=tools, messages=says[number])
        for number, model in enumerate(models)
    ]
    batch = ended(client, batch_of(client, jsonl(*lines)).id)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (len(models), 0)
    for text in client.files.content(batch.output_file_id).text.splitlines():
        (choice,) = json.loads(text)["response"]["body"]["choices"]
        assert choice["finish_reason"] == "tool_calls"
        (call,) = choice["message"]["tool_calls"]
        assert call["function"]["name"] == "tide"
        assert json.loads(call["function"]["arguments"])["where"]
    books_agree(one_machine, native(one_machine, batch.id), simulator)


def test_what_cant_be_said_to_a_provider_or_be_held_in_a_budget_is_told_by_line(
    client: OpenAI,
) -> None:
    odd = {"tools": [{"type": "web_search"}]}
    lines = [response_line(1, "openai"), response_line(2, "anthropic", **odd)]
    refused = ended(client, batch_of(client, jsonl(*lines), "/v1/responses").id)
    assert refused.status == "failed"
    (fault,) = refused.errors.data
    assert (fault.line, fault.code, fault.param) == (2, "unsupported_parameter", "body.tools")
    assert "anthropic" in fault.message
    lines = [response_line(1, "openai"), response_line(2, "openai", **odd)]
    capped = {"max_cost_usd": "5"}
    refused = ended(client, batch_of(client, jsonl(*lines), "/v1/responses", extra_body=capped).id)
    (fault,) = refused.errors.data
    assert (fault.line, fault.code, fault.param) == (2, "unbounded_cost", "body.tools[0]")
    strayed = batch_of(client, jsonl(request_line(1)), "/v1/responses")
    (fault,) = ended(client, strayed.id).errors.data
    assert (fault.line, fault.code) == (1, "url_mismatch")


def test_counts_and_statuses_go_forward_while_a_batch_runs(
    client: OpenAI, simulator: "Simulator"
) -> None:
    order = ["validating", "in_progress", "finalizing", "completed"]
    simulator.faults(latency="constant:300")
    seen: list[Any] = []
    try:
        batch = batch_of(client, jsonl(*map(request_line, range(3000))))

        def has_ended() -> bool:
            seen.append(client.batches.retrieve(batch.id))
            return bool(seen[-1].status == "completed")

        eventually(has_ended, WITHIN_S, "it is completed")
    finally:
        simulator.reset()
    places = [order.index(batch.status) for batch in seen]
    assert places == sorted(places)
    done = [batch.request_counts.completed for batch in seen]
    assert done == sorted(done)
    assert any(0 < count < 3000 for count in done)
    taken = [usage_of(batch)["total_tokens"] for batch in seen if batch.status != "validating"]
    assert taken == sorted(taken)
    last = seen[-1]
    assert last.in_progress_at <= last.finalizing_at <= last.completed_at
    assert (last.failed_at, last.cancelled_at, last.expired_at) == (None, None, None)


def test_metadata_and_lifetimes_have_openais_limits(client: OpenAI) -> None:
    lifetime: Any = {"anchor": "created_at", "seconds": 7200}
    file = client.files.create(
        file=("in.jsonl", jsonl(request_line(1))), purpose="batch", expires_after=lifetime
    )
    assert file.expires_at == file.created_at + 7200
    make = partial(
        client.batches.create,
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
    )
    most = {f"{number:064}": "v" * 512 for number in range(16)}
    batch = make(metadata=most, output_expires_after=lifetime)
    assert batch.metadata == most
    batch = ended(client, batch.id)
    output = client.files.retrieve(batch.output_file_id)
    assert (output.purpose, output.expires_at) == ("batch_output", output.created_at + 7200)
    for metadata in (most | {"one more": ""}, {"k" * 65: "v"}, {"k": "v" * 513}):
        with pytest.raises(openai.BadRequestError) as refused:
            make(metadata=metadata)
        assert str(refused.value.param).startswith("metadata")
    for seconds in (3599, 2_592_001):
        with pytest.raises(openai.BadRequestError):
            make(output_expires_after={"anchor": "created_at", "seconds": seconds})


def test_the_page_about_this_surface_runs_as_it_stands(
    one_machine: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs/openai.md").read_text(encoding="utf-8")
    (tmp_path / "batchinput.jsonl").write_bytes(jsonl(*map(request_line, range(3))))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = "\n".join(blocks)
    assert "http://127.0.0.1:8080/v1" in code
    code = code.replace("http://127.0.0.1:8080", one_machine.url)
    code = code.replace("YOUR_TIDEMILL_KEY", one_machine.key)
    shown: list[str] = []
    exec(compile(code, "docs/openai.md", "exec"), {"print": shown.append})  # noqa: S102
    assert "completed" in shown


def test_lists_are_paged_by_the_client_itself(client: OpenAI) -> None:
    ids = {batch_of(client, jsonl(request_line(number))).id for number in range(5)}
    listed = [batch.id for batch in client.batches.list(limit=2)]
    assert ids <= set(listed)
    assert len(listed) == len(set(listed))
    files = [file.id for file in client.files.list(limit=2, order="asc")]
    assert len(files) == len(set(files)) >= 5
    models = {model.id for model in client.models.list()}
    assert client.models.retrieve(f"openai/{SMALL}").owned_by == "openai"
    assert isinstance(models, set)


def test_what_fails_stands_in_the_error_file(client: OpenAI, simulator: "Simulator") -> None:
    simulator.faults({"kind": "400"})
    try:
        batch = ended(client, batch_of(client, jsonl(*map(request_line, range(3)))).id)
    finally:
        simulator.reset()
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (0, 3)
    for line in client.files.content(batch.error_file_id).text.splitlines():
        response = json.loads(line)["response"]
        assert response["status_code"] == 400
        assert response["body"]["error"]["type"] == "invalid_request_error"


def test_a_batch_is_cancelled_while_it_runs(client: OpenAI, simulator: "Simulator") -> None:
    simulator.faults(latency="constant:500")
    try:
        batch = batch_of(client, jsonl(*map(request_line, range(5000))))
        eventually(
            lambda: answered_of(client, batch.id) > 0,
            WITHIN_S,
            "some are answered",
        )
        assert client.batches.cancel(batch.id).status in {"cancelling", "cancelled"}
        batch = ended(client, batch.id)
    finally:
        simulator.reset()
    assert batch.status == "cancelled"
    assert batch.cancelling_at <= batch.cancelled_at
    answered = client.files.content(batch.output_file_id).text.splitlines()
    rest = client.files.content(batch.error_file_id).text.splitlines()
    assert len(answered) == batch.request_counts.completed > 0
    assert len(answered) + len(rest) == batch.request_counts.total == 5000
    assert {json.loads(line)["error"]["code"] for line in rest} == {"batch_cancelled"}


def test_errors_are_the_clients_own_exceptions(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.files.retrieve("file-none")
    assert missing.value.code == "not_found"
    assert missing.value.request_id
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_none")
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(
            input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h"
        )
    assert (refused.value.param, refused.value.type) == ("input_file_id", "invalid_request_error")
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=b"{}", purpose="assistants")
    wrong = client.with_options(api_key="tm_wrong")
    with pytest.raises(openai.AuthenticationError) as unknown:
        wrong.files.list()
    assert unknown.value.code == "invalid_api_key"
    batch = ended(client, batch_of(client, jsonl(request_line(1), "{}", request_line(1))).id)
    assert batch.status == "failed"
    assert [fault.line for fault in batch.errors.data] == [2, 3]
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(batch.id)


async def test_the_asynchronous_client_works_alike(one_machine: System) -> None:
    async with AsyncOpenAI(base_url=f"{one_machine.url}/v1/", api_key=one_machine.key) as client:
        file = await client.files.create(file=jsonl(request_line(1)), purpose="batch")
        assert file.filename == "upload"
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )

        async def is_completed() -> bool:
            return (await client.batches.retrieve(batch.id)).status == "completed"

        await eventually_async(is_completed, WITHIN_S, "it is completed")
        batch = await client.batches.retrieve(batch.id)
        assert batch.output_file_id is not None
        content = await client.files.content(batch.output_file_id)
        assert json.loads(content.text)["custom_id"] == "request-1"
        async with client.files.with_streaming_response.content(batch.output_file_id) as streamed:
            lines = [line async for line in streamed.iter_lines()]
        assert [json.loads(line)["custom_id"] for line in lines] == ["request-1"]
        listed = [found.id async for found in client.batches.list(limit=1)]
        assert batch.id in listed
        assert len(listed) == len(set(listed)) > 1
        files = [found.id async for found in client.files.list(limit=1)]
        assert {file.id, batch.output_file_id} <= set(files)
        assert (await client.files.retrieve(file.id)).bytes == len(jsonl(request_line(1)))
        assert (await client.models.retrieve(f"openai/{SMALL}")).owned_by == "openai"
        assert (await client.files.delete(file.id)).deleted
        with pytest.raises(openai.NotFoundError):
            await client.files.content(file.id)
        with pytest.raises(openai.BadRequestError):
            await client.batches.cancel(batch.id)
        with pytest.raises(openai.AuthenticationError):
            await client.with_options(api_key="tm_wrong").batches.list()


async def test_the_asynchronous_client_cancels_a_batch_while_it_runs(
    one_machine: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:500")
    async with AsyncOpenAI(base_url=f"{one_machine.url}/v1", api_key=one_machine.key) as client:
        lines = (response_line(number, "openai") for number in range(5000))
        file = await client.files.create(file=("in.jsonl", jsonl(*lines)), purpose="batch")
        batch = await client.batches.create(
            input_file_id=file.id, endpoint="/v1/responses", completion_window="24h"
        )

        async def some_are_answered() -> bool:
            counts = (await client.batches.retrieve(batch.id)).request_counts
            return counts is not None and counts.completed > 0

        async def is_cancelled() -> bool:
            return (await client.batches.retrieve(batch.id)).status == "cancelled"

        try:
            await eventually_async(some_are_answered, WITHIN_S, "some are answered")
            cancelled = await client.batches.cancel(batch.id)
            assert cancelled.status in {"cancelling", "cancelled"}
            await eventually_async(is_cancelled, WITHIN_S, "it is cancelled")
        finally:
            simulator.reset()
        batch = await client.batches.retrieve(batch.id)
        assert batch.output_file_id is not None
        assert batch.request_counts is not None
        answered = (await client.files.content(batch.output_file_id)).text.splitlines()
        assert 0 < len(answered) == batch.request_counts.completed < 5000
