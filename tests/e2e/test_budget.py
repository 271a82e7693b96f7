"""A batch's budget holds to the nano-dollar, also when calls are lost and charged at their worst."""

from typing import TYPE_CHECKING

from jobs.money import format_usd
from tests.e2e.judging import attempts_of, nanos
from tests.support.system import System, finished, lines

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 2_000
MORE_JOBS = 6_000
"""More than can be in flight at once, whatever the pool has found room for."""

BUDGET_USD = "0.005"
"""Enough for about a third of the jobs."""

GOES_ON_WITHIN_S = 5.0
"""Two on a machine that does nothing else; a budget that nobody looks at again would wait for ever."""


def test_a_batch_stops_before_its_budget_is_overrun_and_says_so(
    one_machine: System, simulator: "Simulator"
) -> None:
    simulator.faults({"kind": "reset", "probability": 0.05}, latency="uniform:5,50")
    batch_id = one_machine.submit(lines(JOBS, max_tokens=40), max_cost_usd=BUDGET_USD)

    batch = one_machine.wait_until(
        batch_id, lambda batch: batch["state"] == "paused", 30.0, "its budget is used up"
    )

    assert f"its budget of ${BUDGET_USD} is used up" in batch["waiting_for"]
    budget, spent = nanos(BUDGET_USD), nanos(batch["cost_usd"])
    ledger = simulator.ledger()
    attempts = attempts_of(one_machine, batch_id)
    worst = max(attempt.reserved_nanos for attempt in attempts)
    assert budget - worst < spent <= budget
    assert ledger["cost_nanos"] + ledger["unanswered_cost_nanos"] <= spent
    assert nanos(batch["reserved_usd"]) == 0
    assert spent == sum(attempt.cost_nanos or 0 for attempt in attempts)
    assert 0 < batch["counts"]["succeeded"] == ledger["answered"] < JOBS

    # Resuming it sends nothing that there is no money for.
    one_machine.act(batch_id, "resume")
    one_machine.wait_until(
        batch_id, lambda batch: batch["state"] == "paused", 20.0, "it is paused again"
    )
    assert simulator.ledger()["requests"] == ledger["requests"]
    one_machine.act(batch_id, "cancel")
    ended = one_machine.wait(batch_id)
    assert ended["counts"]["cancelled"] == JOBS - batch["counts"]["succeeded"]
    assert nanos(ended["cost_usd"]) == spent


def test_a_raised_budget_lets_a_batch_go_on_at_once(
    one_machine: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:20")
    batch_id = one_machine.submit(lines(200, max_tokens=40), max_cost_usd="0.0005")
    paused = one_machine.wait_until(
        batch_id, lambda batch: batch["state"] == "paused", 30.0, "its budget is used up"
    )
    done = finished(paused)

    change(one_machine, f"/api/batches/{batch_id}", max_cost_usd="0.001")

    raised = one_machine.wait_finished(batch_id, done + 1, within_s=GOES_ON_WITHIN_S)
    assert nanos(raised["cost_usd"]) <= nanos("0.001")
    change(one_machine, f"/api/batches/{batch_id}", max_cost_usd=None)
    one_machine.wait(batch_id)


def test_a_projects_budget_pauses_its_batches_and_raising_it_lets_them_go_on_at_once(
    one_machine: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:20")
    spent = nanos(one_machine.http.get("/api/budget").json()["day"]["spent_usd"])
    change(one_machine, "/api/budget", daily_usd=format_usd(spent + nanos("0.001")))
    refs = [one_machine.submit(lines(200, max_tokens=40, prefix=name)) for name in ("a", "b")]
    paused = [
        one_machine.wait_until(
            ref, lambda batch: batch["state"] == "paused", 30.0, "the project's budget is used up"
        )
        for ref in refs
    ]

    assert all("a day is used up until 00:00 UTC" in batch["waiting_for"] for batch in paused)
    used = one_machine.http.get("/api/budget").json()
    assert spent + nanos("0.00098") < nanos(used["day"]["spent_usd"])
    assert nanos(used["day"]["spent_usd"]) <= nanos(used["daily_usd"])
    assert nanos(used["day"]["reserved_usd"]) == 0
    one_machine.act(refs[1], "pause")

    change(one_machine, "/api/budget", daily_usd=None)

    one_machine.wait_finished(refs[0], finished(paused[0]) + 1, within_s=GOES_ON_WITHIN_S)
    assert one_machine.wait(refs[0])["counts"]["succeeded"] == 200
    assert one_machine.batch(refs[1])["waiting_for"] == "paused by its owner"
    one_machine.act(refs[1], "cancel")


def test_a_budget_that_is_lowered_below_what_is_used_sends_nothing_more_and_shows_both(
    one_machine: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:300")
    batch_id = one_machine.submit(lines(MORE_JOBS, max_tokens=40), max_cost_usd="1")
    one_machine.wait_finished(batch_id, 20)

    change(one_machine, f"/api/batches/{batch_id}", max_cost_usd="0.00001")

    paused = one_machine.wait_until(
        batch_id,
        lambda batch: batch["state"] == "paused" and batch["counts"]["running"] == 0,
        20.0,
        "its calls in flight have ended",
    )
    requests = simulator.ledger()["requests"]
    assert finished(paused) == requests == simulator.ledger()["answered"] < MORE_JOBS
    assert nanos(paused["cost_usd"]) > nanos(paused["max_cost_usd"]) == nanos("0.00001")
    assert nanos(paused["reserved_usd"]) == 0

    change(one_machine, f"/api/batches/{batch_id}", max_cost_usd="1")

    simulator.faults(latency="constant:20")
    one_machine.wait_finished(batch_id, finished(paused) + 1, within_s=GOES_ON_WITHIN_S)
    assert one_machine.wait(batch_id)["counts"]["succeeded"] == MORE_JOBS


def change(system: System, path: str, **changes: str | None) -> None:
    reply = system.http.patch(path, json=changes)
    assert reply.status_code == 200, reply.text
