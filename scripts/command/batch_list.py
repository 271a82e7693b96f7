"""The list of batches: as many columns as the terminal has room for."""

from collections.abc import Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from scripts.command.forecast import by_deadline
from scripts.command.render import JsonObject, known_dollars, local_time, printable, state
from scripts.command.tables import done_jobs, figure

LONGEST_NAME = 40
"""Characters of a name, the rest of which is in `show`."""

SHORTENED_NAME = 10

WIDEST = 1000
"""Characters: more than a row has, for measuring what it wants."""

_COLUMNS = ("id", "name", "state", "done", "failed", "cost", "deadline", "created")
_LESS_AND_LESS = (
    ("created", "day and minute"),
    ("deadline", "short"),
    ("name", "shortened"),
    ("created", None),
    ("failed", None),
    ("deadline", None),
    ("name", None),
    ("cost", None),
    ("done", None),
    ("state", None),
)
"""What is given up, in this order, until the list fits: a column's form, or all of it."""


def batch_table(batches: Sequence[JsonObject], console: Console) -> Table:
    """Return one row per batch that fits the console. Ids are never cut and no row is wrapped."""
    forms: dict[str, str | None] = dict.fromkeys(_COLUMNS, "")
    if not any(batch["name"] for batch in batches):
        forms["name"] = None
    if not any(batch.get("deadline") for batch in batches):
        forms["deadline"] = None
    table = _table(batches, forms)
    unbounded = console.options.update(width=WIDEST)
    for column, form in _LESS_AND_LESS:
        if Measurement.get(console, unbounded, table).maximum <= console.width:
            break
        if forms[column] is not None:
            forms[column] = form
            table = _table(batches, forms)
    return table


def _table(batches: Sequence[JsonObject], forms: dict[str, str | None]) -> Table:
    shown = {name: form for name, form in forms.items() if form is not None}
    # Two spaces between columns and nothing else: with rules there is a column less at 80.
    table = Table(
        *(_column(name) for name in shown), box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for batch in batches:
        table.add_row(*(_cell(batch, name, form) for name, form in shown.items()))
    return table


def _column(name: str) -> Column:
    if name in {"done", "failed", "cost"}:
        return figure(name)
    return Column(name, no_wrap=True, overflow="ignore" if name == "id" else "ellipsis")


def _cell(batch: JsonObject, column: str, form: str) -> str | Text:
    match column:
        case "name":
            return _cut(printable(batch["name"] or ""), SHORTENED_NAME if form else LONGEST_NAME)
        case "state":
            return state(batch["state"])
        case "done":
            return f"{done_jobs(batch['counts']):,}/{batch['counts']['total']:,}"
        case "failed":
            return f"{batch['counts']['failed']:,}"
        case "cost":
            return known_dollars(batch["cost_usd"], batch["unpriced_jobs"])
        case "deadline":
            told = by_deadline(batch)
            return Text(told.plain[5:16], style=told.style) if form else told
        case "created":
            created = local_time(batch["created_at"])
            return created[len("2026-") : -len(":00")] if form else created
        case _:
            return str(batch["id"])


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
