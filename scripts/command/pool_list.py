"""The list of pools, for a person."""

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.table import Column, Table

from scripts.command.client import JsonObject
from scripts.command.render import local_time, printable


def pool_table(pools: Iterable[JsonObject]) -> Table:
    """Return a row per pool and per model of it, with the dimension nearest to its limit."""
    table = Table(
        "pool",
        Column("pace", justify="right"),
        Column("of limit", justify="right"),
        Column("used", justify="right"),
        Column("in flight", justify="right"),
        Column("state", ratio=1),
        box=SIMPLE,
        pad_edge=False,
    )
    for pool in pools:
        name = "/".join(word for word in (pool["provider"], pool["pool"], pool["models"]) if word)
        table.add_row(printable(name), *_pace(pool), f"{pool['in_flight']:,}", _state(pool))
    return table


def _pace(pool: JsonObject) -> tuple[str, str, str]:
    """Return the rate, the limit and the share used of the dimension that binds."""
    found = next((d for d in pool["dimensions"] if d["name"] == pool["binding"]), None)
    if found is None:
        return "", "none known", ""
    limits = [limit for limit in (found["configured"], found["learned"]) if limit is not None]
    return f"{found['rate']:,.0f}", f"{min(limits):,} {found['name']}", f"{found['share_used']:.1%}"


def _state(pool: JsonObject) -> str:
    """Return what blocks it and until when, in a sentence."""
    if pool["reason"] is None:
        return "open"
    until = f" until {local_time(pool['blocked_until'])}" if pool["blocked_until"] else ""
    word = "tried with single calls" if pool["breaker"] == "probing" else "paused"
    return printable(f"{word}{until}: {pool['reason']}")
