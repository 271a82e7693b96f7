"""What providers do to a batch, and what the batch makes of it."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from jobs.states import Outcome
from tests.e2e.judging import (
    attempts_of,
    books_agree,
    each_answer_is_its_jobs,
    each_job_has_one_result,
    nanos,
)
from tests.support.system import LARGE, Json, System, lines, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 300
MAX_ATTEMPTS = 3
CALL_DEADLINE_S = 1.5


@pytest.fixture(scope="module")
def system(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """One machine on which calls are short and attempts are few."""
    with running_system(tmp_path_factory.mktemp("trouble"), shared_simulator.url) as system:
        system.start_up(
            TIDEMILL_CALL_DEADLINE_S=str(CALL_DEADLINE_S), TIDEMILL_MAX_ATTEMPTS=str(MAX_ATTEMPTS)
        )
        yield system


def outcomes(system: System, batch: Json) -> Counter[str | None]:
    return Counter(attempt.outcome for attempt in attempts_of(system, batch["id"]))


@pytest.mark.parametrize("status", ["429", "503", "529"])
def test_a_burst_of_refusals_with_a_wait_fails_no_job_and_uses_up_no_attempt(
    system: System, simulator: "Simulator", status: str
) -> None:
    refusals = MAX_ATTEMPTS + 2
    simulator.faults({"kind": status, "times": refusals, "wait_s": 0.2})

    # One job meets all of them: more than it has attempts.
    batch = system.wait(system.submit(lines(1)))

    assert batch["counts"]["succeeded"] == 1
    assert outcomes(system, batch) == {Outcome.LIMITED: refusals, Outcome.SUCCEEDED: 1}
    books_agree(system, batch, simulator)


def test_a_burst_of_429_over_a_whole_batch_pauses_its_pool_and_fails_no_job(
    system: System, simulator: "Simulator"
) -> None:
    simulator.faults({"kind": "429", "times": 100, "wait_s": 1.0}, latency="constant:50")

    batch_id = system.submit(lines(JOBS))
    batch = system.wait(batch_id)

    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
    assert outcomes(system, batch) == {Outcome.LIMITED: 100, Outcome.SUCCEEDED: JOBS}
    books_agree(system, batch, simulator)
    arrivals = [row["arrived_s"] for row in simulator.rows()]
    refused_s = next(r["arrived_s"] for r in simulator.rows() if r["status"] == 429)
    calm = [at for at in arrivals if refused_s + 0.4 < at < refused_s + 0.9]
    assert calm == []


def test_server_errors_are_retried_and_counted(system: System, simulator: "Simulator") -> None:
    simulator.faults({"kind": "500", "times": 60})

    batch_id = system.submit(lines(JOBS))
    batch = system.wait(batch_id)

    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
    seen = outcomes(system, batch)
    assert seen[Outcome.SUCCEEDED] == JOBS
    assert sum(seen.values()) == JOBS + 60
    assert simulator.ledger()["by_status"] == {"200": JOBS, "500": 60}


def test_a_job_whose_every_attempt_meets_a_server_error_fails_alone(
    system: System, simulator: "Simulator"
) -> None:
    simulator.faults({"kind": "500", "model": LARGE})

    batch_id = system.submit([*lines(1, LARGE, prefix="unlucky"), *lines(JOBS)])
    batch = system.wait(batch_id)

    unlucky, *others = each_job_has_one_result(system, batch_id, JOBS + 1)
    assert unlucky["status"] == "failed"
    assert unlucky["attempts"] == MAX_ATTEMPTS
    assert batch["state"] == "completed"
    each_answer_is_its_jobs(others)


def test_calls_that_hang_are_given_up_charged_at_their_worst_and_made_again(
    system: System, simulator: "Simulator"
) -> None:
    simulator.faults({"kind": "hang", "times": 5})

    batch_id = system.submit(lines(JOBS))
    batch = system.wait(batch_id)

    results = each_job_has_one_result(system, batch_id, JOBS)
    each_answer_is_its_jobs(results)
    assert batch["unknown_attempts"] == 5
    books_agree(system, batch, simulator)
    assert nanos(batch["cost_usd"]) > simulator.ledger()["cost_nanos"]
    assert sum(result["attempts"] - 1 for result in results) == 5


def test_a_key_that_is_refused_for_a_while_fails_nobody_and_work_resumes_by_itself(
    system: System, simulator: "Simulator"
) -> None:
    # The wait spares the test the five minutes after which a worker asks again unasked.
    simulator.faults({"kind": "401", "wait_s": 1.0})
    batch_id = system.submit(lines(JOBS))
    refused = simulator_saw(simulator, "401", system, batch_id)
    assert refused["counts"]["failed"] == refused["counts"]["succeeded"] == 0

    simulator.faults()
    batch = system.wait(batch_id)

    assert batch["state"] == "completed"
    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
    assert outcomes(system, batch).keys() == {Outcome.LIMITED, Outcome.SUCCEEDED}
    books_agree(system, batch, simulator)


def simulator_saw(
    simulator: "Simulator", status: str, system: System, batch_id: str, times: int = 20
) -> Json:
    """The batch, once the simulator has answered so often with `status`."""

    def often(_batch: Json) -> bool:
        seen: int = simulator.ledger()["by_status"].get(status, 0)
        return seen >= times

    return system.wait_until(batch_id, often, 30.0, f"{times} answers of {status}")


def test_a_job_that_the_provider_rejects_fails_alone_with_its_code(
    system: System, simulator: "Simulator"
) -> None:
    simulator.faults({"kind": "400", "model": LARGE})

    batch_id = system.submit([*lines(JOBS), *lines(1, LARGE, prefix="bad")])
    batch = system.wait(batch_id)

    *others, bad = each_job_has_one_result(system, batch_id, JOBS + 1)
    assert bad["custom_id"] == "bad-000000"
    assert (bad["status"], bad["attempts"], bad["output"]) == ("failed", 1, None)
    assert bad["error"]["code"] == "request_rejected"
    each_answer_is_its_jobs(others)
    assert batch["state"] == "completed"
    assert (batch["counts"]["failed"], batch["counts"]["succeeded"]) == (1, JOBS)
    books_agree(system, batch, simulator)
