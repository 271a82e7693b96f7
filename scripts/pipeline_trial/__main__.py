"""Runs the trial: a pipeline begins by its schedule, everything is killed, and it completes by itself.

The model is small and wrong often. What is on trial is the run: each row is in the Parquet file and in the
table once, or told as failed, nothing is begun twice, and the receipt says what it cost.
"""

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.table import Table

from jobs.clock import utcnow
from jobs.errors import ServiceUnavailable
from scripts.command.ending import ExitStatus
from scripts.command.render import JsonObject
from scripts.launcher.ready import free_port
from scripts.local_trial.submissions import texts
from scripts.own_tidemill import OwnTidemill, failures_told

FOLDER = Path(__file__).parent

PIPELINE = "memoirs"

NOT_SOONER = timedelta(seconds=40)
"""In which Tidemill and its model start, and see the schedule, before it is due."""

WITHIN_S = 1800.0
"""From a start to what is waited for. The model takes a minute of it on two idle cores."""

LOOK_EVERY_S = 0.2

SHOWN_ROWS = 6


def run(tidemill: OwnTidemill, console: Console) -> ExitStatus:
    """Run the trial and return its exit status: whether the run completed, with every row told once.

    Raises:
        ServiceUnavailable: Tidemill does not start, or the run takes too long.
    """
    due_at = _prepare(tidemill.home)
    with tidemill.running(console) as up:
        tidemill.command(console, "pipelines", within_s=60)
        console.print(f"Due at {due_at:%H:%M} UTC by its schedule; waiting for that…")
        late_s = (due_at - utcnow()).total_seconds() + 60
        begun = _until(lambda: _middle(tidemill), late_s + WITHIN_S, "the run is in its middle")
        up.kill()
        up.wait()
        console.print(f"Killed -9, all of it, in the middle of {begun['id']}: {_told(begun)}")
    began_s = time.monotonic()
    with tidemill.running(console):
        tidemill.command(console, "runs", "watch", begun["id"], within_s=WITHIN_S)
        console.print(f"Completed by itself {time.monotonic() - began_s:.0f} s after the start.")
        with tidemill.client() as client:
            found = client.runs(PIPELINE, 10)["data"]
            ended = client.run(begun["id"])
            failed = client.run_failures(begun["id"], 100)["data"]
    return _judge(tidemill.home, console, ended, failed, len(found))


def _prepare(home: Path) -> datetime:
    """Write the pipeline with a due time ahead, and the day's rows; return when it is due."""
    due_at = utcnow().replace(second=0, microsecond=0) + timedelta(minutes=1)
    if due_at - utcnow() < NOT_SOONER:
        due_at += timedelta(minutes=1)
    for name in ("in", "out", "pipelines"):
        shutil.rmtree(home / name, ignore_errors=True)
        (home / name).mkdir(mode=0o700, parents=True)
    (home / "database").write_text(f"sqlite:///{home / 'memoirs.db'}\n", encoding="utf-8")
    (home / "memoirs.db").unlink(missing_ok=True)
    text = (FOLDER / "memoirs.toml").read_text(encoding="utf-8")
    for word, value in {
        "CRON": f"{due_at.minute} {due_at.hour} * * *",
        "DEADLINE": f"{due_at + timedelta(minutes=30):%H:%M}",
        "DATABASE": str(home / "database"),
    }.items():
        text = text.replace(word, value)
    (home / "pipelines" / "memoirs.toml").write_text(text, encoding="utf-8")
    shutil.copy(FOLDER / "facts.json", home / "pipelines")
    rows = home / "in" / due_at.astimezone(UTC).date().isoformat() / "places.jsonl"
    rows.parent.mkdir()
    lines = [json.dumps(text, ensure_ascii=False) for text in texts("places")]
    rows.write_text("\n".join(lines), encoding="utf-8")
    return due_at


def _middle(tidemill: OwnTidemill) -> JsonObject | None:
    """Return the run once a row has gone through a stage and none through the last one."""
    with tidemill.client() as client:
        found = client.runs(PIPELINE, 1)["data"]
        if not found:
            return None
        run: JsonObject = client.run(found[0]["id"])
    first, *_, last = run["stages"]
    is_under_way = bool(first["done"] and first["done"] + last["running"] and not last["done"])
    return run if is_under_way else None


def _until(look: Callable[[], Any], within_s: float, what: str) -> Any:
    deadline_s = time.monotonic() + within_s
    while not (found := look()):
        if time.monotonic() > deadline_s:
            raise ServiceUnavailable(f"not within {within_s:.0f} s: {what}")
        time.sleep(LOOK_EVERY_S)
    return found


def _told(run: JsonObject) -> str:
    return ", ".join(
        f"{stage['name']} has done {stage['done']} of {run['rows']['taken']} rows"
        for stage in run["stages"]
    )


def _judge(
    home: Path, console: Console, run: JsonObject, failed: list[JsonObject], runs: int
) -> ExitStatus:
    """Compare what was written with what went in, and print both."""
    parquet = pq.read_table(run["sinks"][0]["place"]).to_pylist()
    table = Table("key", "title", "french", "place", "year", title=run["sinks"][0]["place"])
    for row in parquet[:SHOWN_ROWS]:
        table.add_row(
            *(str(row[name] or "") for name in ("key", "title", "french", "place", "year"))
        )
    console.print(table)
    with closing(sqlite3.connect(home / "memoirs.db")) as database:
        (stored,) = database.execute("SELECT count(*) FROM memoir").fetchone()
    keys = [row["key"] for row in parquet] + [row["key"] for row in failed]
    wanted = {text["id"] for text in texts("places")}
    for line in (
        f"{len(wanted)} rows went in; {len(parquet)} are in the Parquet file and {stored} in the "
        f"table; {len(failed)} failed and are told",
        f"{len(keys) - len(set(keys))} are there twice; {len(wanted - set(keys))} are missing",
        f"{runs} run was begun by the schedule",
    ):
        console.print(line)
    is_good = (
        run["state"] == "completed"
        and sorted(keys) == sorted(wanted)
        and stored == len(parquet)
        and runs == 1
    )
    return ExitStatus.OK if is_good else ExitStatus.BATCH_FAILED


def main(
    home: Annotated[
        Path, typer.Option(help="Where the trial keeps its database, logs and results.")
    ] = Path(".tidemill/pipeline-trial"),
) -> None:
    """Run a pipeline over first sentences of memoirs with a small model, and kill it in the middle."""
    console = Console(highlight=False)
    with failures_told("trial", console):
        shutil.rmtree(home, ignore_errors=True)
        status = run(OwnTidemill(home.resolve(), port=free_port()), console)
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)
