"""The batches of Anthropic, Gemini and Mistral at the simulator, each in its own form."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anthropic
import httpx
import orjson
import pytest

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

DEADLINE_S = 10.0
QUICK = {"validates_s": 0, "takes_s": 0, "finalizes_s": 0, "cancels_s": 0}
VERSION = {"anthropic-version": "2023-06-01"}
MESSAGE_BATCHES = "/anthropic/v1/messages/batches"
JOBS = "/mistral/v1/batch/jobs"
OPERATIONS = "/gemini/v1beta/batches"

Json = dict[str, Any]


@pytest.fixture
def quick(simulator: "Simulator") -> "Simulator":
    """Give a simulator whose batches end as soon as they are created."""
    simulator.faults(batches=QUICK)
    return simulator


def until(simulator: "Simulator", path: str, holds: Callable[[Json], bool]) -> Json:
    deadline = time.monotonic() + DEADLINE_S
    while not holds(found := simulator.client.get(path).raise_for_status().json()):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    document: Json = found
    return document


def post(simulator: "Simulator", path: str, body: Json | None = None) -> Json:
    reply = simulator.client.post(path, json=body or {}, headers=VERSION).raise_for_status()
    document: Json = reply.json()
    return document


def params(number: int, **fields: Any) -> Json:
    turn = {"role": "user", "content": f"[job:j{number}] hello"}
    return {"model": "sim-small", "max_tokens": 100, "messages": [turn]} | fields


def message_requests(count: int) -> list[Any]:
    return [{"custom_id": f"r-{number}-1", "params": params(number)} for number in range(count)]


def has_ended(batch: Json) -> bool:
    return bool(batch["processing_status"] == "ended")


def test_anthropics_own_client_runs_a_batch(quick: "Simulator") -> None:
    with anthropic.Anthropic(
        base_url=f"{quick.url}/anthropic", api_key="k", max_retries=0
    ) as client:
        made = client.messages.batches.create(requests=message_requests(3))
        until(quick, f"{MESSAGE_BATCHES}/{made.id}", has_ended)
        batch = client.messages.batches.retrieve(made.id)
        assert batch.request_counts.succeeded == 3
        assert [found.id for found in client.messages.batches.list(limit=1)] == [made.id]
        said = {}
        for line in client.messages.batches.results(made.id):
            assert line.result.type == "succeeded"
            (block,) = line.result.message.content
            assert block.type == "text"
            said[line.custom_id] = block.text
        assert client.messages.batches.delete(made.id).id == made.id
    assert said.keys() == {"r-0-1", "r-1-1", "r-2-1"}
    assert all(said[f"r-{number}-1"].startswith(f"[job:j{number}]") for number in range(3))
    assert {(row["lane"], row["protocol"], row["answered"]) for row in quick.rows()} == {
        ("batch", "anthropic", True)
    }


def test_anthropic_counts_nothing_until_the_end(simulator: "Simulator") -> None:
    simulator.faults(batches=QUICK | {"stall": 0.5, "cancels_s": 60})
    made = post(simulator, MESSAGE_BATCHES, {"requests": message_requests(4)})
    path = f"{MESSAGE_BATCHES}/{made['id']}"
    until(simulator, "/_sim/ledger", lambda ledger: ledger["lanes"]["batch"]["requests"] == 2)
    running = simulator.client.get(path).json()
    assert running["request_counts"]["processing"] == 4
    assert sum(running["request_counts"].values()) == 4
    assert simulator.client.delete(path).status_code == 400
    assert simulator.client.get(f"{path}/results").status_code == 404
    assert post(simulator, f"{path}/cancel")["processing_status"] == "canceling"
    simulator.faults(batches={"cancels_s": 0})
    ended = until(simulator, path, has_ended)
    assert ended["request_counts"] == {
        "processing": 0,
        "succeeded": 2,
        "errored": 0,
        "canceled": 2,
        "expired": 0,
    }
    reply = simulator.client.get(ended["results_url"])
    kinds = [orjson.loads(line)["result"]["type"] for line in reply.content.splitlines()]
    assert sorted(kinds) == ["canceled", "canceled", "succeeded", "succeeded"]


def test_anthropic_looks_at_params_once_it_runs(quick: "Simulator") -> None:
    wrong = [
        {"custom_id": "a", "params": params(1, max_tokens=0)},
        {"custom_id": "b", "params": params(2, stream=True)},
    ]
    made = post(quick, MESSAGE_BATCHES, {"requests": wrong})
    ended = until(quick, f"{MESSAGE_BATCHES}/{made['id']}", has_ended)
    assert ended["request_counts"]["errored"] == 2
    for line in quick.client.get(ended["results_url"]).content.splitlines():
        result = orjson.loads(line)["result"]
        assert result["type"] == "errored"
        assert result["error"]["error"]["type"] == "invalid_request_error"
        assert result["error"]["request_id"]


@pytest.mark.parametrize(
    "requests",
    [[], [{"custom_id": "é", "params": {}}], [{"custom_id": "a", "params": {}}] * 2],
)
def test_anthropic_refuses_names_that_cannot_be(quick: "Simulator", requests: list[Any]) -> None:
    reply = quick.client.post(MESSAGE_BATCHES, json={"requests": requests}, headers=VERSION)
    assert (reply.status_code, reply.json()["type"]) == (400, "error")


def test_anthropics_list_has_pages(quick: "Simulator") -> None:
    ids = [post(quick, MESSAGE_BATCHES, {"requests": message_requests(1)})["id"] for _ in range(3)]
    first = quick.client.get(f"{MESSAGE_BATCHES}?limit=2").json()
    assert (first["last_id"], first["has_more"]) == (ids[1], True)
    rest = quick.client.get(f"{MESSAGE_BATCHES}?after_id={ids[1]}").json()
    assert [batch["id"] for batch in rest["data"]] == [ids[0]]
    before = quick.client.get(f"{MESSAGE_BATCHES}?before_id={ids[1]}").json()
    assert [batch["id"] for batch in before["data"]] == [ids[2]]


def gemini_request(number: int) -> Json:
    return {"contents": [{"role": "user", "parts": [{"text": f"[job:j{number}] hello"}]}]}


def gemini_lines(count: int) -> bytes:
    lines = ({"key": f"r-{n}-1", "request": gemini_request(n)} for n in range(count))
    return b"\n".join(map(orjson.dumps, lines))


def gemini_upload(simulator: "Simulator", data: bytes) -> str:
    start = simulator.client.post(
        "/upload/gemini/v1beta/files",
        json={"file": {"displayName": "t-1", "mimeType": "jsonl"}},
        headers={
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-length": str(len(data)),
            "x-goog-upload-header-content-type": "jsonl",
        },
    ).raise_for_status()
    half, made = len(data) // 2, {}
    for offset, piece, command in (
        (0, data[:half], "upload"),
        (half, data[half:], "upload, finalize"),
    ):
        sent = simulator.client.post(
            start.headers["x-goog-upload-url"],
            content=piece,
            headers={"x-goog-upload-offset": str(offset), "x-goog-upload-command": command},
        ).raise_for_status()
        made = sent.json()
    name: str = made["file"]["name"]
    return name


def gemini_create(simulator: "Simulator", data: bytes) -> str:
    config = {"fileName": gemini_upload(simulator, data)}
    body = {"batch": {"displayName": "t-1", "inputConfig": config}}
    path = "/gemini/v1beta/models/sim-small:batchGenerateContent"
    name: str = post(simulator, path, body)["name"]
    return f"/gemini/v1beta/{name}"


def is_done(operation: Json) -> bool:
    return operation.get("done", False) is True


def output_of(operation: Json) -> Json:
    """Return the output, wherever this operation has it."""
    output: Json = operation.get("response") or operation["metadata"]["output"]
    return output


def test_gemini_runs_a_file(quick: "Simulator") -> None:
    places = set()
    for _ in range(2):
        operation = until(quick, gemini_create(quick, gemini_lines(3)), is_done)
        metadata = operation["metadata"]
        assert metadata["state"] == "BATCH_STATE_SUCCEEDED"
        assert metadata["displayName"] == "t-1"
        assert metadata["batchStats"] == {"requestCount": "3", "successfulRequestCount": "3"}
        places.add("response" in operation)
        name = output_of(operation)["responsesFile"]
        url = f"/download/gemini/v1beta/{name}:download?alt=media"
        lines = quick.client.get(url).raise_for_status().content.splitlines()
        answers = {line["key"]: line["response"] for line in map(orjson.loads, lines)}
        assert answers.keys() == {"r-0-1", "r-1-1", "r-2-1"}
        assert all(answer["usageMetadata"] for answer in answers.values())
    assert places == {True, False}
    assert quick.ledger()["lanes"]["batch"]["answered"] == 6
    assert len(quick.client.get(OPERATIONS).json()["operations"]) == 2


def test_gemini_runs_what_is_in_the_body_in_its_order(quick: "Simulator") -> None:
    quick.faults({"kind": "500", "at": "line", "times": 1})
    requests = [
        {"request": gemini_request(number), "metadata": {"key": f"k{number}"}}
        for number in range(9)
    ]
    body = {"batch": {"displayName": "t", "inputConfig": {"requests": {"requests": requests}}}}
    made = post(quick, "/gemini/v1beta/models/sim-small:batchGenerateContent", body)
    operation = until(quick, f"/gemini/v1beta/{made['name']}", is_done)
    lines = output_of(operation)["inlinedResponses"]["inlinedResponses"]
    assert [line["metadata"]["key"] for line in lines] == [f"k{number}" for number in range(9)]
    assert sum("error" in line for line in lines) == 1
    assert operation["metadata"]["batchStats"]["failedRequestCount"] == "1"
    (listed,) = quick.client.get(OPERATIONS).json()["operations"]
    assert "inlinedResponses" not in str(listed)
    assert quick.ledger()["lanes"]["batch"]["answered"] == 8


def test_gemini_keeps_nothing_of_what_has_expired(simulator: "Simulator") -> None:
    simulator.faults(batches=QUICK | {"stall": 0.5, "expires_in_s": 0.1})
    operation = until(simulator, gemini_create(simulator, gemini_lines(4)), is_done)
    assert operation["metadata"]["state"] == "BATCH_STATE_EXPIRED"
    assert "response" not in operation
    assert "output" not in operation["metadata"]
    assert simulator.ledger()["answered"] == 0


def test_gemini_cancels_and_keeps_what_was_done(simulator: "Simulator") -> None:
    simulator.faults(batches=QUICK | {"stall": 0.5})
    path = gemini_create(simulator, gemini_lines(4))
    until(simulator, path, lambda op: "successfulRequestCount" in op["metadata"]["batchStats"])
    assert post(simulator, f"{path}:cancel") == {}
    operation = until(simulator, path, is_done)
    assert operation["metadata"]["state"] == "BATCH_STATE_CANCELLED"
    assert output_of(operation)["responsesFile"]
    simulator.client.delete(path).raise_for_status()
    assert simulator.client.get(path).status_code == 404


def test_gemini_fails_a_file_that_cannot_be_read(quick: "Simulator") -> None:
    operation = until(quick, gemini_create(quick, b"{nonsense"), is_done)
    assert operation["metadata"]["state"] == "BATCH_STATE_FAILED"
    assert operation["error"]["code"] == 3


def test_gemini_refuses_more_tokens_than_may_wait(quick: "Simulator") -> None:
    quick.faults(batches={"stall": 0, "enqueued_tokens": 15})
    gemini_create(quick, gemini_lines(3))
    with pytest.raises(httpx.HTTPStatusError) as refused:
        gemini_create(quick, gemini_lines(3))
    assert refused.value.response.status_code == 429


def mistral_create(simulator: "Simulator", **fields: Any) -> Json:
    body = {
        "endpoint": "/v1/chat/completions",
        "model": "sim-small",
        "metadata": {"tag": "t-1"},
        "timeout_hours": 24,
    }
    return post(simulator, JOBS, body | fields)


def mistral_lines(count: int) -> list[Json]:
    return [
        {"custom_id": f"r-{number}-1", "body": {"messages": params(number)["messages"]}}
        for number in range(count)
    ]


def mistral_upload(simulator: "Simulator", data: bytes) -> str:
    file = simulator.client.post(
        "/mistral/v1/files", files={"file": ("in.jsonl", data)}, data={"purpose": "batch"}
    ).raise_for_status()
    file_id: str = file.json()["id"]
    return file_id


def mistral_run(simulator: "Simulator", made: Json) -> Json:
    path = f"{JOBS}/{made['id']}?inline=true"
    return until(simulator, path, lambda job: job["completed_at"] is not None)


def test_mistral_runs_a_file(quick: "Simulator") -> None:
    quick.faults({"kind": "500", "at": "line", "times": 1})
    data = b"\n".join(map(orjson.dumps, mistral_lines(4)))
    job = mistral_run(quick, mistral_create(quick, input_files=[mistral_upload(quick, data)]))
    assert (job["status"], job["metadata"]) == ("SUCCESS", {"tag": "t-1"})
    counts = ("total_requests", "completed_requests", "succeeded_requests", "failed_requests")
    assert [job[name] for name in counts] == [4, 4, 3, 1]
    found = {}
    for name in ("output_file", "error_file"):
        reply = quick.client.get(f"/mistral/v1/files/{job[name]}/content")
        for line in map(orjson.loads, reply.content.splitlines()):
            found[line["custom_id"]] = line["response"]["status_code"]
    assert sorted(found.values()) == [200, 200, 200, 500]
    listed = quick.client.get(f"{JOBS}?status=SUCCESS&model=sim-small&page=0").json()
    assert [entry["id"] for entry in listed["data"]] == [job["id"]]
    assert quick.client.get(f"{JOBS}?created_after=2100-01-01T00:00:00Z").json()["total"] == 0


def test_mistral_runs_what_is_in_the_body(quick: "Simulator") -> None:
    job = mistral_run(quick, mistral_create(quick, requests=mistral_lines(3)))
    assert (job["output_file"], job["status"]) == (None, "SUCCESS")
    assert {line["custom_id"] for line in job["outputs"]} == {"r-0-1", "r-1-1", "r-2-1"}
    assert quick.ledger()["lanes"]["batch"]["answered"] == 3


def test_mistral_cancels_and_times_out(simulator: "Simulator") -> None:
    simulator.faults(batches=QUICK | {"stall": 0.5, "cancels_s": 60})
    made = mistral_create(simulator, requests=mistral_lines(4))
    asked = post(simulator, f"{JOBS}/{made['id']}/cancel")
    assert asked["status"] == "CANCELLATION_REQUESTED"
    simulator.faults(batches={"cancels_s": 0})
    assert mistral_run(simulator, made)["status"] == "CANCELLED"
    simulator.faults(batches={"expires_in_s": 0.05})
    late = mistral_run(simulator, mistral_create(simulator, requests=mistral_lines(4)))
    assert (late["status"], late["completed_requests"]) == ("TIMEOUT_EXCEEDED", 2)


@pytest.mark.parametrize(
    "fields",
    [{}, {"requests": [], "input_files": []}, {"requests": [{}]}, {"endpoint": "/v1/other"}],
)
def test_mistral_refuses_jobs_that_cannot_be(quick: "Simulator", fields: Json) -> None:
    with pytest.raises(httpx.HTTPStatusError) as refused:
        mistral_create(quick, **fields)
    assert refused.value.response.status_code == 422


def test_mistral_fails_a_file_that_cannot_be_read(quick: "Simulator") -> None:
    job = mistral_run(quick, mistral_create(quick, input_files=[mistral_upload(quick, b"{x")]))
    assert (job["status"], job["errors"][0]["count"]) == ("FAILED", 1)


def test_where_the_results_are_is_an_address_of_the_simulators(quick: "Simulator") -> None:
    made = post(quick, MESSAGE_BATCHES, {"requests": message_requests(1)})
    ended = until(quick, f"{MESSAGE_BATCHES}/{made['id']}", has_ended)
    assert urlsplit(ended["results_url"]).netloc == urlsplit(quick.url).netloc
