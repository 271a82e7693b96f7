"""Live calls by OpenAI's and Anthropic's own clients, unmodified, against `tidemill up`."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from tests.e2e.judging import nanos
from tests.support.eventually import eventually
from tests.support.live import (
    MODELS,
    PROTOCOLS,
    anthropic_client,
    asked,
    live_batch,
    openai_client,
)
from tests.support.system import LARGE, ROOT, SMALL, System, finished, lines, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

NARROW_RPM = 1200

NARROW = """
[providers.narrow]
protocol = "openai"
base_url = "{url}/v1"
models = []
[[providers.narrow.pools]]
name = "main"
limits = {{ rpm = {rpm} }}
"""
"""A provider whose one pool a batch and live calls share."""

ROUTE = (
    f'\n[routes.chat]\ntargets = ["openai/{SMALL}", "anthropic/{SMALL}"]\nfailover_after_s = 1\n'
)


@pytest.fixture(scope="module")
def live_system(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("live")
    with running_system(
        folder, shared_simulator.url, PROTOCOLS, TIDEMILL_LIVE_WAIT_S="8"
    ) as system:
        with system.config.open("a", encoding="utf-8") as file:
            file.write(ROUTE + NARROW.format(url=shared_simulator.url, rpm=NARROW_RPM))
        system.start_up()
        yield system


@pytest.fixture
def system(live_system: System, simulator: "Simulator") -> System:  # noqa: ARG001 - as good as new
    return live_system


def spent(system: System) -> int:
    return nanos(system.usage()["total"]["cost_usd"])


def test_every_providers_answer_is_a_completion(system: System, simulator: "Simulator") -> None:
    before = spent(system)
    with openai_client(system) as client:
        for model in MODELS:
            raw = client.chat.completions.with_raw_response.create(**asked("a", model))
            completion = raw.parse()
            assert completion.choices[0].message.content.startswith("[job:a] ")
            assert completion.choices[0].finish_reason == "stop"
            assert completion.usage.prompt_tokens > 0
            assert raw.headers["x-tidemill-call"].startswith("call_")
    ledger = simulator.ledger()
    assert ledger["answered"] == len(MODELS)
    assert spent(system) - before == ledger["cost_nanos"]
    assert live_batch(system).reserved_nanos == 0


@pytest.mark.parametrize("model", MODELS)
def test_every_providers_stream_is_one_of_chunks(
    system: System, simulator: "Simulator", model: str
) -> None:
    simulator.faults(latency="constant:200")
    with openai_client(system) as client:
        chunks = list(client.chat.completions.create(**asked("b", model), stream=True))
        assert all(chunk.usage is None for chunk in chunks)
        told = list(
            client.chat.completions.create(
                **asked("b", model), stream=True, stream_options={"include_usage": True}
            )
        )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces).startswith("[job:b] ")
    assert sum(map(bool, pieces)) > 3
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert [chunk.usage.total_tokens for chunk in told if chunk.usage] == [
        simulator.rows()[-1]["input_tokens"] + simulator.rows()[-1]["output_tokens"]
    ]


def test_every_providers_answer_is_a_message(system: System, simulator: "Simulator") -> None:
    before = spent(system)
    with anthropic_client(system) as client:
        for model in MODELS:
            message = client.messages.create(**asked("c", model))
            assert message.content[0].text.startswith("[job:c] ")
            assert message.stop_reason == "end_turn"
            with client.messages.stream(**asked("d", model)) as stream:
                text = "".join(stream.text_stream)
                whole = stream.get_final_message()
            assert text == whole.content[0].text
            assert text.startswith("[job:d] ")
            assert whole.stop_reason == "end_turn"
            row = simulator.rows()[-1]
            assert whole.usage.output_tokens == row["output_tokens"]
    assert spent(system) - before == simulator.ledger()["cost_nanos"]


async def test_the_asynchronous_clients_work_alike(system: System) -> None:
    chat: Any = AsyncOpenAI(base_url=f"{system.url}/v1", api_key=system.key)
    async with chat as client:
        completion = await client.chat.completions.create(**asked("e", "chat"))
        assert completion.choices[0].message.content.startswith("[job:e] ")
        stream = await client.chat.completions.create(**asked("e", "chat"), stream=True)
        texts = [c.choices[0].delta.content or "" async for c in stream if c.choices]
        assert "".join(texts).startswith("[job:e] ")
    messages: Any = AsyncAnthropic(base_url=f"{system.url}/anthropic", api_key=system.key)
    async with messages as client:
        message = await client.messages.create(**asked("f", "chat"))
        assert message.content[0].text.startswith("[job:f] ")
        async with client.messages.stream(**asked("f", "chat")) as stream:
            assert (await stream.get_final_text()).startswith("[job:f] ")


PARAMETERS = {"type": "object", "properties": {"where": {"type": "string"}}, "required": ["where"]}
CHAT_TOOLS = [{"type": "function", "function": {"name": "tide", "parameters": PARAMETERS}}]
TOOLS = [{"name": "tide", "input_schema": PARAMETERS}]
WITH_TOOLS = [model for model in MODELS if not model.startswith("gemini/")]


@pytest.mark.parametrize("model", WITH_TOOLS)
def test_openais_client_has_tools_called_by_every_provider_that_knows_them(
    system: System, model: str
) -> None:
    with openai_client(system) as client:
        question = asked("g", model, tools=CHAT_TOOLS)
        (choice,) = client.chat.completions.create(**question).choices
        assert choice.finish_reason == "tool_calls"
        (call,) = choice.message.tool_calls
        assert call.function.name == "tide"
        assert json.loads(call.function.arguments)["where"].startswith("[job:g]")

        with client.chat.completions.stream(**question) as stream:
            streamed = stream.get_final_completion().choices[0].message.tool_calls
        assert [made.function.arguments for made in streamed] == [call.function.arguments]

        brought = {"role": "tool", "tool_call_id": call.id, "content": "at six"}
        question["messages"] += [choice.message.model_dump(exclude_none=True), brought]
        (choice,) = client.chat.completions.create(**question).choices
    assert choice.message.content.startswith("[job:g] ")


@pytest.mark.parametrize("model", WITH_TOOLS)
def test_anthropics_client_has_tools_called_by_every_provider_that_knows_them(
    system: System, model: str
) -> None:
    with anthropic_client(system) as client:
        question = asked("g", model, tools=TOOLS, tool_choice={"type": "auto"})
        message = client.messages.create(**question)
        assert message.stop_reason == "tool_use"
        (call,) = message.content
        assert (call.type, call.name) == ("tool_use", "tide")
        assert call.input["where"].startswith("[job:g]")

        with client.messages.stream(**question) as stream:
            (streamed,) = stream.get_final_message().content
        assert streamed.input == call.input

        brought = {"type": "tool_result", "tool_use_id": call.id, "content": "at six"}
        question["messages"] += [
            {"role": "assistant", "content": [block.model_dump() for block in message.content]},
            {"role": "user", "content": [brought]},
        ]
        message = client.messages.create(**question)
    assert message.content[0].text.startswith("[job:g] ")


def test_tools_are_refused_for_a_provider_whose_words_for_them_are_not_known(
    system: System,
) -> None:
    with openai_client(system) as client, pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**asked("g", MODELS[2], tools=CHAT_TOOLS))
    assert refused.value.param == "tools"


def test_what_is_wrong_is_said_by_the_clients_own_exceptions(
    system: System, simulator: "Simulator"
) -> None:
    with openai_client(system) as client, anthropic_client(system) as other:
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**asked("h", "nobody-serves-this"))
        with pytest.raises(anthropic.NotFoundError):
            other.messages.create(**asked("h", "nobody-serves-this"))
        with pytest.raises(openai.BadRequestError) as bad:
            client.chat.completions.create(model=SMALL, messages=[])
        assert bad.value.param == "messages"
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="tm_wrong").chat.completions.create(**asked("h"))
        simulator.faults({"kind": "400"})
        for is_streamed in (False, True):
            with pytest.raises(openai.BadRequestError) as rejected:
                client.chat.completions.create(**asked("h"), stream=is_streamed)
            assert rejected.value.code == "request_rejected"
        with pytest.raises(anthropic.BadRequestError):
            other.messages.create(**asked("h"))


def test_a_route_turns_to_its_next_provider(system: System, simulator: "Simulator") -> None:
    simulator.faults({"kind": "429", "protocol": "openai"})
    with openai_client(system) as client:
        completion = client.chat.completions.create(**asked("i", "chat"))
        chunks = list(client.chat.completions.create(**asked("i", "chat"), stream=True))
    assert completion.choices[0].message.content.startswith("[job:i] ")
    assert chunks[-1].choices[0].finish_reason == "stop"
    answered = [row["protocol"] for row in simulator.rows() if row["answered"]]
    assert answered == ["anthropic", "anthropic"]


def test_a_stream_that_breaks_off_ends_with_an_error_and_is_asked_of_nobody_else(
    system: System, simulator: "Simulator"
) -> None:
    simulator.faults({"kind": "cut", "protocol": "mistral"}, latency="constant:200")
    before = live_batch(system).unknown_attempts
    with openai_client(system) as client, pytest.raises(openai.APIError) as broken:
        list(client.chat.completions.create(**asked("j", MODELS[3]), stream=True))
    assert broken.value.code == "connection_lost"
    with anthropic_client(system) as other, pytest.raises(anthropic.APIStatusError):
        list(other.messages.create(**asked("j", MODELS[3]), stream=True))
    assert simulator.ledger()["requests"] == 2
    assert live_batch(system).unknown_attempts == before + 2


def test_a_client_that_goes_away_cuts_its_call_off_and_pays_the_worst_case(
    system: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:5000")
    before, charged = live_batch(system), spent(system)
    with openai_client(system) as client:
        stream = client.chat.completions.create(**asked("k"), stream=True)
        next(iter(stream))
        stream.close()

    def is_settled() -> bool:
        return live_batch(system).unknown_attempts > before.unknown_attempts

    eventually(is_settled, what="the call is settled")
    eventually(lambda: simulator.ledger()["in_flight"] == 0, 2.0, "the provider was hung up on")
    assert spent(system) - charged >= simulator.ledger()["unanswered_cost_nanos"] > 0
    assert live_batch(system).reserved_nanos == 0


def test_fifty_calls_at_once_spend_no_more_than_there_is(
    system: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="uniform:20,60")
    today = system.http.get("/api/budget").json()
    room_nanos = 150_000  # each may cost some 20,000
    set_cap(system, nanos(today["day"]["spent_usd"]) + room_nanos)
    try:
        with openai_client(system) as client, anthropic_client(system) as other:
            ends = fifty_calls(client)
            with pytest.raises(openai.RateLimitError) as poor:
                client.chat.completions.create(**asked("l", LARGE, max_tokens=4000))
            assert poor.value.code == "insufficient_quota"
            with pytest.raises(anthropic.APIStatusError) as poor_too:
                other.messages.create(**asked("l", LARGE, max_tokens=4000))
            assert poor_too.value.status_code == 402
    finally:
        set_cap(system, None)
    # Who had to wait for the others until the end was told that.
    assert {None, "insufficient_quota"} <= set(ends)
    assert set(ends) <= {None, "insufficient_quota", "rate_limit_exceeded"}
    assert simulator.ledger()["cost_nanos"] <= room_nanos
    assert live_batch(system).reserved_nanos == 0


def set_cap(system: System, cap_nanos: int | None) -> None:
    usd = None if cap_nanos is None else f"{cap_nanos / 1e9:.9f}"
    system.http.patch("/api/budget", json={"daily_usd": usd}).raise_for_status()


def fifty_calls(client: Any) -> list[Any]:
    def one(number: int) -> str | None:
        try:
            # Of a provider whose pace no other test has slowed down.
            client.chat.completions.create(**asked(f"m{number}", MODELS[2]))
        except openai.RateLimitError as error:
            return error.code
        return None

    with ThreadPoolExecutor(50) as pool:
        return list(pool.map(one, range(50)))


def test_live_calls_and_a_batch_at_once_cost_what_the_provider_says(
    system: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="uniform:20,60")
    before = spent(system)
    batch_id = system.submit(lines(500))
    with openai_client(system) as client:
        for number in range(20):
            client.chat.completions.create(**asked(f"n{number}", MODELS[number % 4]))
    system.wait(batch_id)
    ledger = simulator.ledger()
    assert (ledger["answered"], ledger["by_status"]) == (520, {"200": 520})
    assert spent(system) - before == ledger["cost_nanos"]
    live_batch(system)


def test_live_calls_pass_a_batch_that_fills_a_pool_and_neither_sees_a_429(
    system: System, simulator: "Simulator"
) -> None:
    limit = {"protocol": "openai", "model": LARGE, "rpm": NARROW_RPM}
    simulator.faults(limits=[limit], latency="constant:100")
    batch_id = system.submit(lines(2000, f"narrow/{LARGE}"))
    system.wait_finished(batch_id, 40)
    took_s: list[float] = []
    before, began_at = finished(system.batch(batch_id)), monotonic()
    with openai_client(system) as client:
        for number in range(15):
            asked_at = monotonic()
            client.chat.completions.create(**asked(f"o{number}", f"narrow/{LARGE}"))
            took_s.append(monotonic() - asked_at)
    bulk_per_s = (finished(system.batch(batch_id)) - before) / (monotonic() - began_at)
    system.act(batch_id, "cancel")
    system.wait(batch_id)
    assert set(simulator.ledger()["by_status"]) == {"200"}
    # A job that stood at the end of the line would wait for a minute and a half.
    assert median(took_s) < 2.0
    assert bulk_per_s > NARROW_RPM / 60 / 2


def test_live_calls_can_not_be_steered_and_their_texts_are_not_kept(system: System) -> None:
    with openai_client(system) as client:
        client.chat.completions.create(**asked("secret"))
    ref = live_batch(system).ref
    for verb in ("pause", "cancel", "retry"):
        assert system.http.post(f"/api/batches/{ref}/{verb}").status_code == 409
    last = system.results(ref)[-1]
    assert (last["status"], last["output"]) == ("succeeded", None)
    assert last["custom_id"].startswith("call_")
    home = b"".join(path.read_bytes() for path in system.home.glob("tidemill.db*"))
    assert b"[job:secret]" not in home


def test_a_body_that_is_no_call_is_refused(system: System) -> None:
    def status(content: bytes, **headers: str) -> int:
        reply = system.http.post("/v1/chat/completions", content=content, headers=headers)
        assert reply.json()["error"]["message"]
        return reply.status_code

    plain = {"content-type": "application/json"}
    assert status(b"{}", **{"content-type": "text/plain"}) == 415
    assert status(b"[]", **plain) == 400
    assert status(b'{"model": 1', **plain) == 400
    assert status(b'{"model":"a","model":"b"}', **plain) == 400
    assert status(b'{"stream": "yes"}', **plain) == 400
    assert httpx.post(f"{system.url}/v1/chat/completions", json={}).status_code == 401


def test_the_page_about_live_calls_runs_as_it_stands(
    system: System, simulator: "Simulator"
) -> None:
    text = (ROOT / "docs/live.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    assert "http://127.0.0.1:8080/v1" in code
    for shown, here in (
        ("http://127.0.0.1:8080", system.url),
        ("YOUR_TIDEMILL_KEY", system.key),
        ("MODEL", SMALL),
    ):
        code = code.replace(shown, here)
    printed: list[Any] = []
    exec(compile(code, "docs/live.md", "exec"), {"print": lambda *a: printed.extend(a)})  # noqa: S102
    assert len(printed) > 10
    assert simulator.ledger()["answered"] == 4
