"""How far a batch is: the figures, their pace, and two ways to show them while they change."""

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from scripts.command.forecast import in_all, time_left
from scripts.command.render import JsonObject, known_dollars, printable, tokens
from scripts.command.tables import done_jobs

PACE_OVER_S = 10.0
"""Short enough to follow a changed limit, long enough that a slow model's pace reads calm."""

PLAIN_LINE_EVERY_S = 5.0

BAR_WIDTH = 20
"""Of eighty characters, so that the figures have two lines at most, or three."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a batch stands at a moment."""

    state: str
    total: int
    done: int
    failed: int
    tokens: int
    cost_usd: str | None
    unpriced: int
    waiting_for: str
    time_left: str = ""
    """As the server tells it, empty while it tells none; so the other."""
    in_all: str = ""

    @classmethod
    def of(cls, batch: JsonObject) -> "Standing":
        """Return the standing that the API tells."""
        counts = batch["counts"]
        return cls(
            state=batch["state"],
            total=counts["total"],
            done=done_jobs(counts),
            failed=counts["failed"],
            tokens=sum(tokens(batch["usage"])),
            cost_usd=batch["cost_usd"],
            unpriced=batch["unpriced_jobs"],
            waiting_for=printable(str(batch["waiting_for"] or "")),
            time_left=time_left(batch),
            in_all=in_all(batch),
        )


class Pace:
    """Jobs per second over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, at_s: float, done: int) -> None:
        """Note that `done` jobs were done at `at_s` of any steady clock."""
        self._seen.append((at_s, done))
        # The newest mark outside the window stays: it is what the window begins at.
        while len(self._seen) > 2 and self._seen[1][0] <= at_s - PACE_OVER_S:
            self._seen.popleft()

    def jobs_per_s(self) -> float | None:
        """Return the pace, None until two moments are known."""
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        return (last - first) / (last_s - first_s) if last_s > first_s else None


def figures(standing: Standing, jobs_per_s: float | None) -> str:
    """Return the figures beside the count: failures, pace, tokens, cost, and how it will end.

    Where the server tells no time yet, the pace does.
    """
    parts = [f"{standing.failed:,} failed"]
    if jobs_per_s:
        parts.append(f"{jobs_per_s:,.1f} jobs/s")
    parts += [f"{standing.tokens:,} tokens", known_dollars(standing.cost_usd, standing.unpriced)]
    left = standing.total - standing.done
    if standing.time_left:
        parts.append(f"{standing.time_left} left")
    elif jobs_per_s and left:
        parts.append(f"{duration(left / jobs_per_s)} left")
    if standing.in_all:
        parts.append(f"{standing.in_all} in all")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return a time span in its two largest units: `2 h 05 min`, `3 min 20 s`, `12 s`."""
    minutes, rest_s = divmod(round(seconds), 60)
    hours, rest_min = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest_min:02} min"
    return f"{minutes} min {rest_s:02} s" if minutes else f"{rest_s} s"


class Display(Protocol):
    """Shows a batch's progress while it is entered."""

    def show(self, standing: Standing, jobs_per_s: float | None) -> None:
        """Show where the batch stands now."""
        ...

    def note(self, text: str) -> None:
        """Say something once."""
        ...


class LiveBar:
    """A bar that moves, for a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, figures="")

    def show(self, standing: Standing, jobs_per_s: float | None) -> None:
        """Move the bar."""
        self._progress.update(
            self._task,
            description=standing.state,
            completed=standing.done,
            total=standing.total,
            figures=figures(standing, jobs_per_s),
        )

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(text)


class PlainLines:
    """A line every few seconds, for a log. `clock` is steady and in seconds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._next_line_s = clock()
        self._state = ""

    def show(self, standing: Standing, jobs_per_s: float | None) -> None:
        """Print a line if one is due, or if the state is another than before."""
        now_s = self._clock()
        if standing.state == self._state and now_s < self._next_line_s:
            return
        self._state, self._next_line_s = standing.state, now_s + PLAIN_LINE_EVERY_S
        count = f"{standing.done:,}/{standing.total:,} done"
        self.note(f"{standing.state}: {count}, {figures(standing, jobs_per_s)}")

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, soft_wrap=True)


class Nothing:
    """Shows nothing, for a program that reads JSON."""

    def show(self, standing: Standing, jobs_per_s: float | None) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


def display(console: Console, *, is_quiet: bool = False) -> AbstractContextManager[Display]:
    """Return what suits the console, to be entered."""
    if is_quiet:
        return nullcontext(Nothing())
    if not console.is_terminal:
        return nullcontext(PlainLines(console))
    return _LiveContext(console)


class _LiveContext(AbstractContextManager[Display]):
    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=BAR_WIDTH),
            MofNCompleteColumn(),
            # Wrapped: cut off would be the end, which is what one waits for.
            TextColumn("{task.fields[figures]}", markup=False, table_column=Column(ratio=1)),
            expand=True,
            console=console,
        )

    def __enter__(self) -> Display:
        self._progress.start()
        return LiveBar(self._progress)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
