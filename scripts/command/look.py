"""`tidemill batches` and `tidemill show`: what there is, and where one batch stands."""

from typing import Annotated

import typer

from scripts.command.batch_list import batch_table
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
        progress = None if as_json else client.progress(batch_id)
    if progress is None:
        print_json(batch)
    else:
        stdout().print(batch_summary(batch))
        stdout().print(plots(progress))
