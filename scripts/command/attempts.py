"""`tidemill attempts`: the calls that were made for a batch's jobs, and what each is charged."""

from collections.abc import Iterable
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from jobs.states import Outcome
from scripts.command.connection import DEFAULT_URL, BatchId, Cursor, Json, Key, Url, connect
from scripts.command.render import JsonObject, dollars, local_time, print_json, printable, stdout
from scripts.command.tables import figure


def attempts(  # noqa: PLR0913 - a command's options are its parameters
    batch_id: BatchId,
    outcome: Annotated[
        Outcome | None,
        typer.Option(help="Only those that ended so; unknown: those charged at the worst case."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 100,
    cursor: Cursor = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List the attempts of a batch, in the order of its jobs."""
    with connect(url, key) as client:
        page = client.attempts(batch_id, limit, None if outcome is None else outcome.value, cursor)
    if as_json:
        print_json(page)
        return
    console = stdout()
    console.print(attempt_table(page["data"]))
    if page["next_cursor"] is not None:
        console.print(f"There are more: --cursor {page['next_cursor']}")


def attempt_table(rows: Iterable[JsonObject]) -> Table:
    """Return one row per attempt; a cost that is a worst case is marked with ≤."""
    table = Table(
        Column("custom_id", overflow="fold", max_width=24),
        figure("n"),
        "model",
        "sent",
        "outcome",
        figure("cost"),
        Column("error", overflow="fold"),
        box=SIMPLE,
        pad_edge=False,
    )
    for row in rows:
        mark = "≤ " if row["cost_is_estimate"] else ""
        table.add_row(
            printable(row["custom_id"]),
            str(row["n"]),
            printable(f"{row['provider']}/{row['model']}"),
            local_time(row["sent_at"]),
            f"{row['outcome'] or 'in flight'}{', reconciled' if row['reconciled_at'] else ''}",
            "" if row["cost_usd"] is None else f"{mark}{dollars(row['cost_usd'])}",
            printable((row["error"] or {}).get("code", "")),
        )
    return table
