"""The list of pools, for a person."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE
from rich.progress_bar import ProgressBar
from rich.table import Column, Table

from scripts.command.client import JsonObject
from scripts.command.render import local_time, printable

BAR_WIDTH = 8


def pool_table(pools: Sequence[JsonObject]) -> Table:
    """Return a row per pool and per model of it, with the dimension nearest to its limit."""
    table = Table(
        "pool",
        Column("pace", justify="right"),
        Column("of limit", justify="right"),
        Column("", width=BAR_WIDTH),
        Column("used", justify="right"),
        Column("in flight", justify="right"),
        "state",
        box=SIMPLE,
        pad_edge=False,
    )
    for pool in pools:
        rate, limit, used = _pace(pool)
        bar = (
            ""
            if used is None
            else ProgressBar(total=1.0, completed=min(used, 1.0), width=BAR_WIDTH)
        )
        share = "" if used is None else f"{used:.1%}"
        table.add_row(_name(pool), rate, limit, bar, share, f"{pool['in_flight']:,}", _state(pool))
    return table


def pauses(pools: Sequence[JsonObject]) -> Iterator[str]:
    """Yield why and until when, for each that is paused: too long for a table."""
    for pool in pools:
        if pool["reason"] is not None:
            until = pool["blocked_until"]
            when = f" until {local_time(until)}" if until else ""
            yield f"{_name(pool)} is {_state(pool)}{when}: {printable(pool['reason'])}"


def enqueued(pools: Sequence[JsonObject]) -> Iterator[str]:
    """Yield what native batches have at each pool."""
    for pool in pools:
        for of in pool.get("enqueued") or ():
            limit = f" of {of['limit']:,}" if of["limit"] else ""
            yield (
                f"{_name(pool)} has {of['lines']:,} lines of {printable(of['model'])} in native batches "
                f"({of['native_batches']:,}): {of['input_tokens']:,}{limit} input tokens are enqueued"
            )


def _name(pool: JsonObject) -> str:
    words = (pool["provider"], pool["pool"], pool["models"])
    return printable("/".join(word for word in words if word))


def _pace(pool: JsonObject) -> tuple[str, str, float | None]:
    """Return the rate, the limit and the share used of the dimension that binds; None without a limit."""
    if pool["binding"] == "concurrency":
        most = pool["in_flight_limit"]
        return "", f"{most:,} concurrency", pool["in_flight"] / most
    found = next((d for d in pool["dimensions"] if d["name"] == pool["binding"]), None)
    if found is None:
        return "", "none known", None
    limits = [limit for limit in (found["configured"], found["learned"]) if limit is not None]
    return f"{found['rate']:,.0f}", f"{min(limits):,} {found['name']}", found["share_used"]


def _state(pool: JsonObject) -> str:
    if pool["reason"] is None:
        return "open"
    return "tried with single calls" if pool["breaker"] == "probing" else "paused"
