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
    system.config.write_text(
        f"""
        [providers.anthropic]
        protocol = "anthropic"
        models = ["{MODEL}"]
        base_url = "{simulator.url}{PATHS["anthropic"]}"

        [[providers.anthropic.pools]]
        name = "main"
        limits = {{ rps = 2000 }}  # of a pool whose limits are known calls leave at once

        [prices."anthropic/{MODEL}"]
        input = "1.00"
        output = "4.00"
        cached_input = "0.10"
        cache_write = "1.25"
        """,
        encoding="utf-8",
    )


def run(system: System, simulator: "Simulator", **query: str) -> Json:
    """Run the jobs to their end, hold both accounts beside each other, and return the batch."""
    simulator.reset()
    simulator.faults(latency=f"constant:{LATENCY_MS}")
    batch_id = system.submit(lines(JOBS, MODEL), system=SYSTEM, max_tokens="30", **query)
    batch = system.wait(batch_id)
    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
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
    caching_simulator: "Simulator", tmp_path: Path
) -> None:
    with running_system(tmp_path / "one", caching_simulator.url) as system:
        configured(system, caching_simulator)
        system.start_up()
        batch = run(system, caching_simulator)

        assert writes(caching_simulator) == 1
        assert batch["usage"]["cache_write_tokens"] == SYSTEM_TOKENS
        assert batch["usage"]["cached_input_tokens"] == (JOBS - 1) * SYSTEM_TOKENS
        saved = (JOBS - 1) * SYSTEM_TOKENS * (IN - CACHED) - SYSTEM_TOKENS * (WRITE - IN)
        assert nanos(batch["cache_saved_usd"]) == saved
        assert nanos(system.usage()["total"]["cache_saved_usd"]) == saved


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
        run(system, caching_simulator)
        assert writes(caching_simulator) == 1
