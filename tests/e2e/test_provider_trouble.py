"""What providers do to a batch, and what the batch makes of it."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func
from sqlmodel import select

from jobs.states import Outcome
from jobs.tables import Batch, Slice
from tests.e2e.judging import (
    attempts_of,
    books_agree,
    each_answer_is_its_jobs,
    each_job_has_one_result,
    nanos,
)
from tests.support.eventually import eventually
from tests.support.system import LARGE, Json, System, lines, running_system
from workers.clock.sweep import SWEEP_S
from workers.job.detour import LONGEST_REST_S

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 300
MAX_ATTEMPTS = 3
CALL_DEADLINE_S = 1.5


@pytest.fixture
def system(shared_simulator: "Simulator", tmp_path: Path) -> Iterator[System]:
    """One machine on which calls are short and attempts are few; what its gate learns is its own."""
    with running_system(tmp_path / "trouble", shared_simulator.url) as system:
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


def test_a_storm_of_429_is_sat_out_with_single_probes_and_fails_no_job(
    system: System, simulator: "Simulator"
) -> None:
    simulator.faults({"kind": "429", "wait_s": 1.0}, latency="constant:50")

    batch_id = system.submit(lines(JOBS))

    def refusals() -> list[float]:
        return [row["arrived_s"] for row in simulator.rows() if row["status"] == 429]

    def is_down_to_probes() -> bool:
        return len(seen := refusals()) > 10 and seen[-1] - seen[-2] > 4.5

    eventually(is_down_to_probes, within_s=40)
    storm_s = refusals()[-1]
    simulator.faults()
    batch = system.wait(batch_id)

    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
    assert set(outcomes(system, batch)) == {Outcome.LIMITED, Outcome.SUCCEEDED}
    assert outcomes(system, batch)[Outcome.SUCCEEDED] == JOBS
    books_agree(system, batch, simulator)
    first_good_s = min(r["arrived_s"] for r in simulator.rows() if r["status"] == 200)
    assert first_good_s - storm_s < 20


def test_server_errors_are_retried_and_counted(system: System, simulator: "Simulator") -> None:
    failures = 8  # fewer in a row than make an outage
    simulator.faults({"kind": "500", "times": failures})

    batch_id = system.submit(lines(JOBS))
    batch = system.wait(batch_id)

    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
    seen = outcomes(system, batch)
    assert seen[Outcome.SUCCEEDED] == JOBS
    assert sum(seen.values()) == JOBS + failures
    assert simulator.ledger()["by_status"] == {"200": JOBS, "500": failures}


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
    # The wait spares the test the 15 s after which a probe asks again unasked.
    simulator.faults({"kind": "401", "wait_s": 1.0})
    batch_id = system.submit(lines(JOBS))
    refused = simulator_saw(simulator, "401", system, batch_id, times=2)
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


@pytest.mark.parametrize("trouble", ["reset", "close", "cut", "html200", "badjson"])
def test_an_answer_that_is_lost_or_broken_is_unknown_charged_at_its_worst_and_asked_for_again(
    system: System, simulator: "Simulator", trouble: str
) -> None:
    simulator.faults({"kind": trouble, "times": 5})

    batch_id = system.submit(lines(JOBS))
    batch = system.wait(batch_id)

    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
    assert outcomes(system, batch) == {Outcome.UNKNOWN: 5, Outcome.SUCCEEDED: JOBS}
    books_agree(system, batch, simulator)


@pytest.mark.parametrize("trouble", ["usage_missing", "usage_absurd", "usage_negative"])
def test_an_answer_without_a_credible_usage_is_kept_and_charged_at_its_worst(
    system: System, simulator: "Simulator", trouble: str
) -> None:
    simulator.faults({"kind": trouble, "times": 5})

    batch_id = system.submit(lines(JOBS))
    batch = system.wait(batch_id)

    results = each_job_has_one_result(system, batch_id, JOBS)
    each_answer_is_its_jobs(results)
    without = {result["custom_id"] for result in results if result["usage"] is None}
    attempts = attempts_of(system, batch_id)
    at_worst = [row.reserved_nanos for row in attempts if row.cost_nanos == row.reserved_nanos]
    billed = {row["job_id"]: row["cost_nanos"] for row in simulator.rows()}
    exact = sum(cost for job_id, cost in billed.items() if job_id not in without)
    assert len(without) == len(at_worst) == batch["unknown_attempts"] == 5
    assert {row["custom_id"] for row in results if row["cost_is_estimate"]} == without
    assert nanos(batch["cost_usd"]) == exact + sum(at_worst)
    assert nanos(batch["cost_usd"]) > sum(billed.values())
    assert len(attempts) == JOBS


def test_a_wait_longer_than_a_slice_may_rest_gives_the_slices_back_and_says_why(
    system: System, simulator: "Simulator"
) -> None:
    wait_s = LONGEST_REST_S + 1.0
    simulator.faults({"kind": "429", "wait_s": wait_s, "times": 5})
    batch_id = system.submit(lines(JOBS))

    waits_for(system, batch_id, "rate", 10.0)
    resting = system.wait_until(
        batch_id, lambda batch: batch["counts"]["running"] == 0, 5.0, "nothing is in flight"
    )
    sent = simulator.ledger()["requests"]
    assert (resting["state"], resting["counts"]["failed"]) == ("running", 0)
    assert sent < JOBS + 5
    batch = system.wait(batch_id, wait_s + 10.0)

    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
    assert batch["waiting_for"] is None
    assert outcomes(system, batch) == {Outcome.LIMITED: 5, Outcome.SUCCEEDED: JOBS}
    arrivals = sorted(row["arrived_s"] for row in simulator.rows())
    assert max(b - a for a, b in itertools.pairwise(arrivals)) >= wait_s - 1.0
    books_agree(system, batch, simulator)


def test_an_outage_of_seconds_is_sat_out_by_a_few_slices_and_all_go_on_after_it(
    system: System, simulator: "Simulator"
) -> None:
    outage_s, jobs = 12.0, 1_500
    simulator.faults({"kind": "529", "wait_s": outage_s, "times": 1}, latency="constant:20")
    batch_id = system.submit(lines(jobs))

    waits_for(system, batch_id, "overloaded", outage_s)
    batch = system.wait(batch_id, 3 * outage_s)

    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, jobs))
    assert batch["waiting_for"] is None
    assert outcomes(system, batch) == {Outcome.LIMITED: 1, Outcome.SUCCEEDED: jobs}
    arrivals = sorted(row["arrived_s"] for row in simulator.rows())
    _lull_s, back_s = max((b - a, b) for a, b in itertools.pairwise(arrivals))
    after = [at for at in arrivals if at >= back_s]
    # Those that stayed go on at once, and by the time that they are through, the others are back.
    assert max(b - a for a, b in itertools.pairwise(after)) < 2 * SWEEP_S
    assert most_leases(system, batch_id) <= 4


def waits_for(system: System, batch_id: str, word: str, within_s: float) -> None:
    """Return once the batch says that it waits for this."""

    def is_told(batch: Json) -> bool:
        return word in (batch["waiting_for"] or "").lower()

    system.wait_until(batch_id, is_told, within_s, f"it says that it waits: {word}")


def most_leases(system: System, batch_id: str) -> int:
    """How often the slice was leased that was leased most: each time raises its fence, twice."""
    statement = (
        select(func.max(Slice.fence))
        .join(Batch, Batch.id == Slice.batch_id)  # type: ignore[arg-type]  # a column's comparison
        .where(Batch.ref == batch_id)
    )
    with system.database() as database, database.read() as session:
        return (session.exec(statement).one() + 1) // 2
