"""Parts whose log is on a disk that is full: they begin, work and end as ever, and say what is missing."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.eventually import eventually
from tests.support.processes import ProcessUnderTest
from tests.support.system import READY_WITHIN_S, family, is_gone, lines, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

pytestmark = pytest.mark.skipif(not psutil.LINUX, reason="only Linux limits other processes")


def files_can_grow(part: ProcessUnderTest, can: bool) -> None:
    process = psutil.Process(part.pid)
    _soft, hard = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (hard if can else 0, hard))


def test_parts_that_begin_on_a_full_disk_work_and_their_logs_go_on_when_there_is_room(
    postgres_url: str, redis_url: str, simulator: "Simulator", tmp_path: Path
) -> None:
    variables = {"TIDEMILL_DATABASE_URL": postgres_url, "TIDEMILL_BROKER_URL": redis_url}
    with running_system(tmp_path / "parts", simulator.url, **variables) as system:
        system.start_api().kill()  # made the tables and the key
        parts = [system.start("api", "--port", str(system.port))]
        parts += [system.start("worker"), system.start("beat")]
        for part in parts:
            files_can_grow(part, False)
        parts[0].wait_ready(f"{system.url}/readyz", READY_WITHIN_S)
        assert system.wait(system.submit(lines(10)))["counts"]["succeeded"] == 10
        assert [part.exit_status for part in parts] == [None] * 3
        for part in parts:
            files_can_grow(part, True)
        assert system.wait(system.submit(lines(10)))["counts"]["succeeded"] == 10
        eventually(
            lambda: all("lines were lost: the disk was full" in part.log() for part in parts),
            what="every log says what it lacks",
        )


def test_a_worker_that_is_asked_to_go_on_a_full_disk_drains(
    postgres_url: str, redis_url: str, simulator: "Simulator", tmp_path: Path
) -> None:
    variables = {"TIDEMILL_DATABASE_URL": postgres_url, "TIDEMILL_BROKER_URL": redis_url}
    simulator.faults(latency="constant:1500")
    with running_system(tmp_path / "parts", simulator.url, **variables) as system:
        system.start_api()
        worker = system.start_worker()
        batch_id = system.submit(lines(5))
        eventually(lambda: simulator.ledger()["in_flight"] == 5, what="all calls are in flight")
        files_can_grow(worker, False)
        worker.kill(signal.SIGTERM)
        assert worker.wait_ended(30.0) == 0
        assert system.batch(batch_id)["counts"]["succeeded"] == 5


def test_the_launcher_goes_on_when_it_can_not_say_what_it_does(
    simulator: "Simulator", tmp_path: Path
) -> None:
    with running_system(tmp_path / "parts", simulator.url) as system:
        up = system.start_up()

        def beat() -> psutil.Process | None:
            alive = [one for one in family(up.pid) if not is_gone(one)]
            return next((one for one in alive if "beat" in one.cmdline()), None)

        first = beat()
        assert first is not None
        files_can_grow(up, False)
        first.kill()
        eventually(lambda: (again := beat()) and again.pid != first.pid, what="beat runs again")
        assert up.exit_status is None
        files_can_grow(up, True)
        up.kill(signal.SIGTERM)
        assert up.wait_ended(60.0) == 0
        assert "lines were lost: the disk was full" in up.log()
