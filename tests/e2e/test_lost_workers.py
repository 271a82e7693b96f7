"""A worker that is killed, and one that is asked to go, while calls are in flight."""

import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.judging import books_agree, each_answer_is_its_jobs, each_job_has_one_result
from tests.support.deadly_worker import DEADLY
from tests.support.eventually import eventually
from tests.support.system import SMALL, SPREAD_IN_FLIGHT, System, lines, wait_for_log
from workers.job.suspicion import POISON_AFTER

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 1_500
CALL_MS = 300

MOST_JOURNALED = 2 * SPREAD_IN_FLIGHT
"""Calls in flight, and those about to leave: as many again at most, see `workers.slices.in_flight`."""

RECOVERED_WITHIN_S = 17.0
"""What is promised: the lease, its renewal, a sweep, and the new claim."""

WORK_S = 12.0
"""Generously: all the jobs by the one worker that is left, 167 a second."""

DRAIN_GRACE_S = 25.0


def test_a_killed_workers_jobs_are_run_by_another_and_every_nano_dollar_is_accounted_for(
    spread_system: System, simulator: "Simulator"
) -> None:
    # Spread, or all calls end together, and a kill right then finds none in flight.
    simulator.faults(latency=f"uniform:{CALL_MS},30")
    doomed = spread_system.start_worker("doomed")
    batch_id = spread_system.submit(lines(JOBS))
    spread_system.wait_finished(batch_id, 50)
    survivor = spread_system.start_worker("survivor")
    spread_system.wait_finished(batch_id, 300)

    doomed.kill(signal.SIGKILL)
    killed_at = time.monotonic()
    batch = spread_system.wait(batch_id, RECOVERED_WITHIN_S + WORK_S)

    assert batch["state"] == "completed"
    assert time.monotonic() - killed_at < RECOVERED_WITHIN_S + WORK_S
    assert survivor.exit_status is None
    each_answer_is_its_jobs(each_job_has_one_result(spread_system, batch_id, JOBS))
    assert 0 < batch["unknown_attempts"] <= MOST_JOURNALED
    books_agree(spread_system, batch, simulator)


def test_a_job_that_kills_its_workers_is_stopped_after_three_and_harms_no_other(
    spread_system: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:50")
    deadly = {"custom_id": "deadly", "model": SMALL, "prompt": f"[job:deadly] {DEADLY}"}
    batch_id = spread_system.submit(
        [*lines(SPREAD_IN_FLIGHT // 2), deadly, *lines(JOBS, prefix="more")]
    )
    deaths = 0
    worker = spread_system.start_worker("mortal", module="tests.support.deadly_worker")

    def has_ended() -> bool:
        nonlocal deaths, worker
        if worker.exit_status == -signal.SIGKILL:
            deaths += 1
            worker = spread_system.start_worker("mortal", module="tests.support.deadly_worker")
        return bool(spread_system.batch(batch_id)["state"] == "completed")

    eventually(has_ended, 4 * RECOVERED_WITHIN_S + WORK_S, "the batch ends")

    assert deaths == POISON_AFTER
    failed = [line for line in spread_system.results(batch_id) if line["status"] != "succeeded"]
    assert [line["custom_id"] for line in failed] == ["deadly"]
    assert failed[0]["error"]["code"] == "kills_workers"


def test_a_worker_that_is_asked_to_go_sends_nothing_more_and_loses_no_call(
    spread_system: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:1000")
    leaving = spread_system.start_worker("leaving")
    batch_id = spread_system.submit(lines(JOBS // 3))
    spread_system.wait_finished(batch_id, 50)

    mark(simulator)
    leaving.kill(signal.SIGTERM)
    asked_at = time.monotonic()
    wait_for_log(leaving, "draining")
    assert leaving.wait_ended(DRAIN_GRACE_S) == 0

    assert time.monotonic() - asked_at < 8.0  # calls take one second
    calls = [row for row in simulator.rows() if row["status"] != 400]
    (asked_s,) = (row["arrived_s"] for row in simulator.rows() if row["status"] == 400)
    assert [row for row in calls if row["arrived_s"] > asked_s + 0.5] == []
    assert all(row["answered"] for row in calls)
    halfway = spread_system.batch(batch_id)
    assert halfway["counts"]["running"] == 0
    assert halfway["counts"]["succeeded"] == len(calls) < JOBS // 3

    simulator.faults(latency="constant:0")
    spread_system.start_worker("arriving")
    batch = spread_system.wait(batch_id, 30.0)

    assert batch["unknown_attempts"] == 0
    each_answer_is_its_jobs(each_job_has_one_result(spread_system, batch_id, JOBS // 3))
    assert simulator.ledger()["requests"] - 1 == simulator.ledger()["answered"] == JOBS // 3


def test_workers_that_are_restarted_one_after_the_other_lose_no_call(
    spread_system: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:500")
    workers = [spread_system.start_worker(f"worker-{number}") for number in range(2)]
    batch_id = spread_system.submit(lines(JOBS))
    spread_system.wait_finished(batch_id, 50)
    for turn in range(4):
        leaving = workers.pop(0)
        leaving.kill(signal.SIGTERM)
        assert leaving.wait_ended(DRAIN_GRACE_S) == 0
        workers.append(spread_system.start_worker(f"next-{turn}"))
    batch = spread_system.wait(batch_id)
    assert batch["unknown_attempts"] == 0
    each_answer_is_its_jobs(each_job_has_one_result(spread_system, batch_id, JOBS))
    assert simulator.ledger()["requests"] == simulator.ledger()["answered"] == JOBS


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGQUIT])
def test_a_worker_that_is_asked_to_go_twice_still_loses_no_call(
    spread_system: System, simulator: "Simulator", second: signal.Signals
) -> None:
    simulator.faults(latency="constant:3000")
    leaving = spread_system.start_worker("leaving")
    batch_id = spread_system.submit(lines(JOBS // 10))
    spread_system.wait_until(
        batch_id, lambda batch: batch["counts"]["running"] > 0, 10.0, "calls are in flight"
    )
    leaving.kill(signal.SIGTERM)
    wait_for_log(leaving, "draining")
    leaving.kill(second)
    leaving.wait_ended(DRAIN_GRACE_S)
    assert spread_system.batch(batch_id)["counts"]["running"] == 0
    simulator.faults(latency="constant:0")
    spread_system.start_worker("arriving")
    batch = spread_system.wait(batch_id, RECOVERED_WITHIN_S)
    assert batch["unknown_attempts"] == 0
    assert simulator.ledger()["requests"] == simulator.ledger()["answered"] == JOBS // 10


def mark(simulator: "Simulator") -> None:
    """Put a row of our own into the simulator's ledger: a moment, by its clock."""
    reply = simulator.client.post("/v1/chat/completions", content=b"no JSON")
    assert reply.status_code == 400
