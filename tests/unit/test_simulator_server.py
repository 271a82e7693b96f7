"""The simulator as its clients see it: over the wire, in its own process."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from scripts.simulator.model import fingerprint

if TYPE_CHECKING:
    from tests.support.simulator import Simulator, StartSimulator

pytest_plugins = ("tests.support.simulator",)

DEADLINE_S = 10.0


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)


def chat(simulator: "Simulator", job_id: str = "a1", **fields: Any) -> httpx.Response:
    body = {
        "model": "sim-small",
        "messages": [{"role": "user", "content": f"[job:{job_id}] hello"}],
        "max_completion_tokens": 100,
    }
    return simulator.client.post("/v1/chat/completions", json=body | fields)


def raw_request(job_id: str = "a1") -> bytes:
    body = orjson.dumps(
        {"model": "sim-small", "messages": [{"role": "user", "content": f"[job:{job_id}]"}]}
    )
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


def connect(simulator: "Simulator") -> socket.socket:
    address = urlsplit(simulator.url)
    return socket.create_connection((address.hostname, address.port or 0), timeout=DEADLINE_S)


CALLS: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "openai": (
        "/v1/chat/completions",
        {"model": "sim-small", "messages": [{"role": "user", "content": "[job:j] hello"}]},
        {},
    ),
    "mistral": (
        "/mistral/v1/chat/completions",
        {"model": "sim-small", "messages": [{"role": "user", "content": "[job:j] hello"}]},
        {},
    ),
    "anthropic": (
        "/anthropic/v1/messages",
        {
            "model": "sim-small",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": "[job:j] hello"}],
        },
        {"anthropic-version": "2023-06-01"},
    ),
    "gemini": (
        "/gemini/v1beta/models/sim-small:generateContent",
        {"contents": [{"role": "user", "parts": [{"text": "[job:j] hello"}]}]},
        {},
    ),
}


def call(simulator: "Simulator", protocol: str) -> httpx.Response:
    path, body, headers = CALLS[protocol]
    return simulator.client.post(path, json=body, headers=headers)


def texts_in(document: Any) -> Iterator[str]:
    """Yield every text in a document."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict | list):
        for value in document.values() if isinstance(document, dict) else document:
            yield from texts_in(value)


@pytest.mark.parametrize("protocol", CALLS)
def test_every_protocol_is_answered_and_entered_in_the_ledger(
    simulator: "Simulator", protocol: str
) -> None:
    reply = call(simulator, protocol)
    assert reply.status_code == 200
    (row,) = simulator.rows()
    assert row.pop("arrived_s") >= 0
    assert row.pop("truth") in {fingerprint(text) for text in texts_in(reply.json())}
    assert row == {
        "job_id": "j",
        "protocol": protocol,
        "model": "sim-small",
        "status": 200,
        "answered": True,
        "input_tokens": 4,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 20,
        "reasoning_tokens": 0,
        "cost_nanos": 4 * 100 + 20 * 400,
        "lie": "",
        "lane": "live",
        "batch": "",
        "line_id": "",
    }


def test_a_reply_tells_the_usage_that_the_ledger_has(simulator: "Simulator") -> None:
    usage = chat(simulator).json()["usage"]
    assert simulator.ledger()["tokens"] == {
        "input": usage["prompt_tokens"],
        "cached": 0,
        "cache_write": 0,
        "output": usage["completion_tokens"],
        "reasoning": 0,
    }


def test_an_id_that_is_answered_twice_is_shown(simulator: "Simulator") -> None:
    for job_id in ("a", "b", "a"):
        chat(simulator, job_id)
    summary = simulator.ledger()
    assert summary["requests"] == summary["answered"] == 3
    assert summary["job_ids_answered"] == 2
    assert summary["answered_more_than_once"] == {"count": 1, "first": ["a"]}


def test_a_model_without_a_price_costs_nothing_and_is_listed(simulator: "Simulator") -> None:
    chat(simulator, model="who-knows")
    summary = simulator.ledger()
    assert summary["cost_nanos"] == 0
    assert summary["unpriced_models"] == ["who-knows"]


