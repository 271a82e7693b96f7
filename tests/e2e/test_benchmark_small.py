import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs.exchange import Message, ModelRequest
from scripts.benchmarks.arguments import parse_arguments
from scripts.benchmarks.bare_loop import BareRun
from scripts.benchmarks.cases import Case, Latency, Store
from scripts.benchmarks.correctness import Sums, judge, read_results
from scripts.benchmarks.figures import BatchRun, by_case, figures, typical
from scripts.benchmarks.report import growth
from scripts.benchmarks.submission import Accepted
from scripts.benchmarks.system import HOMES
from scripts.benchmarks.workload import (
    LINE_BYTES,
    MAX_TOKENS,
    MODEL,
    blocks,
    job_id,
    line,
    mark,
    request_body,
)
from tests.support.eventually import eventually
from tests.support.processes import ProcessUnderTest
from tests.support.services import StartProcess
from workers.protocols.openai import OpenAI

ROOT = Path(__file__).parents[2]
WITHIN_S = 100.0

Lines = list[dict[str, Any]]


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
    eventually(lambda: not any(map(lives, parts)), 10.0, "every part has ended")


def test_a_store_that_is_not_there_is_skipped_in_words(start_process: StartProcess) -> None:
    url = "postgresql://postgres:secret@127.0.0.1:1/postgres"
    process = bench(start_process, "--stores", "postgres", "--postgres-url", url)
    assert process.wait_ended(30.0) == 1
    assert "skipping postgres: no PostgreSQL at 127.0.0.1:1" in process.log()
    assert "secret" not in process.log()


def test_the_bare_loop_sends_what_a_worker_sends() -> None:
    job = json.loads(line(7))
    request = ModelRequest((Message("user", job["prompt"]),), job["max_tokens"])
    wire = OpenAI("http://127.0.0.1/v1").request(request, job["model"], None)
    assert wire.body == request_body(7)
    assert (job["model"], job["max_tokens"]) == (MODEL, MAX_TOKENS)


def test_a_submission_is_as_long_as_it_says() -> None:
    body = b"".join(blocks(1001))
    assert len(body) == 1001 * LINE_BYTES
    ids = [json.loads(raw)["custom_id"] for raw in body.splitlines()]
    assert ids == [job_id(number) for number in range(1001)]


def result(number: int, **changes: Any) -> dict[str, Any]:
    custom_id = job_id(number)
    good = {
        "custom_id": custom_id,
        "status": "succeeded",
        "output": f"{mark(custom_id)} an answer",
        "attempts": 1,
        "usage": {"input_tokens": 5, "cached_input_tokens": 2, "output_tokens": 3},
        "cost_usd": "0.000000010",
    }
    return good | changes


def lines_of(results: Lines) -> list[bytes]:
    return [json.dumps(row).encode() for row in results]


def test_good_results_are_added_up() -> None:
    read = read_results(lines_of([result(1), result(0)]), 2)
    assert read.sums == Sums(calls=2, input_tokens=14, output_tokens=6, cost_nanos=20)
    assert read.findings == ()


@pytest.mark.parametrize(
    ("results", "finding"),
    [
        ([result(0)], "1 jobs without a result: 1"),
        ([result(0), result(1), result(1)], "1 jobs with several results: 1"),
        ([result(0), result(1, output=mark(job_id(0)))], "1 answers to another job: job-0000001"),
        ([result(0), result(1, status="failed")], "1 jobs that did not succeed: job-0000001"),
        (
            [result(0), result(1), result(2)],
            "1 results of unknown jobs: job-0000002",
        ),
    ],
)
def test_bad_results_are_found(results: Lines, finding: str) -> None:
    assert read_results(lines_of(results), 2).findings == (finding,)


SUMMARY = {
    "requests": 2,
    "answered": 2,
    "job_ids_answered": 2,
    "tokens": {"input": 14, "output": 6},
    "cost_nanos": 20,
}
RIGHT = Sums(calls=2, input_tokens=14, output_tokens=6, cost_nanos=20)


