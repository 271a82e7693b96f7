"""`tidemill batches` and `tidemill show`: what there is, and where one batch stands."""

from typing import Annotated

import typer
from rich.table import Table

from jobs.errors import NotFound
from scripts.command.batch_list import batch_table
from scripts.command.client import Client
from scripts.command.connection import DEFAULT_URL, BatchId, Cursor, Json, Key, Url, connect
from scripts.command.plots import plots
from scripts.command.render import print_json, stdout
from scripts.command.tables import batch_summary


def batches(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    cursor: Cursor = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List batches, the newest first."""
    with connect(url, key) as client:
        page = client.batches(limit, cursor)
    if as_json:
        print_json(page)
        return
    console = stdout()
    console.print(batch_table(page["data"], console))
    if page["next_cursor"] is not None:
        console.print(f"There are more: --cursor {page['next_cursor']}")


def show(batch_id: BatchId, url: Url = DEFAULT_URL, key: Key = None, as_json: Json = False) -> None:
    """Show where a batch stands, what it used and costs, its pace over time and how long calls took."""
    with connect(url, key) as client:
        batch = client.batch(batch_id)
        drawn = None if as_json else _plots(client, batch_id)
    if as_json:
        print_json(batch)
        return
    console = stdout()
    console.print(batch_summary(batch))
    if drawn is not None:
        console.print(drawn)


def _plots(client: Client, batch_id: str) -> Table | None:
    """Return the plots of a batch that there is; None from a server that is older than they are."""
    try:
        return plots(client.progress(batch_id))
    except NotFound:
        return None
