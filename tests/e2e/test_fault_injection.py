"""`scripts/chaos` with faults of some kinds. All of them, on each database, are steps of `.ci/run`."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from scripts.benchmarks.system import HOMES
from scripts.fault_injection.kinds import Kind
from tests.support.eventually import eventually
from tests.support.processes import ProcessUnderTest
from tests.support.services import StartProcess
from tests.support.system import family, is_gone

ROOT = Path(__file__).parents[2]
WITHIN_S = 170.0
SHORT = ("--jobs", "800", "--minutes", "0.4", "--every", "1.2")

pytestmark = pytest.mark.timeout(200)


def chaos(start_process: StartProcess, *arguments: str) -> ProcessUnderTest:
    argv = [sys.executable, "-m", "scripts.fault_injection", *arguments]
    return start_process(argv, name="chaos", cwd=ROOT)


def run_of(start_process: StartProcess, folder: Path, *arguments: str) -> dict[str, Any]:
    """Return the figures of a run that broke no promise."""
    figures = folder / "figures.json"
    process = chaos(start_process, *arguments, "--json", str(figures))
    assert process.wait_ended(WITHIN_S) == 0, process.tail()
    run: dict[str, Any] = json.loads(figures.read_text(encoding="utf-8"))
    assert run["findings"] == []
    return run


def strikes(run: dict[str, Any]) -> list[dict[str, Any]]:
    return [aftermath["strike"] for aftermath in run["aftermaths"]]


@pytest.mark.usefixtures("rabbitmq_url")  # for whether there is a server: the run has its own host
def test_rabbitmq_is_lost_for_a_while_and_emptied(
    start_process: StartProcess, tmp_path: Path
) -> None:
    run = run_of(
        start_process,
        tmp_path,
        *("--jobs", "800", "--minutes", "0.2", "--every", "1.5"),
        *("--store", "postgres", "--broker", "rabbitmq", "--faults", "broker,flush,kill-worker"),
    )
    assert run["verdict"]["accepted"] == run["verdict"]["finished"] == 800
    flushes = [strike["what"] for strike in strikes(run) if strike["kind"] == Kind.FLUSH]
    assert all(what.endswith("messages") for what in flushes)
    assert len(flushes) > 0


def test_a_full_disk_ends_no_process_and_no_promise(
    start_process: StartProcess, tmp_path: Path
) -> None:
    run = run_of(
        start_process,
        tmp_path,
        *("--jobs", "400", "--minutes", "0.2", "--every", "5", "--faults", "disk-full"),
    )
    assert run["verdict"]["finished"] == 400
    assert run["ends"] == []


def test_a_budget_holds_while_workers_die_and_redis_forgets(
    start_process: StartProcess, tmp_path: Path
) -> None:
    run = run_of(
        start_process,
        tmp_path,
        *("--jobs", "800", "--minutes", "0.2", "--every", "1.5"),
        *("--faults", "kill-worker,kill-all,flush", "--max-cost-usd", "0.02"),
    )
    verdict = run["verdict"]
    assert verdict["overrun_nanos"] == verdict["reserved_left_nanos"] == 0
    assert 0 < verdict["finished"] < verdict["accepted"]
    assert 0 < verdict["cost_nanos"] <= 20_000_000


def words_of(part: psutil.Process) -> list[str]:
    try:
        return part.cmdline()
    except psutil.Error:  # such as `initdb` starts and ends
        return []


def test_an_interrupted_run_leaves_nothing_behind(start_process: StartProcess) -> None:
    process = chaos(start_process, *SHORT, "--store", "postgres")

    def running_parts() -> list[psutil.Process]:
        parts = family(process.pid)
        return parts if any("worker" in words_of(part) for part in parts) else []

    parts = eventually(running_parts, 60.0, "a worker runs")
    (one, *_) = (part for part in parts if "worker" in words_of(part))
    home = Path(one.environ()["TIDEMILL_HOME"])
    server = next(words for part in parts if "-D" in (words := words_of(part)))
    cluster = Path(server[server.index("-D") + 1])
    assert home.is_relative_to(ROOT / HOMES)
    assert cluster.exists()
    process.kill(signal.SIGTERM)
    assert process.wait_ended(60.0) == 1
    assert not home.exists()
    assert not cluster.parent.exists()
    eventually(lambda: all(map(is_gone, parts)), what="every part has ended")
    shared = Path("/dev/shm")  # noqa: S108 - the library's choice, looked at only
    assert not [path for part in parts for path in shared.glob(f"*faketime*_{part.pid}")]
