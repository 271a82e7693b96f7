"""`tidemill usage`: tokens and money, from the ledger."""

from typing import Annotated

import typer

from scripts.command.connection import DEFAULT_URL, Json, Key, Url, connect
from scripts.command.render import print_json, stdout
from scripts.command.tables import usage_table


def usage(
    by: Annotated[
        str, typer.Option(help="What to sum by: day, project, provider, pool, model, outcome.")
    ] = "provider,model",
    since: Annotated[str | None, typer.Option(help="First day, as 2026-01-31 (UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Last day, as 2026-01-31 (UTC).")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show tokens used and what they cost."""
    words = [word.strip() for word in by.split(",")]
    query = {"by": ",".join(words), "since": since, "until": until}
    with connect(url, key) as client:
        sums = client.usage({name: value for name, value in query.items() if value})
    if as_json:
        print_json(sums)
    else:
        stdout().print(usage_table(sums["data"], sums["total"], words))
