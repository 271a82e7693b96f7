"""Puts the `tidemill` command together, from a function per command."""

import sys

import typer

from scripts.command import (
    attempts,
    budget,
    keys,
    look,
    parts,
    pipelines,
    pools,
    receipt,
    reconcile,
    results,
    retry,
    runs,
    steer,
    submit,
    usage,
    watch,
    webhooks,
)
from scripts.command.ending import Commands, end_unexpectedly, wants_json
from scripts.command.sample import SampleCommand

app = typer.Typer(
    rich_markup_mode="markdown",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(
    epilog=(
        "Exit status: 0 done; 1 the batch failed, or finished with failures; 2 wrong usage, or the "
        "server rejected the request; 3 not authorised; 4 not found; 5 the server can't be reached "
        "or doesn't work; 6 what was watched is paused and nobody is at a terminal; 7 the "
        "books don't balance; 130 interrupted. "
        "With --json, what went wrong is one line on stderr: "
        '{"error": {"code", "message", "status", "faults"}}.'
    )
)
def tidemill() -> None:
    """Tidemill: a distributed job queue for bulk LLM generation.

    Client commands find the server by --url or TIDEMILL_URL, and take the key from --key,
    TIDEMILL_API_KEY, or the file api-key in TIDEMILL_HOME (default .tidemill).
    """


app.command("submit", cls=SampleCommand)(submit.submit)
app.command("batches")(look.batches)
app.command("show")(look.show)
app.command("watch")(watch.watch)
app.command("results")(results.results)
app.command("attempts")(attempts.attempts)
app.command("reconcile")(reconcile.reconcile)
app.command("cancel")(steer.cancel)
app.command("pause")(steer.pause)
app.command("resume")(steer.resume)
app.command("retry")(retry.retry)
app.command("usage")(usage.usage)
app.command("receipt")(receipt.receipt)
app.command("budget")(budget.budget)
app.command("pools")(pools.pools)
app.add_typer(keys.keys, name="keys")
app.add_typer(webhooks.webhooks, name="webhooks")
app.add_typer(pipelines.pipelines, name="pipelines")
app.command("run")(pipelines.run)
app.add_typer(runs.runs, name="runs")
parts.register(app)


def main() -> None:
    """Run the command that the process's arguments name, and exit."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the last resort: no person is shown a traceback
        as_json = wants_json(sys.argv[1:])
        raise SystemExit(end_unexpectedly(error, as_json=as_json)) from None
