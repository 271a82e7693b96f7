"""Jobs with a long system text in common: one call writes its cache, the others read it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.judging import books_agree, each_answer_is_its_jobs, each_job_has_one_result, nanos
from tests.support.system import PATHS, Json, System, lines, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 300
MODEL = "sim-cached"
LATENCY_MS = 300
"""Long enough for a hundred calls to leave before the first is answered."""

SYSTEM = "You write about numbers. Be brief, be right, and never repeat yourself. " * 80
SYSTEM_TOKENS = len(SYSTEM) // 4

IN, OUT, CACHED, WRITE = 1000, 4000, 100, 1250
"""Nano-dollars of a token."""


@pytest.fixture(scope="module")
def caching_simulator() -> Iterator["Simulator"]:
    from tests.support.simulator import running_simulator  # noqa: PLC0415  (as the fixtures do)

    price = f"{MODEL}=1.00/4.00/0.10/1.25"
    with running_simulator("--prompt-caches", "--price", price) as running:
        yield running


def configured(system: System, simulator: "Simulator") -> None:
    """Write a configuration with the prices of caches, and with limits: within them calls leave at once."""
    sections = [
        f"""
        [providers.{name}]
        protocol = "{name}"
        models = {[MODEL] if name == "anthropic" else []}
        base_url = "{simulator.url}{path}"

        [[providers.{name}.pools]]
        name = "main"
        limits = {{ rps = 2000 }}

        [prices."{name}/{MODEL}"]
        input = "1.00"
        output = "4.00"
        cached_input = "0.10"
        cache_write = "1.25"
        """
        for name, path in PATHS.items()
    ]
    system.config.write_text("".join(sections), encoding="utf-8")


@pytest.fixture(scope="module")
def caching_system(
    caching_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """One machine, with a worker and SQLite."""
    folder = tmp_path_factory.mktemp("caching")
    with running_system(folder, caching_simulator.url) as system:
        configured(system, caching_simulator)
        system.start_up()
        yield system


def run(system: System, simulator: "Simulator", jobs: list[Json], text: str = SYSTEM) -> Json:
    """Run the jobs to their end, hold both accounts beside each other, and return the batch."""
    simulator.reset()
    simulator.faults(latency=f"constant:{LATENCY_MS}")
    batch = system.wait(system.submit(jobs, system=text, max_tokens="30"))
    each_answer_is_its_jobs(each_job_has_one_result(system, batch["id"], len(jobs)))
    books_agree(system, batch, simulator)
    saved_as_the_lists_say(batch)
    return batch


def saved_as_the_lists_say(batch: Json) -> None:
    """What was saved is what all tokens cost by the list, less what was paid."""
    usage = batch["usage"]
    into = usage["input_tokens"] + usage["cached_input_tokens"] + usage["cache_write_tokens"]
    listed = into * IN + usage["output_tokens"] * OUT
    assert nanos(batch["cache_saved_usd"]) == listed - nanos(batch["cost_usd"])


def writes(simulator: "Simulator") -> int:
    return sum(row["cache_write_tokens"] > 0 for row in simulator.rows())


def test_one_call_writes_the_cache_and_all_the_others_read_it(
    caching_system: System, caching_simulator: "Simulator"
) -> None:
    batch = run(caching_system, caching_simulator, list(lines(JOBS, MODEL)))

    assert writes(caching_simulator) == 1
    assert batch["usage"]["cache_write_tokens"] == SYSTEM_TOKENS
    assert batch["usage"]["cached_input_tokens"] == (JOBS - 1) * SYSTEM_TOKENS
    saved = (JOBS - 1) * SYSTEM_TOKENS * (IN - CACHED) - SYSTEM_TOKENS * (WRITE - IN)
    assert nanos(batch["cache_saved_usd"]) == saved
    assert nanos(caching_system.usage("provider")["total"]["cache_saved_usd"]) == saved


def test_of_each_provider_one_call_pays_in_full(
    caching_system: System, caching_simulator: "Simulator"
) -> None:
    each = 40
    jobs = [job for name in PATHS for job in lines(each, f"{name}/{MODEL}", prefix=name)]
    run(caching_system, caching_simulator, jobs, text=SYSTEM * 4)

    rows = caching_simulator.rows()
    cached = {
        name: [r["cached_tokens"] > 0 for r in rows if r["protocol"] == name] for name in PATHS
    }
    assert cached == {name: [False, *[True] * (each - 1)] for name in PATHS}


def test_two_workers_have_it_written_once(
    caching_simulator: "Simulator", tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    with running_system(
        tmp_path / "two",
        caching_simulator.url,
        TIDEMILL_DATABASE_URL=postgres_url,
        TIDEMILL_BROKER_URL=redis_url,
    ) as system:
        configured(system, caching_simulator)
        system.start_api()
        system.start_beat()
        for number in range(2):
            system.start_worker(f"worker-{number}", slots=2)
        run(system, caching_simulator, list(lines(JOBS, MODEL)))
        assert writes(caching_simulator) == 1