def test_the_list_of_models_is_the_list_of_prices(start_simulator: "StartSimulator") -> None:
    simulator = start_simulator("--price", "mine=0.0375/2")
    models = [model["id"] for model in simulator.client.get("/v1/models").json()["data"]]
    assert models == ["sim-small", "sim-large", "mine"]
    chat(simulator, model="mine")
    (row,) = simulator.rows()
    exact_nanos = row["input_tokens"] * 37.5 + row["output_tokens"] * 2000
    assert row["cost_nanos"] == int(exact_nanos + 0.5)


ERROR_STATUSES = [
    ("400", 400, 400, 400, 400),
    ("context", 400, 400, 400, 400),
    ("401", 401, 401, 400, 401),
    ("quota", 429, 402, 402, 402),
    ("spend", 429, 429, 429, 402),
    ("403", 403, 403, 403, 403),
    ("404", 404, 404, 404, 404),
    ("422", 422, 422, 400, 422),
    ("429", 429, 429, 429, 429),
    ("500", 500, 500, 500, 500),
    ("503", 503, 503, 503, 503),
    ("529", 503, 529, 503, 503),
]


@pytest.mark.parametrize(("kind", "openai", "anthropic", "gemini", "mistral"), ERROR_STATUSES)
def test_an_error_has_the_status_that_its_provider_gives_it_and_costs_nothing(
    simulator: "Simulator", kind: str, openai: int, anthropic: int, gemini: int, mistral: int
) -> None:
    simulator.faults({"kind": kind})
    statuses = {protocol: call(simulator, protocol).status_code for protocol in CALLS}
    assert statuses == {
        "openai": openai,
        "anthropic": anthropic,
        "gemini": gemini,
        "mistral": mistral,
    }
    rows = simulator.rows()
    assert [row["status"] for row in rows] == list(statuses.values())
    assert not any(row["answered"] or row["cost_nanos"] for row in rows)


def test_a_fault_ends_after_its_times_and_hits_only_what_it_names(simulator: "Simulator") -> None:
    simulator.faults({"kind": "500", "times": 2, "model": "sim-s*", "protocol": "openai"})
    assert chat(simulator, model="sim-large").status_code == 200
    assert call(simulator, "anthropic").status_code == 200
    assert [chat(simulator).status_code for _ in range(3)] == [500, 500, 200]


def test_a_fault_by_chance_is_the_same_for_the_same_seed(start_simulator: "StartSimulator") -> None:
    def statuses(seed: int) -> list[int]:
        simulator = start_simulator("--seed", str(seed), "--fault", "500:probability=0.5")
        return [chat(simulator).status_code for _ in range(30)]

    first = statuses(7)
    assert set(first) == {200, 500}
    assert statuses(7) == first
    assert statuses(8) != first


def test_a_hang_answers_nothing_and_bills_nothing(simulator: "Simulator") -> None:
    simulator.faults({"kind": "hang", "times": 1})
    with pytest.raises(httpx.ReadTimeout):
        simulator.client.post("/v1/chat/completions", json=CALLS["openai"][1], timeout=0.2)
    eventually(lambda: simulator.ledger()["in_flight"] == 0)
    (row,) = simulator.rows()
    assert (row["status"], row["answered"], row["cost_nanos"]) == (0, False, 0)


@pytest.mark.parametrize(
    ("kind", "error", "status", "is_billed"),
    [
        ("reset", httpx.ReadError, 0, False),
        ("close", httpx.RemoteProtocolError, 0, True),
        ("cut", httpx.RemoteProtocolError, 200, True),
    ],
)
def test_a_broken_connection_is_never_an_answer(
    simulator: "Simulator", kind: str, error: type[Exception], status: int, is_billed: bool
) -> None:
    simulator.faults({"kind": kind})
    with pytest.raises(error):
        chat(simulator)
    eventually(lambda: simulator.ledger()["in_flight"] == 0)
    (row,) = simulator.rows()
    assert (row["status"], row["answered"], row["cost_nanos"] > 0) == (status, False, is_billed)
    assert simulator.ledger()["unanswered_cost_nanos"] == row["cost_nanos"]


def test_what_a_client_does_not_wait_for_is_billed_but_not_answered(simulator: "Simulator") -> None:
    simulator.faults(latency="constant:60000")
    with connect(simulator) as client:
        client.sendall(raw_request())
        eventually(lambda: simulator.ledger()["in_flight"] == 1)
    eventually(lambda: simulator.ledger()["in_flight"] == 0)
    (row,) = simulator.rows()
    assert (row["status"], row["answered"]) == (0, False)
    assert row["cost_nanos"] > 0


