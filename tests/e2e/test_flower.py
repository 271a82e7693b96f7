"""Flower shows what runs, by ids, to whoever has the password; no text of a user leaves its rows."""

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from jobs.queues import CONTROL_QUEUE, RUN_SLICE, SWEEP
from scripts.launcher.flower_login import PASSWORD_FILE, USER
from tests.support.eventually import eventually
from tests.support.redis_servers import tapped
from tests.support.system import LARGE, Json, System, family, lines, ndjson, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 500
SLICES = 5

CANARY = "canary-7f3a9c"
"""In every text that a user sends: none of them may turn up anywhere but in the database."""


@pytest.fixture(scope="module")
def system(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """One machine with Flower."""
    with running_system(tmp_path_factory.mktemp("flower"), shared_simulator.url) as system:
        system.start_up("--flower-port", str(system.flower_port))
        yield system


@pytest.fixture
def flower(system: System) -> Iterator[httpx.Client]:
    """Flower, with its password, which `up` made."""
    password = (system.home / PASSWORD_FILE).read_text(encoding="utf-8").strip()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{system.flower_port}",
        auth=(USER, password),
        timeout=20.0,
        trust_env=False,
    ) as client:
        yield client


def run_a_batch(system: System, **fields: Any) -> Json:
    return system.wait(system.submit(lines(JOBS, **fields)))


def tasks(flower: httpx.Client, name: str) -> list[Json]:
    found: dict[str, Json] = flower.get("/api/tasks").raise_for_status().json()
    return [task for task in found.values() if task["name"] == name]


def test_nothing_is_shown_without_the_password(system: System, flower: httpx.Client) -> None:
    for path in ("/", "/tasks", "/broker", "/api/workers", "/api/tasks", "/api/queues/length"):
        assert flower.get(path).status_code == 200
        for wrong in (None, (USER, "guess"), ("", "")):
            reply = httpx.get(flower.base_url.join(path), auth=wrong, trust_env=False)
            assert reply.status_code == 401, path
            assert reply.text in {"", "Access denied"}, path
    assert flower.get("/metrics").status_code == 404
    assert (system.home / PASSWORD_FILE).stat().st_mode & 0o077 == 0


def test_every_slice_is_a_task_of_which_only_the_ids_are_shown(
    system: System, flower: httpx.Client
) -> None:
    batch_id = run_a_batch(system)["id"]

    def of_the_batch() -> list[Json]:
        found = tasks(flower, RUN_SLICE)
        return [t for t in found if batch_id in t["args"] and t["state"] == "SUCCESS"]

    done = eventually(lambda: len(of_the_batch()) >= SLICES and of_the_batch(), 15.0)
    assert done
    arguments = sorted(ast.literal_eval(task["args"]) for task in done)
    assert arguments == [[batch_id, number] for number in range(SLICES)]
    assert {task["kwargs"] for task in done} == {"{}"}
    assert {task["result"] for task in done} == {"None"}
    assert {task["worker"].partition("@")[0] for task in done} == {"worker-1"}
    eventually(lambda: tasks(flower, SWEEP), what="the sweep is shown")


def test_the_worker_and_the_queue_of_the_provider_are_shown(
    system: System, flower: httpx.Client
) -> None:
    run_a_batch(system)

    def queues() -> dict[str, list[str]]:
        """The queues that each worker consumes, by the name of its process."""
        workers = flower.get("/api/workers", params={"refresh": "1"}).raise_for_status().json()
        return {
            worker.partition("-")[0]: [queue["name"] for queue in shown.get("active_queues", [])]
            for worker, shown in workers.items()
        }

    expected = {"worker": ["openai"], "beat": [CONTROL_QUEUE]}
    eventually(lambda: queues() == expected, 20.0, "both workers and their queues are shown")
    lengths = flower.get("/api/queues/length").raise_for_status().json()["active_queues"]
    assert {queue["name"] for queue in lengths} == {"openai", CONTROL_QUEUE}


