"""API, worker and beat as processes of their own, as on many machines: PostgreSQL and a broker."""

from typing import TYPE_CHECKING

import pytest

from tests.e2e.judging import books_agree, each_answer_is_its_jobs, each_job_has_one_result
from tests.support.system import System, lines, running_system

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 1_000


@pytest.fixture(params=["redis", "rabbitmq"])
def addresses(request: pytest.FixtureRequest, postgres_url: str, redis_url: str) -> dict[str, str]:
    """The variables of a set-up with each kind of broker; the gate always needs a Redis."""
    if request.param == "redis":
        return {"TIDEMILL_DATABASE_URL": postgres_url, "TIDEMILL_BROKER_URL": redis_url}
    return {
        "TIDEMILL_DATABASE_URL": postgres_url,
        "TIDEMILL_BROKER_URL": request.getfixturevalue("rabbitmq_url"),
        "TIDEMILL_REDIS_URL": redis_url,
    }


def run_a_batch(system: System, simulator: "Simulator", jobs: int) -> None:
    batch_id = system.submit(lines(jobs))
    batch = system.wait(batch_id)
    assert batch["state"] == "completed"
    each_answer_is_its_jobs(each_job_has_one_result(system, batch_id, jobs))
    books_agree(system, batch, simulator)
    simulator.reset()


def test_parts_on_postgresql_with_each_broker_do_a_batch_to_the_last_nano_dollar(
    simulator: "Simulator", tmp_path: "Path", addresses: dict[str, str]
) -> None:
    with running_system(tmp_path / "parts", simulator.url, **addresses) as system:
        processes = [system.start_api(), system.start_beat(), system.start_worker("one")]
        run_a_batch(system, simulator, JOBS)
        processes.append(system.start_worker("two"))
        run_a_batch(system, simulator, JOBS)
        assert [process.exit_status for process in processes] == [None] * 4