def test_a_drip_comes_byte_by_byte_and_is_an_answer_at_its_end(simulator: "Simulator") -> None:
    simulator.faults(
        {"kind": "drip", "delay_s": 60.0, "times": 1}, {"kind": "drip", "delay_s": 0.0}
    )
    with connect(simulator) as client:
        client.sendall(raw_request())
        assert client.recv(65536) == b"H"
    eventually(lambda: simulator.ledger()["in_flight"] == 0)
    assert chat(simulator).json()["choices"][0]["finish_reason"] == "stop"
    rows = simulator.rows()
    assert [row["answered"] for row in rows] == [False, True]
    assert rows[0]["cost_nanos"] > 0


def test_a_web_page_and_broken_json_come_with_a_200_and_are_no_answer(
    simulator: "Simulator",
) -> None:
    simulator.faults({"kind": "html200", "times": 1}, {"kind": "badjson"})
    page, broken = chat(simulator), chat(simulator)
    assert page.status_code == broken.status_code == 200
    assert page.headers["content-type"] == "text/html"
    with pytest.raises(json.JSONDecodeError):
        broken.json()
    assert simulator.ledger()["answered"] == 0


def test_usage_can_be_missing_absurd_or_negative(simulator: "Simulator") -> None:
    kinds = ("usage_missing", "usage_absurd", "usage_negative")
    simulator.faults(*({"kind": kind, "times": 1} for kind in kinds))
    missing, absurd, negative = (chat(simulator).json() for _ in kinds)
    assert "usage" not in missing
    assert absurd["usage"]["prompt_tokens"] == 10**18
    assert negative["usage"]["completion_tokens"] == -1
    assert simulator.ledger()["answered"] == 3


@pytest.mark.parametrize(
    ("protocol", "cost_nanos"),
    [("openai", 400), ("anthropic", 0), ("gemini", 400), ("mistral", 400)],
)
def test_a_refusal_costs_its_input_except_at_anthropic(
    simulator: "Simulator", protocol: str, cost_nanos: int
) -> None:
    simulator.faults({"kind": "refusal"})
    assert call(simulator, protocol).status_code == 200
    (row,) = simulator.rows()
    assert (row["answered"], row["cost_nanos"]) == (True, cost_nanos)


def test_what_is_not_http_ends_the_connection(simulator: "Simulator") -> None:
    with connect(simulator) as client:
        client.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert client.recv(1024) == b""
    assert chat(simulator).status_code == 200


def test_a_slow_answer_comes_later_than_the_latency(simulator: "Simulator") -> None:
    simulator.faults({"kind": "slow", "delay_s": 0.2, "times": 1})
    started_s = time.monotonic()
    chat(simulator)
    assert time.monotonic() - started_s >= 0.19


def test_requests_without_latency_are_admitted_at_exactly_the_limit(
    simulator: "Simulator",
) -> None:
    simulator.faults(limits=[{"rpm": 5, "protocol": "openai"}])
    replies = [chat(simulator) for _ in range(7)]
    assert [reply.status_code for reply in replies] == [200] * 5 + [429] * 2
    assert replies[0].headers["x-ratelimit-limit-requests"] == "5"
    assert replies[4].headers["x-ratelimit-remaining-requests"] == "0"
    refused = replies[5]
    assert 1 <= int(refused.headers["retry-after"]) <= 12
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert "Please try again in" in refused.json()["error"]["message"]
    assert call(simulator, "gemini").status_code == 200


def test_calls_in_flight_are_limited_and_freed_by_their_end(simulator: "Simulator") -> None:
    simulator.faults(limits=[{"concurrency": 1}], latency="constant:60000")
    with connect(simulator) as client:
        client.sendall(raw_request("first"))
        eventually(lambda: simulator.ledger()["in_flight"] == 1)
        assert chat(simulator, "second").json()["error"]["code"] == "slow_down"
    eventually(lambda: simulator.ledger()["in_flight"] == 0)
    simulator.faults(latency="constant:0")
    assert chat(simulator, "third").status_code == 200