def test_nothing_can_be_changed_through_it(system: System, flower: httpx.Client) -> None:
    run_a_batch(system)
    task = eventually(lambda: tasks(flower, RUN_SLICE), 15.0)[0]
    for path in (
        f"/api/worker/shutdown/{task['worker']}",
        f"/api/worker/queue/cancel-consumer/{task['worker']}",
        f"/api/task/revoke/{task['uuid']}",
        f"/api/task/apply/{RUN_SLICE}",
        f"/api/task/send-task/{RUN_SLICE}",
    ):
        from_elsewhere = {"origin": "https://evil.test", "sec-fetch-site": "cross-site"}
        for headers in ({}, from_elsewhere):
            reply = flower.post(path, json={"args": ["bat_1", 0]}, headers=headers)
            assert reply.status_code == 403, path
            assert "access-control-allow-origin" not in reply.headers, path
            reply = httpx.post(flower.base_url.join(path), headers=headers, trust_env=False)
            assert reply.status_code in {401, 403}, path


def test_a_flower_that_hangs_holds_up_no_work(system: System, flower: httpx.Client) -> None:
    (process,) = (
        part for part in family(system.processes[0].pid) if "flower" in part.cmdline()[1:]
    )
    process.suspend()
    try:
        for _ in range(2):
            assert run_a_batch(system)["counts"]["succeeded"] == JOBS
    finally:
        process.resume()
    batch_id = run_a_batch(system)["id"]
    eventually(
        lambda: any(batch_id in task["args"] for task in tasks(flower, RUN_SLICE)),
        20.0,
        "it shows again what runs",
    )


def test_no_text_of_a_user_is_in_flower_the_broker_or_any_log(
    system: System, flower: httpx.Client, simulator: "Simulator"
) -> None:
    simulator.faults(
        {"kind": "500", "times": 20},
        {"kind": "badjson", "times": 5},
        {"kind": "reset", "times": 5},
        {"kind": "400", "model": LARGE},
    )
    prompts = [
        *lines(JOBS, prefix=CANARY, system=f"{CANARY} {'system ' * 50}"),
        *lines(3, LARGE, prefix=f"{CANARY}-bad"),
    ]
    with tapped(f"unix://{system.settings.embedded_socket()}") as said:
        refused = system.http.post(
            "/api/batches", content=ndjson([{"custom_id": CANARY, CANARY: 1}]) + CANARY.encode()
        )
        assert (refused.status_code, refused.json()["error_count"]) == (400, 2)
        unknown = system.http.get("/api/batches", params={CANARY: CANARY})
        assert unknown.status_code in {200, 400}
        batch_id = system.submit(prompts, name=f"{CANARY}-name")
        batch = system.wait(batch_id)
    assert batch["counts"]["succeeded"] == JOBS
    assert any(CANARY in row["job_id"] for row in simulator.rows())
    eventually(
        lambda: len([t for t in tasks(flower, RUN_SLICE) if batch_id in t["args"]]) > SLICES, 15.0
    )

    assert any(RUN_SLICE in command or "PUBLISH" in command for command in said)
    assert [command for command in said if CANARY in command] == []
    for name, text in shown_by(flower).items():
        assert CANARY not in text, name
    for name, content in broker_files(system).items():
        assert CANARY.encode() not in content, name
    for name, text in whole_logs(system).items():
        assert text, name
        assert CANARY not in text, name
        assert system.key not in text, name


def shown_by(flower: httpx.Client) -> dict[str, str]:
    """All that Flower knows: its lists, and the page of each task."""
    paths = ["/", "/tasks", "/broker", "/api/tasks", "/api/workers?refresh=1"]
    paths += [f"/task/{task['uuid']}" for task in tasks(flower, RUN_SLICE)[-2 * SLICES :]]
    return {path: flower.get(path).raise_for_status().text for path in paths}


def broker_files(system: System) -> dict[str, bytes]:
    """What the embedded server has written down: every change that it was told."""
    files = [path for path in (system.home / "valkey").rglob("*") if path.is_file()]
    content = {path.name: path.read_bytes() for path in files}
    assert any(CONTROL_QUEUE.encode() in each for each in content.values())
    return content


def whole_logs(system: System) -> dict[str, str]:
    """The logs of all processes, from their beginnings."""
    paths = [*(system.home / "logs").glob("*.log"), *(p.log_path for p in system.processes)]
    assert {path.stem for path in paths} >= {"api", "worker-1", "beat", "flower", "up-0"}
    return {path.stem: path.read_text(encoding="utf-8", errors="replace") for path in paths}
