"""OpenAI's batches at the simulator, as its own client and plain HTTP see them."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import openai
import orjson
import pytest

if TYPE_CHECKING:
    from tests.support.simulator import Simulator, StartSimulator

pytest_plugins = ("tests.support.simulator",)

DEADLINE_S = 10.0
QUICK = {"validates_s": 0, "takes_s": 0, "finalizes_s": 0, "cancels_s": 0}
ENDED = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture
def quick(simulator: "Simulator") -> "Simulator":
    """Give a simulator whose batches end as soon as they are created."""
    simulator.faults(batches=QUICK)
    return simulator


def a_line(number: int, **fields: Any) -> dict[str, Any]:
    body = {
        "model": "sim-small",
        "messages": [{"role": "user", "content": f"[job:j{number}] hello"}],
        "max_completion_tokens": 100,
    }
    line = {"custom_id": f"r-{number}-1", "method": "POST", "url": "/v1/chat/completions"}
    return line | {"body": body} | fields


def upload(simulator: "Simulator", data: bytes, name: str = "in.jsonl") -> httpx.Response:
    return simulator.client.post(
        "/v1/files", files={"file": (name, data)}, data={"purpose": "batch"}
    )


def create(simulator: "Simulator", data: bytes, **fields: Any) -> httpx.Response:
    file = upload(simulator, data).raise_for_status().json()
    body = {
        "input_file_id": file["id"],
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    return simulator.client.post("/v1/batches", json=body | fields)


def lines_of(count: int) -> bytes:
    return b"".join(orjson.dumps(a_line(number)) + b"\n" for number in range(count))


def look(simulator: "Simulator", batch_id: str) -> dict[str, Any]:
    batch: dict[str, Any] = (
        simulator.client.get(f"/v1/batches/{batch_id}").raise_for_status().json()
    )
    return batch


def ended(simulator: "Simulator", batch_id: str) -> dict[str, Any]:
    return until(simulator, batch_id, lambda batch: batch["status"] in ENDED)


def until(
    simulator: "Simulator", batch_id: str, holds: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    deadline = time.monotonic() + DEADLINE_S
    while not holds(batch := look(simulator, batch_id)):
        assert time.monotonic() < deadline, batch
        time.sleep(0.01)
    return batch


def run(simulator: "Simulator", data: bytes, **fields: Any) -> dict[str, Any]:
    return ended(simulator, create(simulator, data, **fields).raise_for_status().json()["id"])


def content(simulator: "Simulator", file_id: str) -> list[dict[str, Any]]:
    reply = simulator.client.get(f"/v1/files/{file_id}/content").raise_for_status()
    return [orjson.loads(line) for line in reply.content.splitlines()]


def test_openais_own_client_runs_a_batch(quick: "Simulator") -> None:
    with openai.OpenAI(base_url=f"{quick.url}/v1", api_key="k", max_retries=0) as client:
        file = client.files.create(file=("in.jsonl", lines_of(3)), purpose="batch")
        made = client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={"tag": "t-1"},
        )
        assert made.status == "validating"
        ended(quick, made.id)
        batch = client.batches.retrieve(made.id)
        assert batch.status == "completed"
        assert batch.request_counts is not None
        assert batch.request_counts.model_dump() == {"total": 3, "completed": 3, "failed": 0}
        assert (batch.metadata, batch.error_file_id) == ({"tag": "t-1"}, None)
        assert [found.id for found in client.batches.list(limit=1)] == [made.id]
        assert batch.output_file_id is not None
        lines = client.files.content(batch.output_file_id).text.splitlines()
        assert client.files.delete(file.id).deleted
    answers = {line["custom_id"]: line for line in map(orjson.loads, lines)}
    assert answers.keys() == {"r-0-1", "r-1-1", "r-2-1"}
    for number in range(3):
        answer = answers[f"r-{number}-1"]
        assert (answer["error"], answer["response"]["status_code"]) == (None, 200)
        said = answer["response"]["body"]["choices"][0]["message"]["content"]
        assert said.startswith(f"[job:j{number}]")


def test_a_batch_says_what_a_live_call_says_at_half_the_price(quick: "Simulator") -> None:
    body = a_line(0)["body"]
    live = quick.client.post("/v1/chat/completions", json=body).json()
    batch = run(quick, lines_of(1))
    before = quick.rows()[1]
    assert (before["answered"], before["lane"], before["line_id"]) == (False, "batch", "r-0-1")
    (line,) = content(quick, batch["output_file_id"])
    assert line["response"]["body"]["choices"] == live["choices"]
    assert line["response"]["body"]["usage"] == live["usage"]
    first, second = quick.rows()
    assert second["cost_nanos"] * 2 == first["cost_nanos"] > 0
    assert (second["answered"], second["batch"]) == (True, batch["id"])
    assert (first["job_id"], first["lane"]) == (second["job_id"], "live")


def test_a_file_that_is_created_twice_is_billed_twice(quick: "Simulator") -> None:
    for _ in range(2):
        run(quick, lines_of(2))
    rows = quick.rows()
    assert len({row["batch"] for row in rows}) == 2
    assert sorted(row["line_id"] for row in rows) == ["r-0-1", "r-0-1", "r-1-1", "r-1-1"]


def test_a_batch_makes_progress_and_stalls(simulator: "Simulator") -> None:
    simulator.faults(batches=QUICK | {"takes_s": 0.2, "stall": 0.9})
    batch_id = create(simulator, lines_of(20)).json()["id"]
    stalled = until(simulator, batch_id, lambda b: b["request_counts"]["completed"] == 18)
    assert stalled["status"] == "in_progress"
    simulator.faults(batches={"stall": 1.0})
    assert ended(simulator, batch_id)["status"] == "completed"


def test_what_is_cancelled_keeps_what_was_done(simulator: "Simulator") -> None:
    simulator.faults(batches=QUICK | {"stall": 0.5, "cancels_s": 60})
    batch_id = create(simulator, lines_of(20)).json()["id"]
    until(simulator, batch_id, lambda b: b["request_counts"]["completed"] == 10)
    cancelled = simulator.client.post(f"/v1/batches/{batch_id}/cancel").json()
    assert (cancelled["status"], cancelled["output_file_id"]) == ("cancelling", None)
    again = simulator.client.post(f"/v1/batches/{batch_id}/cancel").json()
    assert again["cancelling_at"] == cancelled["cancelling_at"]
    simulator.faults(batches={"cancels_s": 0})
    batch = ended(simulator, batch_id)
    assert batch["status"] == "cancelled"
    assert len(content(simulator, batch["output_file_id"])) == 10
    assert batch["error_file_id"] is None
    assert simulator.client.post(f"/v1/batches/{batch_id}/cancel").status_code == 400


def test_what_expires_names_what_was_not_done(simulator: "Simulator") -> None:
    simulator.faults(batches=QUICK | {"stall": 0.5, "expires_in_s": 0.1})
    batch = run(simulator, lines_of(4))
    assert (batch["status"], batch["expires_at"]) == ("expired", batch["created_at"])
    assert len(content(simulator, batch["output_file_id"])) == 2
    rest = content(simulator, batch["error_file_id"])
    assert [line["error"]["code"] for line in rest] == ["batch_expired"] * 2
    assert not any(line["response"] for line in rest)
    assert len(simulator.rows()) == 2


def test_lines_that_err_are_in_a_file_of_their_own(quick: "Simulator") -> None:
    quick.faults({"kind": "500", "at": "line", "times": 1})
    batch = run(quick, lines_of(3) + orjson.dumps(a_line(3, body={"model": "sim-small"})))
    assert batch["request_counts"] == {"total": 4, "completed": 2, "failed": 2}
    failed = content(quick, batch["error_file_id"])
    assert sorted(line["response"]["status_code"] for line in failed) == [400, 500]
    assert all(line["error"] is None for line in failed)
    assert all(line["response"]["body"]["error"]["message"] for line in failed)
    assert sum(row["cost_nanos"] > 0 for row in quick.rows()) == 2


def test_a_batch_all_of_whose_lines_fail_has_no_output(quick: "Simulator") -> None:
    quick.faults({"kind": "500", "at": "line"})
    batch = run(quick, lines_of(2))
    assert (batch["status"], batch["output_file_id"]) == ("completed", None)


def test_a_fault_of_live_calls_is_none_of_lines_but_a_lie_is(quick: "Simulator") -> None:
    quick.faults({"kind": "500"}, {"kind": "refusal"})
    batch = run(quick, lines_of(1))
    (line,) = content(quick, batch["output_file_id"])
    assert line["response"]["body"]["choices"][0]["message"]["refusal"]
    assert quick.rows()[0]["lie"] == "refusal"


@pytest.mark.parametrize(
    ("lines", "code", "at"),
    [
        ([b"{nonsense"], "invalid_json_line", 1),
        ([orjson.dumps(a_line(1)), orjson.dumps(a_line(1))], "duplicate_custom_id", 2),
        ([orjson.dumps(a_line(1, url="/v1/responses"))], "url_mismatch", 1),
        (
            [orjson.dumps(a_line(1)), orjson.dumps(a_line(2, body={"model": "other"}))],
            "model_mismatch",
            2,
        ),
        ([], "empty_file", None),
    ],
)
def test_what_is_wrong_with_a_file_is_told_afterwards(
    quick: "Simulator", lines: list[bytes], code: str, at: int | None
) -> None:
    batch = run(quick, b"\n".join(lines))
    (problem,) = batch["errors"]["data"]
    assert (batch["status"], problem["code"], problem["line"]) == ("failed", code, at)
    assert quick.rows() == []


def test_what_has_too_many_lines_or_tokens_fails(quick: "Simulator") -> None:
    quick.faults(batches={"max_lines": 2})
    assert run(quick, lines_of(3))["errors"]["data"][0]["code"] == "too_many_tasks"
    quick.faults(batches={"max_lines": 9, "stall": 0, "enqueued_tokens": 20})
    waiting = create(quick, lines_of(3)).json()["id"]
    until(quick, waiting, lambda batch: batch["status"] == "in_progress")
    late = run(quick, lines_of(3))
    assert late["errors"]["data"][0]["code"] == "token_limit_exceeded"
    quick.client.post(f"/v1/batches/{waiting}/cancel").raise_for_status()
    ended(quick, waiting)
    after = create(quick, lines_of(3)).json()["id"]
    until(quick, after, lambda batch: batch["status"] == "in_progress")


def test_so_many_batches_may_be_created_in_an_hour(quick: "Simulator") -> None:
    quick.faults(batches={"creates_per_hour": 1})
    assert create(quick, lines_of(1)).status_code == 200
    refused = create(quick, lines_of(1))
    assert (refused.status_code, "retry-after" in refused.headers) == (429, True)


def test_a_file_of_another_kind_is_refused(quick: "Simulator") -> None:
    assert "Must be .jsonl" in upload(quick, b"{}", "in.json").json()["error"]["message"]
    quick.faults(batches={"max_bytes": 1})
    assert upload(quick, b"{}").status_code == 400
    nothing = quick.client.get("/v1/files/file-none")
    assert (nothing.status_code, nothing.json()["error"]["param"]) == (404, "id")


@pytest.mark.parametrize("kind", ["500", "429", "hang", "reset", "close"])
@pytest.mark.parametrize("is_done", [False, True])
def test_the_answer_to_a_creation_can_be_lost(
    quick: "Simulator", kind: str, *, is_done: bool
) -> None:
    quick.faults({"kind": kind, "at": "create", "done": is_done, "times": 1}, batches={"stall": 0})
    file = upload(quick, lines_of(1)).json()
    body = {
        "input_file_id": file["id"],
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    try:
        reply = quick.client.post("/v1/batches", json=body, timeout=0.3)
    except httpx.TransportError:
        assert kind in {"hang", "reset", "close"}
    else:
        assert reply.status_code == int(kind)
    assert len(quick.client.get("/v1/batches").json()["data"]) == is_done


def test_a_new_batch_is_not_in_the_list_at_once(quick: "Simulator") -> None:
    quick.faults(batches={"list_lag_s": 60})
    batch_id = create(quick, lines_of(1)).json()["id"]
    assert quick.client.get("/v1/batches").json()["data"] == []
    assert look(quick, batch_id)["id"] == batch_id
    quick.faults(batches={"list_lag_s": 0})
    assert len(quick.client.get("/v1/batches").json()["data"]) == 1


def test_results_can_lie(quick: "Simulator") -> None:
    def lines_with(**ways: Any) -> list[bytes]:
        quick.faults(batches=QUICK | ways)
        batch = run(quick, lines_of(20))
        url = f"/v1/files/{batch['output_file_id']}/content"
        lines = quick.client.get(url).content.split(b"\n")
        return lines[:-1] if not lines[-1] else lines

    def ids(lines: list[bytes]) -> list[str]:
        return [orjson.loads(line)["custom_id"] for line in lines]

    asked = {f"r-{number}-1" for number in range(20)}
    doubled = ids(lines_with(doubled=0.5))
    assert (set(doubled), len(doubled) > 20) == (asked, True)
    missing = ids(lines_with(doubled=0, missing=0.5))
    assert set(missing) < asked
    foreign = ids(lines_with(missing=0, foreign=2))
    assert set(foreign) - asked == {"stranger-0", "stranger-1"}
    cut = lines_with(foreign=0, cut=True)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(cut[-1])
    assert len(cut) == 20
    quick.faults(batches={"cut": False, "miscounted": True})
    assert run(quick, lines_of(2))["request_counts"]["total"] == 3
    undelivered = [row for row in quick.rows() if not row["answered"]]
    assert len(undelivered) == (20 - len(missing)) + 1 + 2


def test_results_that_break_off_are_not_fetched(quick: "Simulator") -> None:
    batch = run(quick, lines_of(3))
    quick.faults({"kind": "cut", "at": "results", "times": 1})
    with pytest.raises(httpx.TransportError):
        content(quick, batch["output_file_id"])
    assert quick.ledger()["answered"] == 0
    content(quick, batch["output_file_id"])
    assert quick.ledger()["answered"] == 3


def test_a_batch_takes_nothing_of_the_live_limits(start_simulator: "StartSimulator") -> None:
    simulator = start_simulator(
        *("--limit", ":rpm=1", "--batch", "validates_s=0,finalizes_s=0", "--batch-s", "0")
    )
    run(simulator, lines_of(5))
    body = a_line(9)["body"]
    statuses = [simulator.client.post("/v1/chat/completions", json=body).status_code for _ in "ab"]
    assert statuses == [200, 429]
    assert simulator.ledger()["lanes"]["batch"]["requests"] == 5
    rate = simulator.client.get("/_sim/ledger/rate").json()
    assert sum(rate["by_status"]["200"]) == 1


def test_a_batch_that_fails_as_a_whole_says_why(quick: "Simulator") -> None:
    quick.faults(batches={"fails": "internal_error"})
    batch = run(quick, lines_of(1))
    assert batch["errors"]["data"][0]["code"] == "internal_error"


def test_ways_that_cannot_be_are_refused(simulator: "Simulator") -> None:
    for changes in ({"takes_s": -1}, {"wonder": 1}):
        reply = simulator.client.post("/_sim/faults", json={"batches": changes})
        assert reply.status_code == 400
