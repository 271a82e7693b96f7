"""`tidemill pipelines`: what there is, and what is wrong with its files; `tidemill run`: one of them, now."""

import time
from datetime import datetime
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from jobs.states import FINAL_RUN_STATES
from scripts.command.client import Client
from scripts.command.connection import DEFAULT_URL, Json, Key, Url, connect
from scripts.command.options import IdempotencyKey
from scripts.command.pipeline_files import check
from scripts.command.render import JsonObject, local_time, print_json, printable, stdout
from scripts.command.run_tables import exit_status, how, run_line, run_summary

pipelines = typer.Typer(help="What pipelines there are; `check` looks at their files.")

LOOK_EVERY_S = 1.0

Name = Annotated[str, typer.Argument(metavar="NAME", help="The pipeline.")]
Day = Annotated[
    datetime | None,
    typer.Option("--date", formats=["%Y-%m-%d"], help="What {date} stands for; default: today."),
]


@pipelines.callback(invoke_without_command=True)
def list_(
    context: typer.Context, url: Url = DEFAULT_URL, key: Key = None, as_json: Json = False
) -> None:
    """List the pipelines, when they are due, and how their last runs ended."""
    if context.invoked_subcommand is not None:
        return
    with connect(url, key) as client:
        found = client.pipelines()
    if as_json:
        print_json(found)
        return
    if not found["data"]:
        stdout().print("There is no pipeline: write one as pipelines/NAME.toml.")
        return
    stdout().print(_table(found["data"]))
    for pipeline in found["data"]:
        if pipeline["trouble"]:
            for line in pipeline["trouble"].splitlines():
                stdout().print(f"  {printable(line)}", soft_wrap=True)


pipelines.command("check")(check)


def run(  # noqa: PLR0913 - a command's options are its parameters
    name: Name,
    day: Day = None,
    watch: Annotated[bool, typer.Option("--watch", help="Stay until it has ended.")] = False,
    idempotency_key: IdempotencyKey = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Begin a run of a pipeline. With --watch: exit status 1 if it doesn't complete, or no row comes out."""
    with connect(url, key) as client:
        begun = client.begin_run(
            name, None if day is None else day.date().isoformat(), str(idempotency_key)
        )
        if watch:
            begun = stay(client, begun, is_quiet=as_json)
    if as_json:
        print_json(begun)
    elif watch:
        stdout().print(run_summary(begun))
    else:
        stdout().print(f"{begun['id']} is {begun['state']}.")
        stdout().print(f"`tidemill runs watch {begun['id']}` follows it.")
    raise typer.Exit(exit_status(begun) if watch else 0)


def stay(client: Client, run: JsonObject, *, is_quiet: bool) -> JsonObject:
    """Tell how a run goes on whenever something of it changes, and return it when it has ended."""
    told = ""
    while True:
        line = run_line(run)
        if line != told and not is_quiet:
            stdout().print(line, soft_wrap=True)
            told = line
        if run["state"] in FINAL_RUN_STATES:
            return run
        time.sleep(LOOK_EVERY_S)
        run = client.run(run["id"])


def _table(found: list[JsonObject]) -> Table:
    table = Table(
        Column("pipeline", no_wrap=True),
        "state",
        "next due",
        "stages",
        "last run",
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for pipeline in found:
        schedule, last = pipeline["schedule"], pipeline["last_run"]
        table.add_row(
            printable(pipeline["name"]),
            Text("broken", style="red") if pipeline["trouble"] else "good",
            local_time(schedule["next_due_at"]) if schedule else "on demand",
            " → ".join(pipeline["stages"]),
            Text.assemble(how(last), f" {last['date']} {last['id']}") if last else "",
        )
    return table
