"""A batch's budget holds to the nano-dollar, also when calls are lost and charged at their worst."""

from typing import TYPE_CHECKING

from tests.e2e.judging import attempts_of, nanos
from tests.support.system import System, lines

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 2_000
BUDGET_USD = "0.005"
"""Enough for about a third of the jobs."""


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
