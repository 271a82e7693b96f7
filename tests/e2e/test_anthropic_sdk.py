"""Anthropic's own client, unmodified, against `tidemill up`: only its base URL is another one."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from openai import OpenAI

from tests.e2e.judging import books_agree
from tests.support.eventually import eventually, eventually_async
from tests.support.system import PATHS, ROOT, SMALL, System, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

WITHIN_S = 60.0

ROUTES = f"""
[routes.either]
targets = ["openai/{SMALL}", "anthropic/{SMALL}"]
[routes.claude-sonnet-5]
targets = ["anthropic/{SMALL}"]
"""


@pytest.fixture(scope="module")
def system(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """One machine with a provider of each protocol."""
    folder = tmp_path_factory.mktemp("four")
    with running_system(folder, shared_simulator.url, tuple(PATHS)) as system:
        with system.config.open("a", encoding="utf-8") as configuration:
            configuration.write(ROUTES)
        system.start_up()
        yield system


@pytest.fixture
def client(system: System) -> Iterator[Anthropic]:
    with Anthropic(base_url=f"{system.url}/anthropic", api_key=system.key) as client:
        yield client


def request(number: int, model: str = f"anthropic/{SMALL}", **params: Any) -> Any:
    content = f"[job:request-{number}] Say {number}."
    return {
        "custom_id": f"request-{number}",
        "params": {
            "model": model,
            "max_tokens": 200,
            "messages": [{"role": "user", "content": content}],
            **params,
        },
    }


def ended(client: Anthropic, batch_id: str) -> Any:
    seen: list[Any] = []

    def has_ended() -> bool:
        seen[:] = [client.messages.batches.retrieve(batch_id)]
        return bool(seen[0].processing_status == "ended")

    eventually(has_ended, WITHIN_S, f"{batch_id} has ended")
    return seen[0]


def native(system: System, batch_id: str) -> dict[str, Any]:
    """The batch as `/api` shows it."""
    reply = system.http.get("/api/batches", params={"limit": 1000}).raise_for_status()
    (found,) = (batch for batch in reply.json()["data"] if batch["name"] == batch_id)
    whole: dict[str, Any] = found
    return whole


def test_messages_come_back_from_every_provider_with_usage_and_right_books(
    client: Anthropic, system: System, simulator: "Simulator"
) -> None:
    models = [f"{name}/{SMALL}" for name in PATHS] + ["either"]
    batch = client.messages.batches.create(
        requests=[request(number, model) for number, model in enumerate(models * 4)]
    )
    assert batch.id.startswith("msgbatch_")
    assert batch.processing_status == "in_progress"
    assert (batch.request_counts.processing, batch.request_counts.succeeded) == (20, 0)
    assert (batch.ended_at, batch.results_url, batch.cancel_initiated_at) == (None, None, None)
    assert batch.expires_at > batch.created_at

    batch = ended(client, batch.id)
    assert (batch.request_counts.processing, batch.request_counts.succeeded) == (0, 20)
    assert batch.ended_at is not None
    assert batch.ended_at >= batch.created_at
    lines = list(client.messages.batches.results(batch.id))
    assert {line.custom_id for line in lines} == {f"request-{number}" for number in range(20)}
    for line in lines:
        assert line.result.type == "succeeded"
        message = line.result.message
        assert (message.type, message.role, message.stop_reason) == (
            "message",
            "assistant",
            "end_turn",
        )
        assert message.id.startswith("msg_")
        assert message.content[0].type == "text"
        assert message.content[0].text
        assert message.usage.input_tokens > 0
        assert message.usage.output_tokens > 0
        assert message.usage.cache_read_input_tokens == 0
    shown = native(system, batch.id)
    used = [line.result.message.usage for line in lines if line.result.type == "succeeded"]
    assert shown["usage"]["input_tokens"] == sum(usage.input_tokens for usage in used)
    assert shown["usage"]["output_tokens"] == sum(usage.output_tokens for usage in used)
    assert float(shown["cost_usd"]) > 0
    books_agree(system, shown, simulator)


def test_tools_are_called_in_a_batch_by_every_provider_that_knows_them(
    client: Anthropic, system: System, simulator: "Simulator"
) -> None:
    schema = {"type": "object", "properties": {"where": {"type": "string"}}, "required": ["where"]}
    tools = [{"name": "tide", "input_schema": schema}]
    models = [f"{name}/{SMALL}" for name in PATHS if name != "gemini"]
    batch = client.messages.batches.create(
        requests=[request(number, model, tools=tools) for number, model in enumerate(models)]
    )
    ended(client, batch.id)
    lines = list(client.messages.batches.results(batch.id))
    assert len(lines) == len(models)
    for line in lines:
        assert line.result.type == "succeeded"
        (call,) = line.result.message.content
        assert line.result.message.stop_reason == "tool_use"
        assert call.type == "tool_use"
        assert str(call.input["where"]).startswith(f"[job:{line.custom_id}]")
    books_agree(system, native(system, batch.id), simulator)


def test_a_claude_models_usage_is_in_openais_arithmetic_on_openais_surface(system: System) -> None:
    with OpenAI(base_url=f"{system.url}/v1", api_key=system.key) as client:
        line = (
            '{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":'
            f'"anthropic/{SMALL}","messages":[{{"role":"user","content":"Say a."}}]}}}}'
        )
        file = client.files.create(file=("in.jsonl", line.encode()), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        eventually(
            lambda: client.batches.retrieve(batch.id).status == "completed",
            WITHIN_S,
            "it is completed",
        )
        usage = client.batches.retrieve(batch.id).usage
    assert usage is not None
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens > 0


def test_the_page_about_this_surface_runs_as_it_stands(system: System) -> None:
    text = (ROOT / "docs/anthropic.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    assert "http://127.0.0.1:8080/anthropic" in code
    code = code.replace("http://127.0.0.1:8080", system.url)
    code = code.replace("YOUR_TIDEMILL_KEY", system.key)
    shown: list[tuple[Any, ...]] = []
    exec(  # noqa: S102
        compile(code, "docs/anthropic.md", "exec"), {"print": lambda *what: shown.append(what)}
    )
    assert shown[0] == (1,)
    assert shown[1][0] == "my-first-request"
    assert len(shown[1][1]) > 5


def test_lists_are_paged_by_the_client_itself_in_both_directions(client: Anthropic) -> None:
    made = [client.messages.batches.create(requests=[request(number)]).id for number in range(5)]
    listed = [batch.id for batch in client.messages.batches.list(limit=2)]
    assert listed[:5] == made[::-1]
    assert len(listed) == len(set(listed))
    newer = [batch.id for batch in client.messages.batches.list(limit=2, before_id=made[0])]
    assert set(newer) == set(made[1:])
    models = [model.id for model in client.models.list(limit=3)]
    assert "either" in models
    assert len(models) == len(set(models)) >= 5
    assert client.models.retrieve(f"mistral/{SMALL}").type == "model"
    for batch_id in made:
        ended(client, batch_id)


def test_what_fails_is_an_error_of_its_request(client: Anthropic, simulator: "Simulator") -> None:
    simulator.faults({"kind": "400"})
    try:
        batch = ended(client, client.messages.batches.create(requests=[request(1)]).id)
    finally:
        simulator.reset()
    assert (batch.request_counts.errored, batch.request_counts.succeeded) == (1, 0)
    (line,) = client.messages.batches.results(batch.id)
    assert line.result.type == "errored"
    assert line.result.error.type == "error"
    assert line.result.error.error.type == "invalid_request_error"
    assert line.result.error.error.message


def test_a_batch_is_cancelled_while_it_runs_and_deleted_when_it_has_ended(
    client: Anthropic, system: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:500")
    try:
        batch = client.messages.batches.create(requests=[request(number) for number in range(5000)])
        eventually(
            lambda: native(system, batch.id)["counts"]["succeeded"] > 0, WITHIN_S, "some answered"
        )
        with pytest.raises(anthropic.AnthropicError):
            client.messages.batches.results(batch.id)
        with pytest.raises(anthropic.BadRequestError):
            client.messages.batches.delete(batch.id)
        canceled = client.messages.batches.cancel(batch.id)
        assert canceled.processing_status in {"canceling", "ended"}
        assert canceled.cancel_initiated_at is not None
        batch = ended(client, batch.id)
    finally:
        simulator.reset()
    counts = batch.request_counts
    assert counts.succeeded > 0
    assert counts.canceled > 0
    assert counts.succeeded + counts.canceled == 5000
    kinds = [line.result.type for line in client.messages.batches.results(batch.id)]
    assert kinds.count("succeeded") == counts.succeeded
    assert kinds.count("canceled") == counts.canceled
    deleted = client.messages.batches.delete(batch.id)
    assert (deleted.id, deleted.type) == (batch.id, "message_batch_deleted")
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)
    assert native(system, batch.id)["state"] == "cancelled"


def test_errors_are_the_clients_own_exceptions(client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.batches.retrieve("msgbatch_none")
    assert missing.value.request_id
    assert missing.value.type == "not_found_error"
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="tm_wrong").messages.batches.list()
    bad = [request(number) for number in range(4)]
    del bad[3]["params"]["max_tokens"]
    with pytest.raises(anthropic.BadRequestError) as refused:
        client.messages.batches.create(requests=bad)
    assert "requests.3.params.max_tokens: expected this field" in refused.value.message
    assert refused.value.type == "invalid_request_error"
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.create(requests=[])
    with pytest.raises(anthropic.BadRequestError, match="tools"):
        client.messages.batches.create(
            requests=[request(1, f"gemini/{SMALL}", tools=[{"name": "f", "input_schema": {}}])]
        )


async def test_the_asynchronous_client_works_alike(system: System) -> None:
    async with AsyncAnthropic(base_url=f"{system.url}/anthropic", api_key=system.key) as client:
        batches = client.messages.batches
        batch = await batches.create(
            requests=[request(1)],
            extra_query={"max_cost_usd": "1.00"},
            extra_headers={"Idempotency-Key": "night-1"},
        )
        again = await batches.create(
            requests=[request(1)],
            extra_query={"max_cost_usd": "1.00"},
            extra_headers={"Idempotency-Key": "night-1"},
        )
        assert again.id == batch.id

        async def has_ended() -> bool:
            return (await batches.retrieve(batch.id)).processing_status == "ended"

        await eventually_async(has_ended, WITHIN_S, "it has ended")
        lines = [line async for line in await batches.results(batch.id)]
        assert [line.custom_id for line in lines] == ["request-1"]
        assert batch.id in [found.id async for found in batches.list(limit=1)]
        assert (await batches.delete(batch.id)).id == batch.id
        with pytest.raises(anthropic.BadRequestError):
            await batches.cancel((await batches.list()).data[0].id)
