"""Parts that are started while their database is away: one line each, and they go on when it is there."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.eventually import eventually
from tests.support.own_postgres import OwnPostgres
from tests.support.processes import ProcessUnderTest
from tests.support.system import READY_WITHIN_S, lines, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

SAYS_WITHIN_S = 30.0


def waits(part: ProcessUnderTest) -> bool:
    """Whether a part has said that it waits, and for what; it must be alive."""
    assert part.exit_status is None, part.tail()
    return "waiting to begin: the database can't be used now" in part.log()


def test_parts_that_are_started_before_the_database_wait_for_it_and_then_do_their_work(
    own_postgres: OwnPostgres, redis_url: str, simulator: "Simulator", tmp_path: Path
) -> None:
    variables = {"TIDEMILL_DATABASE_URL": own_postgres.url, "TIDEMILL_BROKER_URL": redis_url}
    with running_system(tmp_path / "parts", simulator.url, **variables) as system:
        system.start_api().kill()  # made the tables and the key
        own_postgres.stop()
        api = system.start("api", "--port", str(system.port))
        parts = [api, system.start("worker"), system.start("beat")]
        eventually(lambda: all(map(waits, parts)), SAYS_WITHIN_S, "every part waits")
        own_postgres.start()
        api.wait_ready(f"{system.url}/readyz", READY_WITHIN_S)
        batch_id = system.submit(lines(10))
        assert system.wait(batch_id)["counts"]["succeeded"] == 10
        assert [part.exit_status for part in parts] == [None] * 3


def test_who_waits_for_the_database_can_be_asked_to_go(
    own_postgres: OwnPostgres, redis_url: str, simulator: "Simulator", tmp_path: Path
) -> None:
    missing = f"{own_postgres.url.removesuffix('postgres')}never-made"
    variables = {"TIDEMILL_DATABASE_URL": missing, "TIDEMILL_BROKER_URL": redis_url}
    with running_system(tmp_path / "parts", simulator.url, **variables) as system:
        worker = system.start("worker")
        eventually(lambda: waits(worker), SAYS_WITHIN_S, "it waits")
        assert 'database "never-made" does not exist' in worker.log()
        worker.kill(signal.SIGTERM)
        assert worker.wait_ended() == -signal.SIGTERM
