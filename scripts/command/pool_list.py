"""The list of pools, for a person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Column, Table

from scripts.command.client import JsonObject
from scripts.command.render import local_time, printable

BAR_WIDTH = 8

NARROW, WIDE = 56, 76
"""Characters of a terminal in which limits and calls in flight have room, and in which all has."""


@dataclass(frozen=True, slots=True)
class PoolTable:
    """The pools as a table that fits whatever width it is printed in."""

    pools: Sequence[JsonObject]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table for that width."""
        yield pool_table(self.pools, options.max_width)


def pool_table(pools: Sequence[JsonObject], width: int) -> Table:
    """Return a row per pool and per model of it, with the dimension nearest to its limit.

    In a terminal too narrow for all columns those are left out that others tell best.
    """
    shown = [
        (at_least <= width, column)
        for at_least, column in (
            (0, Column("pool", overflow="fold")),
            (WIDE, Column("pace", justify="right", no_wrap=True)),
            (NARROW, Column("of limit", justify="right", overflow="fold")),
            (WIDE, Column("", width=BAR_WIDTH)),
            (0, Column("used", justify="right", no_wrap=True)),
            (NARROW, Column("in flight", justify="right", no_wrap=True)),
            (0, Column("state")),
        )
    ]
    table = Table(*(column for is_shown, column in shown if is_shown), box=SIMPLE, pad_edge=False)
    for pool in pools:
        rate, limit, used = _pace(pool)
        bar = (
            ""
            if used is None
            else ProgressBar(total=1.0, completed=min(used, 1.0), width=BAR_WIDTH)
        )
        share = "" if used is None else f"{used:.1%}"
        cells = (_name(pool), rate, limit, bar, share, f"{pool['in_flight']:,}", _state(pool))
        table.add_row(*(cell for (is_shown, _), cell in zip(shown, cells, strict=True) if is_shown))
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
