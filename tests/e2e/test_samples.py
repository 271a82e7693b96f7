"""Quoted first, then sampled, then run: what all of it really cost lies in what was foretold."""

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.support.environment import scrubbed
from tests.support.system import ROOT, Json, System, lines, ndjson, running_system

if TYPE_CHECKING:
    from tests.support.simulator import Simulator

pytest_plugins = ("tests.support.simulator",)

JOBS = 300


@pytest.fixture(scope="module")
def mill(
    shared_simulator: "Simulator", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Everything on one machine, with its pace limited so that a time can be told."""
    with running_system(tmp_path_factory.mktemp("samples"), shared_simulator.url) as system:
        with system.config.open("a", encoding="utf-8") as file:
            file.write("\n[[providers.openai.pools]]\nlimits = { rpm = 30_000 }\n")
        system.start_up()
        yield system


def tidemill(
    system: System, *arguments: str, stdin: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", "scripts.command", *arguments],
        cwd=ROOT,
        env=scrubbed(os.environ) | system.client_environment() | {"COLUMNS": "200"},
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )


def at_terminal(system: System, answer: bytes, *arguments: str) -> tuple[int, bytes]:
    """Run a command at a terminal and give this answer to its question; return how it ended."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(  # noqa: S603 - our own words
        [sys.executable, "-m", "scripts.command", *arguments],
        cwd=ROOT,
        env=scrubbed(os.environ) | system.client_environment() | {"TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown, answered = b"", False
    # The end of a terminal is an error on Linux.
    with suppress(OSError), os.fdopen(ours, "r+b", buffering=0) as terminal:
        while piece := terminal.read(1000):
            shown += piece
            if b"[y/N]" in shown and not answered:
                terminal.write(answer)
                answered = True
    return process.wait(60), shown


def documents(run: subprocess.CompletedProcess[bytes]) -> list[Json]:
    """Return what was printed, one JSON document after the other."""
    text, found = run.stdout.decode(), []
    while text := text.lstrip():
        end = text.find("\n}\n") + 3
        found.append(orjson.loads(text[:end]))
        text = text[end:]
    return found


def ends(span: Json) -> tuple[Decimal, Decimal]:
    return Decimal(span["low"]), Decimal(span["high"])


def names(system: System) -> list[str | None]:
    return [batch["name"] for batch in system.http.get("/api/batches").json()["data"]]


def varied() -> bytes:
    """Jobs of different lengths, of which a tenth asks for what another asks for."""
    jobs = list(lines(JOBS, max_tokens=256))
    for number, job in enumerate(jobs):
        job["prompt"] += " More about it." * (number % 7)
        if number % 10 == 9:
            job["prompt"] = jobs[number - 1]["prompt"]
    return ndjson(jobs)


def test_the_cost_lies_in_the_quote_and_the_sample_narrows_it(
    mill: System, simulator: "Simulator", tmp_path: Path
) -> None:
    simulator.faults(output_tokens="20-200")
    file = tmp_path / "varied.jsonl.gz"
    file.write_bytes(gzip.compress(varied()))
    run = tidemill(mill, "submit", str(file), "--sample", "30", "--yes", "--watch", "--json")
    assert run.returncode == 0, run.stderr
    report, batch = documents(run)
    quote, refined = report["quote"], report["refined"]
    assert (quote["jobs"], quote["collapsed_jobs"]) == (JOBS, JOBS // 10)
    assert batch["collapsed_jobs"] == JOBS // 10
    cost = Decimal(batch["cost_usd"])
    low, high = ends(quote["cost_usd"])
    closer_low, closer_high = ends(refined["cost_usd"])
    assert low < closer_low <= cost <= closer_high < high
    assert closer_high - closer_low < (high - low) / 2
    out = batch["usage"]["output_tokens"]
    assert quote["output_tokens"]["low"] <= out <= quote["output_tokens"]["high"]
    assert refined["output_tokens"]["low"] <= out <= refined["output_tokens"]["high"]
    into = batch["usage"]["input_tokens"]
    assert quote["input_tokens"]["low"] <= into <= quote["input_tokens"]["high"]
    sampled = report["sample"]["batch"]
    assert (sampled["name"], sampled["counts"]["total"]) == ("varied.jsonl.gz (sample)", 30)
    numbers = [int(pair["job"]["custom_id"][-3:]) for pair in report["sample"]["jobs"]]
    assert numbers == list(range(5, JOBS, 10))
    assert all(pair["result"]["status"] == "succeeded" for pair in report["sample"]["jobs"])


def test_bad_answers_of_a_sample_are_told_and_are_in_the_range(
    mill: System, simulator: "Simulator", tmp_path: Path
) -> None:
    """Half of the answers are cut off, and asked for again with more room."""
    simulator.faults(output_tokens="40-120")
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    file = tmp_path / "cut.jsonl"
    file.write_bytes(ndjson(lines(200, prefix="cut", max_tokens=80, schema=schema)))
    run = tidemill(mill, "submit", str(file), "--sample", "40", "--yes", "--watch", "--json")
    report, batch = documents(run)
    refined = report["refined"]
    assert 0.1 < refined["bad_answer_share"] < 0.5
    assert Decimal(refined["bad_answers_cost_usd"]) > 0
    closer_low, closer_high = ends(refined["cost_usd"])
    assert closer_low <= Decimal(batch["cost_usd"]) <= closer_high
    assert closer_high <= Decimal(report["quote"]["worst_cost_usd"])


def test_without_a_terminal_nothing_follows_a_sample(mill: System) -> None:
    """Also of a stream, which can be read only once."""
    before = names(mill)
    run = tidemill(mill, "submit", "-", "--name", "stream", "--sample", stdin=ndjson(lines(50)))
    assert run.returncode == 0, run.stderr
    assert names(mill) == ["stream (sample)", *before]
    shown = run.stdout.decode()
    assert "[job:job-000001] Say something about number 1." in shown
    assert "20 jobs, 0 failed" in shown
    assert "the quote said" in shown


@pytest.mark.parametrize(("answer", "batches"), [(b"y\n", 2), (b"\n", 1)])
def test_at_a_terminal_it_is_asked(
    mill: System, tmp_path: Path, answer: bytes, batches: int
) -> None:
    before = names(mill)
    file = tmp_path / "asked.jsonl"
    file.write_bytes(ndjson(lines(40)))
    status, shown = at_terminal(mill, answer, "submit", str(file), "--sample", "10")
    assert status == 0, shown
    assert b"submit all 40 jobs for about $" in shown
    assert len(names(mill)) == len(before) + batches


def test_the_same_command_with_the_same_key_pays_for_no_second_sample(
    mill: System, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.jsonl"
    file.write_bytes(ndjson(lines(50, prefix="again")))
    words = ("submit", str(file), "--sample", "5", "--idempotency-key", "tonight", "--json")
    first, second = (documents(tidemill(mill, *words))[0] for _ in range(2))
    assert first["sample"]["batch"]["id"] == second["sample"]["batch"]["id"]


def test_what_was_sampled_is_not_paid_for_again_by_who_reuses(mill: System, tmp_path: Path) -> None:
    file = tmp_path / "reused.jsonl"
    file.write_bytes(ndjson(lines(600, prefix="reused")))
    words = ("submit", str(file), "--reuse", "1d", "--json")
    report, batch = documents(tidemill(mill, *words, "--sample", "30", "--yes", "--watch"))
    assert (report["quote"]["reused_jobs"], batch["reused_jobs"]) == (0, 30)
    (quote,) = documents(tidemill(mill, *words, "--dry-run"))
    assert (quote["jobs"], quote["reused_jobs"], quote["calls"]) == (600, 600, 0)
    assert quote["cost_usd"] == {"low": "0.000000000", "high": "0.000000000"}
    file.write_bytes(ndjson([*lines(600, prefix="reused"), *lines(7, prefix="new")]))
    (quote,) = documents(tidemill(mill, *words, "--dry-run"))
    assert (quote["reused_jobs"], quote["calls"]) == (600, 7)


def test_a_dry_run_submits_nothing(mill: System, tmp_path: Path) -> None:
    before = names(mill)
    file = tmp_path / "jobs.jsonl"
    file.write_bytes(ndjson(lines(1000)))
    run = tidemill(mill, "submit", str(file), "--dry-run", "--max-cost", "1.00")
    assert run.returncode == 0, run.stderr
    shown = run.stdout.decode()
    assert "1,000" in shown
    assert "2 s, if nothing else runs; limited by rpm of openai/main (30,000)" in shown
    assert "$1.00 suffices" in shown
    assert names(mill) == before


def test_a_wrong_key_or_a_server_that_is_away_is_said(mill: System, tmp_path: Path) -> None:
    file = tmp_path / "jobs.jsonl"
    file.write_bytes(ndjson(lines(50)))
    for way in ("--dry-run", "--sample"):
        refused = tidemill(mill, "submit", str(file), way, "--key", "tm_wrong")
        assert (refused.returncode, refused.stdout) == (3, b"")
        nowhere = ("--url", "http://127.0.0.1:9", "--retry-for", "0")
        away = tidemill(mill, "submit", str(file), way, *nowhere)
        assert (away.returncode, away.stdout) == (5, b"")
        assert b"no server answers" in away.stderr
        assert b"second batch" not in away.stderr


def test_nothing_to_quote_is_refused(mill: System) -> None:
    run = tidemill(mill, "submit", "-", "--dry-run", "--json", stdin=b"\n")
    assert run.returncode == 2
    assert orjson.loads(run.stderr)["error"]["code"] == "empty_body"


def test_bad_lines_end_a_dry_run_and_a_sample_with_status_2(mill: System, tmp_path: Path) -> None:
    before = names(mill)
    file = tmp_path / "jobs.jsonl"
    file.write_bytes(ndjson([*lines(50), {"custom_id": "x", "model": "none", "prompt": "p"}]))
    for words in (("--dry-run",), ("--sample", "5", "--yes")):
        run = tidemill(mill, "submit", str(file), *words)
        assert run.returncode == 2
        assert b"1 line is not a valid job; a submission would be refused" in run.stderr
        assert b"model" in run.stderr
    assert names(mill) == before


def test_a_sample_that_would_be_everything_is_none(mill: System, tmp_path: Path) -> None:
    before = names(mill)
    file = tmp_path / "jobs.jsonl"
    file.write_bytes(ndjson(lines(20)))
    run = tidemill(mill, "submit", str(file), "--sample", "--yes")
    assert run.returncode == 2
    assert b"a sample of 20 would be all of the 20 jobs" in run.stderr
    assert names(mill) == before


def test_after_a_sample_of_failures_nothing_more_is_submitted(
    mill: System, simulator: "Simulator", tmp_path: Path
) -> None:
    simulator.faults({"kind": "400", "probability": 1.0})
    before = names(mill)
    file = tmp_path / "bad.jsonl"
    file.write_bytes(ndjson(lines(50)))
    run = tidemill(mill, "submit", str(file), "--sample", "5", "--yes")
    assert run.returncode == 1, run.stderr
    assert b"no job of the sample succeeded; nothing more was submitted" in run.stderr
    assert names(mill) == ["bad.jsonl (sample)", *before]
