"""`tidemill receipt`: what a batch, a run or a month cost, and what it saved."""

from decimal import Decimal
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Column, Table
from rich.text import Text

from scripts.command.connection import DEFAULT_URL, Json, Key, Url, connect
from scripts.command.progress import duration
from scripts.command.render import JsonObject, dollars, print_json, printable, stdout
from scripts.command.tables import figure


def receipt(
    batch_id: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", help="The batch, as bat_…, or the run of a pipeline, as run_…."
        ),
    ] = None,
    month: Annotated[
        str | None, typer.Option(help="The project's month instead, as 2026-11 (UTC).")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show what was paid against the list price, what saved it, what was wasted, and if it was in time."""
    if (batch_id is None) == (month is None):
        raise typer.BadParameter("give the ID of a batch or a run, or --month")
    with connect(url, key) as client:
        found = client.receipt(batch_id) if batch_id is not None else client.receipts(str(month))
    if as_json:
        print_json(found)
    else:
        stdout().print(receipt_text(found))


def receipt_text(found: JsonObject) -> Group:
    """Return a receipt for reading: what was paid, why no more, and for what."""
    saved, wasted = found["saved"], found["wasted"]
    rows: list[tuple[str, str]] = [
        ("of", found["id"] or f"{found['month']}, {found['batches']:,} batches that ended"),
        ("so far", "" if found["is_final"] else "it has not ended"),
        ("jobs", f"{found['jobs']:,}, {found['succeeded']:,} succeeded"),
        ("not called for", f"{found['not_called']:,} jobs" if found["not_called"] else ""),
        ("list price", dollars(found["list_usd"])),
        ("  batch lanes", _less(saved["lanes_usd"])),
        ("  prompt caches", _less(saved["caches_usd"])),
        ("  answers that were there", _less(saved["answers_usd"])),
        ("paid", f"{dollars(found['paid_usd'])}{_share(saved['share'])}"),
        ("without price", f"{found['unpriced_calls']:,} calls" if found["unpriced_calls"] else ""),
        ("of it wasted", _waste(wasted)),
        ("deadlines", _deadlines(found["deadlines"])),
        ("", found["deadlines"].get("unreachable") or ""),
    ]
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        if value:
            table.add_row(Text(name, style="bold"), printable(value))
    parts = Table(
        Column("model", overflow="fold"),
        Column("lane"),
        *(figure(name) for name in ("calls", "tokens in", "tokens out", "cost")),
        box=SIMPLE,
        pad_edge=False,
    )
    for part in found["parts"]:
        parts.add_row(
            printable(f"{part['provider']}/{part['model']}"),
            part["lane"] or "",
            f"{part['calls']:,}",
            f"{part['input_tokens']:,}",
            f"{part['output_tokens']:,}",
            dollars(part["cost_usd"]),
        )
    return Group(table, parts)


def _less(amount: str) -> str:
    value = Decimal(amount)
    if not value:
        return ""
    return f"− {dollars(amount)}" if value > 0 else f"+ {dollars(str(-value))}"


def _share(share: float | None) -> str:
    return f", {share:.1%} below list" if share and share > 0 else ""


def _waste(wasted: JsonObject) -> str:
    parts = []
    if wasted["bad_answers"]:
        parts.append(
            f"{dollars(wasted['bad_answers_usd'])} for {wasted['bad_answers']:,} bad answers"
        )
    if wasted["unknown_calls"]:
        calls = f"{wasted['unknown_calls']:,} calls without an answer"
        parts.append(f"{dollars(wasted['unknown_calls_usd'])} for {calls}")
    return ", ".join(parts)


def _deadlines(deadlines: JsonObject) -> str:
    parts = [
        f"{deadlines[word]:,} {word}" for word in ("kept", "missed", "open") if deadlines[word]
    ]
    if deadlines["worst_late_s"] > 0:
        parts.append(f"the worst by {duration(deadlines['worst_late_s'])}")
    return ", ".join(parts)
