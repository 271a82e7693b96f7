"""`scripts/bench` in its small form: each measurement by the whole system, once."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import psutil

from scripts.benchmarks.cases import Store
from scripts.benchmarks.system import HOMES
from tests.support.eventually import eventually
from tests.support.processes import ProcessUnderTest
from tests.support.services import StartProcess

ROOT = Path(__file__).parents[2]
WITHIN_S = 100.0


def bench(start_process: StartProcess, *arguments: str) -> ProcessUnderTest:
    """Start the small benchmark."""
    argv = [sys.executable, "-m", "scripts.benchmarks", "--small", *arguments]
    return start_process(argv, name="bench", cwd=ROOT)


def runs_of(start_process: StartProcess, folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run the small benchmark to its end, and return its runs."""
    figures_file = folder / "figures.json"
    process = bench(start_process, "--json", str(figures_file), *arguments)
    assert process.wait_ended(WITHIN_S) == 0, process.tail()
    runs: list[dict[str, Any]] = json.loads(figures_file.read_text(encoding="utf-8"))["runs"]
    return runs


def test_a_limit_is_kept_without_one_refusal(start_process: StartProcess, tmp_path: Path) -> None:
    (run,) = runs_of(start_process, tmp_path, "pacing")
    assert run["refused"] == 0
    assert run["share"] > 0
    assert run["admitted"] > 0


def test_an_outage_fails_no_job_and_counts_no_attempt(
    start_process: StartProcess, tmp_path: Path
) -> None:
    (run,) = runs_of(start_process, tmp_path, "trouble")
    assert (run["findings"], run["counted"]) == ([], 0)
    assert "server_failed" in run["said"]
    assert run["rate_before"] > 0
    assert run["back_s"] is not None


def test_a_budget_is_used_and_not_overrun(start_process: StartProcess, tmp_path: Path) -> None:
    (run,) = runs_of(start_process, tmp_path, "budget")
    for spending in (run["first"], run["second"]):
        cap = spending["cap_nanos"]
        assert 0.98 * cap < spending["spent_nanos"] <= cap
        assert spending["billed_nanos"] <= spending["spent_nanos"]
        assert spending["most_committed_nanos"] <= cap
        assert spending["flushes"] > 0
        assert "is used up" in spending["paused_for"]
    assert run["resumed_s"] <= 2.0


def test_jobs_of_a_native_batch_that_is_stuck_are_there_in_time(
    start_process: StartProcess, tmp_path: Path
) -> None:
    (run,) = runs_of(start_process, tmp_path, "lanes")
    seen = run["judgement"]
    assert (seen["findings"], seen["twice"], seen["unknown"]) == ([], 0, 0)
    assert (seen["in_batches"], seen["rescued"]) == (450, 50)
    assert seen["spare_s"] > 0
    assert seen["paid_nanos"] < 0.6 * seen["list_nanos"]


def test_every_line_of_a_large_file_gets_its_own_answer(
    start_process: StartProcess, tmp_path: Path
) -> None:
    (run,) = runs_of(start_process, tmp_path, "files")
    assert run["findings"] == []
    assert run["download"]["lines"] == run["jobs"]
    assert set(run["peak_bytes"]) == {"upload", "validation", "run", "download"}
    assert all(peak > 0 for stage in run["peak_bytes"].values() for peak in stage.values())


def test_no_lie_passes_and_no_honest_answer_is_refused(
    start_process: StartProcess, tmp_path: Path
) -> None:
    (run,) = runs_of(start_process, tmp_path, "answers")
    judged = run["judgement"]
    assert (run["findings"], judged["examples"], judged["refusals"]) == ([], [], [])
    assert judged["succeeded"] >= 0.97 * judged["jobs"]
    lies = {lie: tally for lie, tally in judged["tallies"].items() if lie}
    assert len(lies) >= 14
    assert sum(tally["calls"] for tally in lies.values()) > 150
    for way in ("repaired", "asked_again", "given_room", "escalated"):
        assert sum(tally[way] for tally in lies.values()) > 0, way


def check(runs: list[dict[str, Any]], store: Store) -> None:
    (run,) = runs
    assert run["case"]["store"] == store
    assert run["findings"] == []
    for name in ("submission_lines_s", "jobs_s", "bare_jobs_s", "cpu_us", "worker_bytes"):
        assert run[name] > 0, name


def test_the_whole_system_is_measured_on_sqlite(
    start_process: StartProcess, tmp_path: Path
) -> None:
    check(runs_of(start_process, tmp_path, "--stores", "sqlite"), Store.SQLITE)


def test_the_whole_system_is_measured_on_postgresql(
    start_process: StartProcess, tmp_path: Path, postgres_server: str, redis_server: str
) -> None:
    addresses = ("--postgres-url", postgres_server, "--redis-url", redis_server)
    runs = runs_of(start_process, tmp_path, "--stores", "postgres", *addresses)
    check(runs, Store.POSTGRES)


def lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_an_interrupted_benchmark_leaves_nothing_behind(start_process: StartProcess) -> None:
    process = bench(start_process, "--stores", "sqlite")
    itself = psutil.Process(process.pid)

    def running_parts() -> list[psutil.Process]:
        children = itself.children(recursive=True)
        return children if any("worker" in child.cmdline() for child in children) else []

    parts = eventually(running_parts, 60.0, "a worker of the measured system runs")
    (worker,) = (part for part in parts if "worker" in part.cmdline())
    home = Path(worker.environ()["TIDEMILL_HOME"])
    assert home.is_relative_to(ROOT / HOMES)
    process.kill(signal.SIGTERM)
    assert process.wait_ended(60.0) == 1
    assert not home.exists()
    # One that was being started is ended by the kernel, when it sees its parent gone.
    eventually(lambda: not any(map(lives, parts)), what="every part has ended")


def test_a_store_that_is_not_there_is_skipped_in_words(start_process: StartProcess) -> None:
    url = "postgresql://postgres:secret@127.0.0.1:1/postgres"
    process = bench(start_process, "--stores", "postgres", "--postgres-url", url)
    assert process.wait_ended(30.0) == 1
    assert "skipping postgres: no PostgreSQL at 127.0.0.1:1" in process.log()
    assert "secret" not in process.log()
