"""Small plots of a batch, of the eight heights that a character can have."""

from collections.abc import Sequence
from itertools import pairwise

from rich.table import Table
from rich.text import Text

from api.dashboard.charts import percentile, spread
from api.dashboard.words import duration, rate
from scripts.command.render import JsonObject

HEIGHTS = "▁▂▃▄▅▆▇█"

WIDTH = 48
"""Characters of a plot: with its name it fits eighty, and its words are below it."""


def plots(progress: JsonObject) -> Table:
    """Return how a batch's pace went on and how long its calls took; empty where little is known."""
    table = Table.grid(padding=(0, 2))
    for name, drawing, told in (
        ("pace", *_pace(progress["data"])),
        ("latency", *_latency(progress["latencies_ms"])),
    ):
        if drawing:
            table.add_row(Text(name, style="bold"), Text(drawing, style="cyan"))
            table.add_row("", Text(told, style="dim"))
    return table


def bars(values: Sequence[float]) -> str:
    """Return a character for each value, as high as its share of the highest; a space for nothing."""
    most = max(values, default=0)
    if most <= 0:
        return ""
    return "".join(
        HEIGHTS[min(len(HEIGHTS) - 1, int(value / most * len(HEIGHTS)))] if value else " "
        for value in values
    )


def _pace(marks: Sequence[JsonObject]) -> tuple[str, str]:
    """Draw jobs per second over the time of work, in stretches of the same length."""
    known = [(0.0, 0), *((mark["working_s"], mark["done_jobs"]) for mark in marks)]
    length_s = known[-1][0]
    stretches = min(WIDTH, len(known) - 1)
    if stretches < 2 or length_s <= 0:
        return "", ""
    step_s = length_s / stretches
    reached = [_at(known, place * step_s) for place in range(stretches + 1)]
    paces = [max(after - before, 0.0) / step_s for before, after in pairwise(reached)]
    told = f"jobs over {duration(length_s)} of work, {rate(max(paces))} at most"
    return bars(paces), told


def _at(known: Sequence[tuple[float, int]], moment_s: float) -> float:
    """Return how many jobs were done at a moment, between the two marks about it."""
    for (before_s, before), (after_s, after) in pairwise(known):
        if moment_s <= after_s and after_s > before_s:
            return before + (after - before) * (moment_s - before_s) / (after_s - before_s)
    return known[-1][1]


def _latency(latencies_ms: Sequence[int]) -> tuple[str, str]:
    """Draw how many calls took how long, from the quickest to the slowest, on a scale of powers."""
    if not latencies_ms:
        return "", ""
    values = [float(each) for each in latencies_ms]
    edges, numbers = spread(values, bars=WIDTH // 2)
    shown = [duration(percentile(values, part) / 1000) for part in (0.5, 0.95)]
    from_, to = duration(edges[0] / 1000), duration(edges[-1] / 1000)
    return bars(numbers), f"{from_} to {to}; half take up to {shown[0]}, 95% up to {shown[1]}"
