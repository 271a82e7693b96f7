"""Every process ends at the same moment, and comes back in some order: nobody has to do anything."""

import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.judging import books_agree, each_answer_is_its_jobs, each_job_has_one_result
from tests.support.redis_servers import OwnRedis
from tests.support.system import finished, lines, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 1_000
MOST_IN_FLIGHT = 60


@pytest.mark.parametrize("seed", [1, 2])
def test_after_a_power_cut_every_batch_ends_whatever_comes_back_first(
    simulator: "Simulator", own_redis: OwnRedis, database_url: str, tmp_path: Path, seed: int
) -> None:
    simulator.faults(latency="uniform:200,50")
    with running_system(
        tmp_path / "parts",
        simulator.url,
        TIDEMILL_DATABASE_URL=database_url,
        TIDEMILL_BROKER_URL=own_redis.url,
        TIDEMILL_MAX_IN_FLIGHT=str(MOST_IN_FLIGHT),
    ) as system:
        system.start_api()
        system.start_beat()
        for number in range(2):
            system.start_worker(f"worker-{number}")
        batch_id = system.submit(lines(JOBS))
        system.wait_finished(batch_id, 100)

        for process in (own_redis.process, *system.processes):
            process.kill(signal.SIGKILL)
        for process in (own_redis.process, *system.processes):
            process.wait_ended()

        parts: dict[str, Callable[[], object]] = {
            "redis": own_redis.start,
            "api": lambda: system.start("api", "--port", str(system.port)),
            "beat": system.start_beat,
            "worker-2": lambda: system.start("worker", "--name", "worker-2"),
            "worker-3": lambda: system.start("worker", "--name", "worker-3"),
        }
        for name in random.Random(seed).sample(sorted(parts), len(parts)):  # noqa: S311 - an order
            parts[name]()
        (api,) = (one for one in system.processes[4:] if one.name.startswith("api"))
        api.wait_ready(f"{system.url}/readyz", 40.0)
        assert finished(system.batch(batch_id)) < JOBS
        batch = system.wait(batch_id)

        assert all(process.exit_status is None for process in system.processes[4:])
        each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, JOBS))
        assert batch["unknown_attempts"] <= 4 * MOST_IN_FLIGHT
        books_agree(system, batch, simulator)
