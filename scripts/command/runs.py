"""`tidemill runs`: what became of pipelines, and how their runs are steered."""

from datetime import datetime
from typing import Annotated

import typer
from rich.text import Text

from scripts.command.connection import DEFAULT_URL, Cursor, Json, Key, Url, connect
from scripts.command.pipelines import Name, stay
from scripts.command.render import JsonObject, print_json, printable, stdout
from scripts.command.run_tables import came_to_nothing, exit_status, run_summary, run_table

runs = typer.Typer(help="Runs of pipelines: their list, one of them, and how they are steered.")

RunId = Annotated[str, typer.Argument(metavar="ID", help="The run.")]
Date = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"])]


@runs.callback(invoke_without_command=True)
def list_(  # noqa: PLR0913 - an option each
    context: typer.Context,
    pipeline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of this one; default: of all.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    cursor: Cursor = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List runs, the newest first."""
    if context.invoked_subcommand is not None:
        return
    with connect(url, key) as client:
        page = client.runs(pipeline, limit, cursor)
    if as_json:
        print_json(page)
        return
    console = stdout()
    console.print(run_table(page["data"], console.width) if page["data"] else "There is no run.")
    for run in page["data"]:
        if (nothing := came_to_nothing(run)) is not None:
            console.print(Text.assemble(f"{run['id']}: ", nothing), soft_wrap=True)
    if page["next_cursor"] is not None:
        stdout().print(f"There are more: --cursor {page['next_cursor']}")


@runs.command("show")
def show(run_id: RunId, url: Url = DEFAULT_URL, key: Key = None, as_json: Json = False) -> None:
    """Show a run with its stages, its sinks and its receipt."""
    with connect(url, key) as client:
        _print(client.run(run_id), as_json=as_json)


@runs.command("watch")
def watch(run_id: RunId, url: Url = DEFAULT_URL, key: Key = None, as_json: Json = False) -> None:
    """Follow a run until it has ended. Exit status 1 if it doesn't complete, or no row comes out."""
    with connect(url, key) as client:
        ended = stay(client, client.run(run_id), is_quiet=as_json)
    _print(ended, as_json=as_json)
    raise typer.Exit(exit_status(ended))


@runs.command("backfill")
def backfill(  # noqa: PLR0913 - an option each
    name: Name,
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="The first day.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="The last day.")],
    at_once: Annotated[int, typer.Option(min=1, help="Runs that go on at the same time.")] = 1,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Begin a run for each day of the past, in their order."""
    days = first.date().isoformat(), last.date().isoformat()
    with connect(url, key) as client:
        made = client.backfill(name, *days, at_once)
    if as_json:
        print_json(made)
    else:
        console = stdout()
        console.print(run_table(made["data"], console.width))


@runs.command("cancel")
def cancel(run_id: RunId, url: Url = DEFAULT_URL, key: Key = None, as_json: Json = False) -> None:
    """Cancel a run: what is in flight still counts."""
    with connect(url, key) as client:
        _print(client.cancel_run(run_id), as_json=as_json)


@runs.command("retry")
def retry(
    run_id: RunId,
    stage: Annotated[
        str | None,
        typer.Option("--from", metavar="STAGE", help="Only rows that failed there or later."),
    ] = None,
    as_now: Annotated[
        bool, typer.Option("--as-now", help="By the pipeline's file as it is now.")
    ] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Ask again for the rows that failed, and write the sinks anew."""
    with connect(url, key) as client:
        _print(client.retry_run(run_id, stage, as_now=as_now), as_json=as_json)


@runs.command("failures")
def failures(
    run_id: RunId,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 100,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List the rows that failed: where, and of what."""
    with connect(url, key) as client:
        found = client.run_failures(run_id, limit)
    if as_json:
        print_json(found)
        return
    for row in found["data"]:
        place = row["stage"] + (f" {row['branch']}" if row["branch"] else "")
        stdout().print(printable(f"{row['key']}  {place}  {row['error']}"), soft_wrap=True)
    if not found["data"]:
        stdout().print("No row has failed.")


@runs.command("diff")
def diff(  # noqa: PLR0913 - an option each
    run_id: RunId,
    against: Annotated[
        str | None,
        typer.Option(metavar="ID", help="An earlier run; default: the one completed before it."),
    ] = None,
    stage: Annotated[str | None, typer.Option(help="Whose outputs; default: the last's.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=1000, help="Keys of each sort.")] = 20,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show which rows are new, gone and changed since an earlier run."""
    asked = {"against": against, "stage": stage, "limit": str(limit)}
    with connect(url, key) as client:
        found = client.run_diff(run_id, {name: text for name, text in asked.items() if text})
    if as_json:
        print_json(found)
        return
    stdout().print(f"Stage {found['stage']} of {found['run']}, against {found['against']}:")
    stdout().print(f"{found['same']:,} rows are the same")
    for word in ("new", "gone", "changed"):
        rows = found[word]
        more = ", …" if rows["count"] > len(rows["keys"]) else ""
        keys = f": {printable(', '.join(rows['keys']))}{more}" if rows["keys"] else ""
        stdout().print(f"{rows['count']:,} {word}{keys}", soft_wrap=True)


def _print(run: JsonObject, *, as_json: bool) -> None:
    if as_json:
        print_json(run)
    else:
        stdout().print(run_summary(run))
