"""Runs of pipelines in the terminal: one line, everything of one, its receipt, and the check of files."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from api.description.examples.pipelines import PIPELINES
from scripts.command.application import app
from scripts.command.run_tables import exit_status, how, run_line, run_summary, run_table

RUN: dict[str, Any] = dict(PIPELINES["GET /api/runs/{run_id}"].answers["200"])


def printed(shown: Any) -> str:
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def test_a_run_is_told_on_a_line() -> None:
    running = {**RUN, "state": "running", "trouble": "the source\nis away"}
    assert run_line(running) == (
        "running  1,000 rows  summary 998/1,000 (2 failed)  $1.842  the source⏎is away"
    )


def test_a_run_has_a_receipt() -> None:
    text = printed(run_summary(RUN))
    for words in ("list price", "$3.61", "batch lanes", "-$1.70", "paid", "$1.842", "kept"):
        assert words in text
    assert "articles.parquet" in text


def test_a_deadline_that_cannot_be_met_is_told() -> None:
    late = {**RUN, "deadline_unreachable": "1,000 rows can't be ready by 05:00"}
    assert "1,000 rows can't be ready by 05:00" in printed(run_summary(late))
    assert run_line(late).endswith("its deadline can't be met")
    assert "can't be" not in printed(run_summary(RUN)) + run_line(RUN)


def test_runs_are_listed_with_what_they_saved() -> None:
    text = printed(run_table([RUN, {**RUN, "kept_deadline": False}], 160))
    assert "$1.768" in text
    assert "missed" in text


def test_a_run_of_which_no_row_came_out_is_no_success() -> None:
    nothing = {**RUN, "rows": {**RUN["rows"], "taken": 300, "failed": 300, "none_came_out": True}}
    assert (exit_status(RUN), exit_status(nothing)) == (0, 1)
    assert exit_status({**RUN, "state": "failed"}) == 1
    assert how(nothing).style == "red"
    for text in (run_line(nothing), printed(run_summary(nothing))):
        assert "0 of 300 rows came out" in text
    assert "came out" not in run_line(RUN)


GOOD = """
name = "nightly"
model = "sim/small"
source = { files = "in/*.jsonl" }
[[stages]]
name = "summary"
kind = "generation"
template = "{{ row.text }}"
"""

CONFIGURATION = """
[providers.sim]
protocol = "openai"
base_url = "http://127.0.0.1:9"
"""


@pytest.mark.parametrize(
    ("changed", "says", "status"),
    [
        (("", ""), "nightly is in order", 0),
        (("kind =", "kinds ="), "nightly.toml, line 5: stages[0].kind: ", 1),
        (("sim/small", "small"), "nightly.toml: ", 1),
    ],
)
def test_files_are_checked_without_a_server(
    tmp_path: Path, changed: tuple[str, str], says: str, status: int
) -> None:
    (tmp_path / "tidemill.toml").write_text(CONFIGURATION)
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "nightly.toml").write_text(GOOD.replace(*changed) if changed[0] else GOOD)
    environment = {"TIDEMILL_CONFIG": str(tmp_path / "tidemill.toml")}
    result = CliRunner().invoke(app, ["pipelines", "check"], env=environment)
    assert says in result.stdout
    assert result.exit_code == status
