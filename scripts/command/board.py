"""Many batches and the pools at once, as a board that fits the terminal."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from api.dashboard.words import short
from jobs.states import FINAL_BATCH_STATES
from scripts.command.forecast import in_all, time_left
from scripts.command.pool_list import PoolTable, pauses
from scripts.command.progress import Pace, Standing, figures
from scripts.command.render import JsonObject, about, printable, state
from scripts.command.tables import done_jobs

BAR_WIDTH = 8


@dataclass(frozen=True, slots=True)
class Board:
    """What is told of batches and pools at a moment, and at what pace each batch goes."""

    batches: Sequence[JsonObject]
    pools: Sequence[JsonObject]
    paces: "Paces"

    @property
    def unfinished(self) -> int:
        """Batches that have not ended."""
        return len(self.batches) - len(self.ended)

    @property
    def ended(self) -> set[str]:
        """The ids of those that have ended."""
        return {batch["id"] for batch in self.batches if has_ended(batch)}


@dataclass(frozen=True, slots=True)
class Paces:
    """The pace of each batch, by its id."""

    _paces: dict[str, Pace] = field(default_factory=lambda: defaultdict(Pace))

    def add(self, at_s: float, batches: Sequence[JsonObject]) -> None:
        """Note where batches stand at `at_s` of any steady clock."""
        for batch in batches:
            if not has_ended(batch):
                self._paces[batch["id"]].add(at_s, done_jobs(batch["counts"]))

    def of(self, batch: JsonObject) -> float | None:
        """Return a batch's jobs per second, None while it is not known, or once it has ended."""
        known = not has_ended(batch) and batch["id"] in self._paces
        return self._paces[batch["id"]].jobs_per_s() if known else None


def has_ended(batch: JsonObject) -> bool:
    """Whether a batch is in a final state."""
    return batch["state"] in FINAL_BATCH_STATES


def drawn(board: Board, height: int) -> Group:
    """Return the board, with as many batches as so many lines have room for, unfinished ones first."""
    below: list[RenderableType] = []
    if board.pools:
        below = [PoolTable(board.pools), *map(Text, pauses(board.pools))]
    room = height - len(board.pools) - len(below) - 6
    ordered = sorted(board.batches, key=has_ended)
    lines: list[RenderableType] = []
    shown = 0
    for batch in ordered:
        about_it = _lines(batch, board.paces.of(batch))
        if shown and len(lines) + len(about_it) > room:
            break
        lines += about_it
        shown += 1
    head = f"{board.unfinished:,} of {len(ordered):,} batches unfinished"
    if more := len(ordered) - shown:
        head += f", {more:,} below have no room"
    titles = _line(*(Text(title, style="bold") for title in ("batch", "state", "", *_FIGURES)))
    return Group(Text(head), titles, *lines, *below)


def plain_lines(board: Board, told: Collection[str]) -> list[str]:
    """Return a line for each batch, for a log, but those of these ids: their end is told already."""
    lines = []
    for batch in board.batches:
        if batch["id"] in told:
            continue
        standing = Standing.of(batch)
        line = f"{batch['id']} {standing.state}: {standing.done:,}/{standing.total:,} done, "
        line += figures(standing, board.paces.of(batch))
        waits = f"; waiting for: {standing.waiting_for}" if standing.waiting_for else ""
        lines.append(f"{line}{waits}")
    return lines


_FIGURES = {"done": 11, "failed": 6, "jobs/s": 6, "cost": 8, "left": 14}
"""Columns of figures and their widths: with the state and the bar they leave ten characters of eighty."""


def _line(*cells: RenderableType) -> Table:
    """Return a line in columns that are the same for all: Rich's tables have no cell across several."""
    table = Table(
        Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        Column(width=10, no_wrap=True),
        Column(width=BAR_WIDTH),
        *(Column(width=width, justify="right", no_wrap=True) for width in _FIGURES.values()),
        box=None,
        show_header=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        expand=True,
    )
    table.add_row(*cells)
    return table


def _lines(batch: JsonObject, jobs_per_s: float | None) -> list[RenderableType]:
    """Return the line of a batch, and below it what the figures don't tell of one that has not ended."""
    total, done, failed = (
        batch["counts"]["total"],
        done_jobs(batch["counts"]),
        batch["counts"]["failed"],
    )
    figures = _line(
        printable(batch["name"] or batch["id"]),
        state(batch["state"]),
        ProgressBar(total=total, completed=done, width=BAR_WIDTH),
        f"{short(done)}/{short(total)}",
        Text(short(failed), style="red" if failed else ""),
        short(jobs_per_s) if jobs_per_s is not None else "",
        "unknown" if batch["cost_usd"] is None else about(batch["cost_usd"]),
        time_left(batch),
    )
    if has_ended(batch):
        return [figures]
    told = [batch["id"], in_all(batch) and f"{in_all(batch)} in all"]
    if batch["waiting_for"]:
        told.append(f"waits for {printable(batch['waiting_for'])}")
    note = Text(
        f"  {', '.join(filter(None, told))}", style="dim", no_wrap=True, overflow="ellipsis"
    )
    return [figures, note]
