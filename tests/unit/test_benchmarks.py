"""What a benchmark sends, what it finds wrong with the accounts, and how it sums up."""

import json
from dataclasses import replace
from typing import Any

import pytest

from jobs.exchange import Message, ModelRequest
from scripts.benchmarks.arguments import parse_arguments
from scripts.benchmarks.bare_loop import BareRun
from scripts.benchmarks.cases import Case, Latency, Store
from scripts.benchmarks.correctness import Sums, judge, read_results
from scripts.benchmarks.figures import BatchRun, by_case, figures, typical
from scripts.benchmarks.report import growth
from scripts.benchmarks.submission import Accepted
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
from workers.protocols.openai import OpenAI

Lines = list[dict[str, Any]]


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