def test_equal_accounts_are_right() -> None:
    assert judge(SUMMARY, 2, {"results": RIGHT, "ledger": RIGHT}) == []


@pytest.mark.parametrize("field", ["calls", "input_tokens", "output_tokens", "cost_nanos"])
def test_an_account_that_is_one_off_is_named(field: str) -> None:
    wrong = replace(RIGHT, **{field: getattr(RIGHT, field) + 1})
    (finding,) = judge(SUMMARY, 2, {"results": RIGHT, "ledger": wrong})
    assert finding.startswith("ledger: ")


def test_a_call_too_many_is_found_however_the_sums_agree() -> None:
    (finding,) = judge({**SUMMARY, "requests": 3}, 2, {"results": RIGHT})
    assert finding == "the provider counts 3 requests for 2 jobs"


def test_sums_without_money_prove_nothing() -> None:
    free = {**SUMMARY, "cost_nanos": 0}
    (finding,) = judge(free, 2, {"results": replace(RIGHT, cost_nanos=0)})
    assert "no sum of money was compared" in finding


CASE = Case(Store.SQLITE, Latency.ZERO, workers=2, jobs=1000, in_flight=10)
RUN = BatchRun(
    accepted=Accepted("bat_1", took_s=0.1, accepted_at=0.0),
    run_s=2.0,
    wall_s=2.5,
    cpu_s={"api": 0.1, "worker-1": 0.3, "worker-2": 0.2, "beat": 0.0},
    peak_bytes={"api": 9, "worker-1": 20, "worker-2": 30, "beat": 7},
    submission_peak_bytes={"api": 8, "worker-1": 10, "worker-2": 10, "beat": 7},
    max_in_flight=10,
    findings=(),
)
BARE = (BareRun(took_s=1.0, cpu_s=0.1, output_tokens=1), BareRun(1.5, 0.3, 1))


def test_figures_are_per_job_and_against_the_loops_on_both_sides() -> None:
    run = figures(CASE, RUN, BARE)
    assert run.submission_lines_s == pytest.approx(10_000)
    assert (run.jobs_s, run.wall_jobs_s, run.bare_jobs_s) == (500.0, 400.0, 800.0)
    assert run.ratio == 0.625
    assert run.cpu_us == pytest.approx(600)
    assert run.worker_cpu_us == pytest.approx(500)
    assert run.bare_cpu_us == pytest.approx(200)
    assert (run.api_submission_bytes, run.api_bytes, run.worker_bytes) == (8, 9, 30)


def test_several_runs_are_shown_by_the_one_in_the_middle() -> None:
    runs = [figures(CASE, replace(RUN, run_s=seconds), BARE) for seconds in (4.0, 1.0, 2.0)]
    (same,) = by_case(runs).values()
    assert typical(same).jobs_s == 500.0


def test_growth_is_told_between_sizes_of_one_kind() -> None:
    small = figures(CASE, RUN, BARE)
    large = replace(small, case=replace(CASE, jobs=10_000), cpu_us=small.cpu_us * 1.5)
    other = replace(small, case=replace(CASE, store=Store.POSTGRES, jobs=10_000))
    (sentence,) = growth([other, large, small])
    assert "10,000 against 1,000: CPU ×1.50" in sentence


@pytest.mark.parametrize(
    "argv", [["--jobs", "0"], ["--jobs", "many"], ["--latency", "slow"], ["--stores", "oracle"]]
)
def test_what_cannot_be_measured_is_refused(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(argv)
    assert argv[0] in capsys.readouterr().err


def test_the_small_benchmark_is_the_given_one_where_something_is_given() -> None:
    plan = parse_arguments(["--small", "--stores", "sqlite", "--repeat", "3"]).plan
    assert [case.jobs for case in plan.cases(plan.stores)] == [2000, 2000, 2000]
    assert {case.store for case in plan.cases(plan.stores)} == {Store.SQLITE}
