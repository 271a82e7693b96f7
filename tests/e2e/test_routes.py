"""A batch on a route: who answers while the first target is away, and after it is back."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.e2e.judging import books_agree, each_answer_is_its_jobs, each_job_has_one_result
from tests.support.system import LARGE, SMALL, Json, System, lines, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 300
ROUTES = f"""
[routes.either]
targets = ["openai/{LARGE}", "anthropic/{SMALL}"]
[routes.shared]
targets = ["openai/{LARGE}", "anthropic/{SMALL}"]
weights = [3, 1]
"""
OUTAGE_S = 8.0
"""Longer than a job waits at the gate: so the next target is taken."""


@pytest.fixture(scope="module")
def system(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """One machine with two providers, each with a protocol of its own."""
    folder = tmp_path_factory.mktemp("routes")
    with running_system(folder, shared_simulator.url, ("openai", "anthropic")) as system:
        with system.config.open("a", encoding="utf-8") as configuration:
            configuration.write(ROUTES)
        system.start_up()
        yield system


def who_answered(results: list[Json]) -> Counter[tuple[str, str, str]]:
    return Counter((each["provider"], each["pool"], each["model"]) for each in results)


def test_the_next_target_answers_while_the_first_is_away_and_then_the_first_again(
    system: System, simulator: "Simulator"
) -> None:
    simulator.faults({"kind": "529", "model": LARGE, "wait_s": OUTAGE_S})
    batch_id = system.submit(lines(JOBS, "either"))
    batch = system.wait(batch_id)

    results = each_job_has_one_result(system, batch_id, JOBS)
    each_answer_is_its_jobs(results)
    assert who_answered(results) == {("anthropic", "main", SMALL): JOBS}
    books_agree(system, batch, simulator)

    simulator.faults()

    def is_back() -> bool:
        some = system.submit(lines(10, "either"))
        system.wait(some)
        return ("openai", "main", LARGE) in who_answered(system.results(some))

    system.wait_until(batch_id, lambda _: is_back(), 3 * OUTAGE_S, "the first target answers")
    simulator.reset()
    batch_id = system.submit(lines(JOBS, "either"))
    batch = system.wait(batch_id)
    results = each_job_has_one_result(system, batch_id, JOBS)
    assert who_answered(results) == {("openai", "main", LARGE): JOBS}
    books_agree(system, batch, simulator)


def test_first_targets_are_shared_by_weight(system: System, simulator: "Simulator") -> None:
    batch_id = system.submit(lines(JOBS, "shared"))
    batch = system.wait(batch_id)

    results = each_job_has_one_result(system, batch_id, JOBS)
    each_answer_is_its_jobs(results)
    answered = who_answered(results)
    assert abs(answered["openai", "main", LARGE] - JOBS * 3 / 4) <= JOBS / 50
    assert sum(answered.values()) == JOBS
    books_agree(system, batch, simulator)
