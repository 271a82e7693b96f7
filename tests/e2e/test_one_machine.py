"""`tidemill up` does the whole of the work: SQLite and the embedded Valkey, no other service."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from tests.e2e.judging import books_agree, each_answer_is_its_jobs, each_job_has_one_result, nanos
from tests.support.environment import scrubbed
from tests.support.system import ROOT, Json, System, finished, lines, ndjson

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 2_000


def tidemill(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = scrubbed(os.environ) | system.client_environment()
    return subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "scripts.command", *arguments],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=environment,
        text=True,
        timeout=90,
    )


def test_the_command_submits_a_file_watches_it_and_saves_an_answer_for_every_job(
    one_machine: System, simulator: "Simulator", tmp_path: Path
) -> None:
    before = one_machine.usage()["total"]
    jobs, answers = tmp_path / "jobs.jsonl", tmp_path / "answers.jsonl"
    jobs.write_bytes(ndjson(lines(JOBS)))

    done = tidemill(one_machine, "submit", str(jobs), "--watch", "-o", str(answers), "--json")

    assert done.returncode == 0, done.stderr
    batch = json.loads(done.stdout)
    assert batch["state"] == "completed"
    assert batch["counts"]["succeeded"] == JOBS
    saved = [orjson.loads(line) for line in answers.read_bytes().splitlines()]
    assert saved == each_job_has_one_result(one_machine, batch["id"], JOBS)
    each_answer_is_its_jobs(saved)
    books_agree(one_machine, batch, simulator)
    assert_usage_grew_by(before, one_machine.usage()["total"], simulator.ledger())


def test_what_the_command_says_as_json_of_a_bad_file_is_one_object_with_its_bad_line(
    one_machine: System, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"custom_id": "a1", "prompt": "x", "model": "sim-small", "max_tokens": 0}\n')
    refused = tidemill(one_machine, "submit", str(bad), "--json")
    assert (refused.returncode, refused.stdout) == (2, "")
    error = json.loads(refused.stderr)["error"]
    assert (error["code"], error["status"]) == ("invalid_jobs", 400)
    assert [(fault["line"], fault["field"]) for fault in error["faults"]] == [(1, "max_tokens")]


def test_a_watch_of_what_its_owner_paused_ends_with_6_and_says_how_it_goes_on(
    one_machine: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:200")
    batch_id = one_machine.submit(lines(JOBS))
    one_machine.act(batch_id, "pause")

    watched = tidemill(one_machine, "watch", batch_id)

    assert watched.returncode == 6, watched.stderr
    last = watched.stderr.splitlines()[-1]
    assert f"batch {batch_id} is paused: paused by its owner" in last
    assert f"`tidemill resume {batch_id}`" in last
    one_machine.act(batch_id, "cancel")
    one_machine.wait(batch_id)


def test_what_has_no_price_has_an_unknown_cost_everywhere(
    one_machine: System, simulator: "Simulator"
) -> None:
    del simulator
    batch_id = one_machine.submit(lines(3, model="sim-who-knows"))
    batch = one_machine.wait(batch_id)
    assert (batch["cost_usd"], batch["unpriced_jobs"]) == (None, 3)
    assert {row["cost_usd"] for row in one_machine.results(batch_id)} == {None}
    by_model = {row["model"]: row for row in one_machine.usage("model")["data"]}
    assert by_model["sim-who-knows"]["cost_usd"] is None
    assert "unknown" in tidemill(one_machine, "batches").stdout


def assert_usage_grew_by(before: Json, after: Json, ledger: Json) -> None:
    assert nanos(after["cost_usd"]) - nanos(before["cost_usd"]) == ledger["cost_nanos"]
    assert after["attempts"] - before["attempts"] == ledger["requests"] == ledger["answered"]
    assert after["output_tokens"] - before["output_tokens"] == ledger["tokens"]["output"]
    assert after["input_tokens"] - before["input_tokens"] == ledger["tokens"]["input"]


def test_results_can_be_read_along_by_their_cursor_without_a_gap_or_a_repeat(
    one_machine: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="uniform:50,50")
    batch_id = one_machine.submit(lines(JOBS))
    read: list[int] = []
    pages_while_it_ran = 0
    cursor = "0"
    while True:
        is_over = one_machine.batch(batch_id)["state"] == "completed"
        reply = one_machine.http.get(f"/api/batches/{batch_id}/results", params={"after": cursor})
        seqs = [orjson.loads(line)["seq"] for line in reply.content.splitlines()]
        assert int(reply.headers["x-next-cursor"]) == len(read) + len(seqs)
        read += seqs
        cursor = reply.headers["x-next-cursor"]
        pages_while_it_ran += bool(seqs) and not is_over
        if is_over:
            break

    assert sorted(read) == list(range(JOBS))
    assert pages_while_it_ran > 1
    assert read == [result["seq"] for result in one_machine.results(batch_id)]
    in_input_order = one_machine.results(batch_id, order="input", after="998", limit="3")
    assert [result["seq"] for result in in_input_order] == [999, 1000, 1001]


def test_a_batch_that_is_cancelled_while_it_runs_gives_every_job_one_result(
    one_machine: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:200")
    batch_id = one_machine.submit(lines(JOBS * 3))
    one_machine.wait_finished(batch_id, 100)

    assert one_machine.act(batch_id, "cancel")["state"] == "cancelling"
    batch = one_machine.wait(batch_id, 20.0)

    assert batch["state"] == "cancelled"
    results = each_job_has_one_result(one_machine, batch_id, JOBS * 3)
    answered = [result for result in results if result["status"] == "succeeded"]
    each_answer_is_its_jobs(answered)
    assert batch["counts"]["succeeded"] == len(answered) == simulator.ledger()["answered"]
    assert batch["counts"]["cancelled"] == JOBS * 3 - len(answered) > 0
    books_agree(one_machine, batch, simulator)


def test_a_paused_batch_sends_nothing_and_goes_on_when_resumed(
    one_machine: System, simulator: "Simulator"
) -> None:
    simulator.faults(latency="constant:200")
    batch_id = one_machine.submit(lines(JOBS * 3))
    one_machine.wait_finished(batch_id, 100)

    assert one_machine.act(batch_id, "pause")["state"] == "paused"
    still = one_machine.wait_until(
        batch_id, lambda batch: batch["counts"]["running"] == 0, 10.0, "calls in flight have ended"
    )
    sent = simulator.ledger()["requests"]
    other_id = one_machine.submit(lines(200, prefix="other"))
    assert one_machine.wait(other_id)["state"] == "completed"  # the worker is idle, not stuck
    assert simulator.ledger()["requests"] == sent + 200
    assert finished(one_machine.batch(batch_id)) == finished(still) == sent < JOBS * 3

    one_machine.act(batch_id, "resume")
    batch = one_machine.wait(batch_id)

    assert batch["state"] == "completed"
    each_answer_is_its_jobs(each_job_has_one_result(one_machine, batch_id, JOBS * 3))
    assert simulator.ledger()["answered_more_than_once"]["count"] == 0
