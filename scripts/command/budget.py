"""`tidemill budget`: what may be spent, by a project in a day or a month, or by a batch."""

from typing import Annotated

import typer

from jobs.errors import SubmissionError
from scripts.command.client import Client
from scripts.command.connection import DEFAULT_URL, Json, Key, Url, connect
from scripts.command.render import JsonObject, print_json, stdout
from scripts.command.tables import batch_summary, budget_table

NO_CAP = "none"

Amount = Annotated[str | None, typer.Option(metavar="USD", help='Dollars, or "none" for no cap.')]


def budget(  # noqa: PLR0913 - an option each
    daily: Amount = None,
    monthly: Amount = None,
    batch: Annotated[
        str | None, typer.Option(metavar="ID", help="A batch, with --max-cost.")
    ] = None,
    max_cost: Annotated[
        str | None,
        typer.Option(
            "--max-cost",
            "--max-cost-usd",
            metavar="USD",
            help='What the batch may cost, or "none".',
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show or change what may be spent: --daily and --monthly by the project, --max-cost by a batch.

    Days and months are UTC. Batches that only a budget held up go on at once when it is raised.
    """
    caps = {"daily_usd": daily, "monthly_usd": monthly}
    changes = {name: _amount(text) for name, text in caps.items() if text is not None}
    if (batch is None) != (max_cost is None):
        raise SubmissionError("a batch's budget takes both: --batch ID --max-cost USD")
    if batch is not None and changes:
        raise SubmissionError("--batch has a budget of its own: not with --daily or --monthly")
    with connect(url, key) as client:
        if batch is not None and max_cost is not None:
            _print_batch(
                client.change_batch(batch, {"max_cost_usd": _amount(max_cost)}), as_json=as_json
            )
        else:
            _print_project(client, changes, as_json=as_json)


def _print_batch(batch: JsonObject, *, as_json: bool) -> None:
    if as_json:
        print_json(batch)
    else:
        stdout().print(batch_summary(batch))


def _print_project(client: Client, changes: dict[str, str | None], *, as_json: bool) -> None:
    shown = client.change_budget(changes) if changes else client.budget()
    if as_json:
        print_json(shown)
    else:
        stdout().print(budget_table(shown))


def _amount(text: str) -> str | None:
    return None if text.strip().lower() == NO_CAP else text