def test_pipelined_requests_are_answered_in_their_order(simulator: "Simulator") -> None:
    simulator.faults(latency="uniform:5,100")
    ids = [f"p{number}" for number in range(20)]
    with connect(simulator) as client:
        client.sendall(b"".join(raw_request(job_id) for job_id in ids))
        received = b""
        while received.count(b"HTTP/1.1 200") < len(ids) or not received.endswith(b"}"):
            piece = client.recv(65536)
            assert piece, "the connection was closed early"
            received += piece
    places = [received.index(f"[job:{job_id}]".encode()) for job_id in ids]
    assert places == sorted(places)


def test_a_request_may_come_in_pieces_and_chunks(simulator: "Simulator") -> None:
    body = orjson.dumps(CALLS["openai"][1])
    reply = simulator.client.post("/v1/chat/completions", content=(bytes((byte,)) for byte in body))
    assert reply.status_code == 200
    assert simulator.rows()[0]["job_id"] == "j"


def test_an_answer_larger_than_the_kernel_takes_is_answered_when_it_is_read(
    simulator: "Simulator",
) -> None:
    simulator.faults(output_tokens="8000000")
    with connect(simulator) as client:
        client.sendall(raw_request())
        eventually(lambda: simulator.ledger()["requests"] == 1)
        assert simulator.ledger()["answered"] == 0
        received_bytes = 0
        while received_bytes < 8_000_000 * 4:
            received_bytes += len(client.recv(1 << 20))
        eventually(lambda: simulator.ledger()["answered"] == 1)


def test_what_is_no_json_or_no_request_is_a_documented_400(simulator: "Simulator") -> None:
    broken = simulator.client.post("/v1/chat/completions", content=b"{")
    assert broken.status_code == 400
    assert broken.json()["error"]["type"] == "invalid_request_error"
    assert chat(simulator, messages=[]).status_code == 400
    assert [row["status"] for row in simulator.rows()] == [400, 400]


@pytest.mark.parametrize(
    "change",
    [
        {"latency": "fast"},
        {"faults": [{"kind": "gremlins"}]},
        {"faults": [{"kind": "500", "probability": 2}]},
        {"limits": [{"rpm": 0}]},
        {"output_tokens": "0"},
        {"fault": []},
    ],
)
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(
    simulator: "Simulator", change: dict[str, Any]
) -> None:
    before = simulator.faults({"kind": "refusal"}, latency="constant:1")
    assert simulator.client.post("/_sim/faults", json=change).status_code == 400
    assert simulator.client.post("/_sim/faults", json={}).json() == before


def test_all_rows_come_out_of_a_long_ledger(simulator: "Simulator") -> None:
    with connect(simulator) as client:
        for first in range(0, 1200, 100):
            numbers = range(first, first + 100)
            client.sendall(b"".join(raw_request(str(number)) for number in numbers))
            wanted = first + 100
            while simulator.ledger()["answered"] < wanted:
                client.recv(1 << 20)
    assert [row["job_id"] for row in simulator.rows()] == [str(n) for n in range(1200)]


def test_the_file_has_every_row_even_of_what_was_open_at_the_end(
    start_simulator: "StartSimulator", tmp_path: Path
) -> None:
    path = tmp_path / "ledger.jsonl"
    simulator = start_simulator("--ledger", str(path), "--fsync")
    chat(simulator, "done")
    eventually(lambda: path.read_bytes().endswith(b"\n"))
    assert [orjson.loads(line) for line in path.read_bytes().splitlines()] == simulator.rows()
    simulator.faults({"kind": "hang"})
    with connect(simulator) as client:
        client.sendall(raw_request("open"))
        eventually(lambda: simulator.ledger()["in_flight"] == 1)
        simulator.process.terminate()
        assert simulator.process.wait(DEADLINE_S) == 0
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    assert [(row["job_id"], row["answered"]) for row in rows] == [("done", True), ("open", False)]


def test_cached_and_reasoning_tokens_are_parts_of_the_whole(
    start_simulator: "StartSimulator",
) -> None:
    simulator = start_simulator("--cached-percent", "50", "--reasoning-percent", "25")
    usage = chat(simulator, messages=[{"role": "user", "content": "x" * 8000}]).json()["usage"]
    assert usage["prompt_tokens"] == 2000
    assert usage["prompt_tokens_details"]["cached_tokens"] == 960
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 5
    assert simulator.ledger()["tokens"] == {
        "input": 2000,
        "cached": 960,
        "cache_write": 0,
        "output": 20,
        "reasoning": 5,
    }
    call(simulator, "mistral")
    assert simulator.rows()[1]["reasoning_tokens"] == 0
