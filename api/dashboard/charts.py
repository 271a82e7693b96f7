"""Charts, as shapes to be drawn: where everything goes is computed here, and a template writes the SVG.

Each has a sentence for who doesn't see it, and its figures as a table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from api.dashboard import words

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 26
"""Of the drawing, in its own units; the page scales it to the room that there is."""

PLOT_WIDTH = WIDTH - LEFT - RIGHT
PLOT_HEIGHT = HEIGHT - TOP - BOTTOM
FLOOR = TOP + PLOT_HEIGHT

WIDE = 1.5
"""The least that the largest value of a histogram's scale is of the smallest."""

SERIES = 5
"""Colours that there are; what is more than these is told together."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis: where, and what it says."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Box:
    """A bar, or a piece of one; `series` chooses its colour, from 0."""

    x: float
    y: float
    width: float
    height: float
    series: int
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A value that a line across the plot tells."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that is drawn, and the same as a table."""

    title: str
    told: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    x_ticks: Sequence[Tick] = ()
    y_ticks: Sequence[Tick] = ()
    line: str = ""
    area: str = ""
    boxes: Sequence[Box] = ()
    marks: Sequence[Mark] = ()
    legend: Sequence[str] = ()


def progress(points: Sequence[tuple[datetime, int]], total: int) -> Chart | None:
    """Return how many jobs had ended at which time; None where there is nothing to draw."""
    if len(points) < 2 or points[0][0] >= points[-1][0]:
        return None
    began, ended = points[0][0], points[-1][0]
    span_s = (ended - began).total_seconds()
    places = [
        (
            LEFT + PLOT_WIDTH * (at - began).total_seconds() / span_s,
            FLOOR - PLOT_HEIGHT * number / total,
        )
        for at, number in points
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    last = points[-1][1]
    return Chart(
        title="Jobs ended over time",
        told=f"{words.count(last)} of {words.count(total)} jobs ended within "
        f"{words.duration(span_s)}, from {words.clock(began)} to {words.clock(ended)} UTC.",
        header=("time (UTC)", "jobs ended"),
        rows=[
            (f"{at:%Y-%m-%d %H:%M:%S}", words.count(number))
            for at, number in points[:: max(1, len(points) // 12)]
        ],
        x_ticks=_time_ticks(began, span_s),
        y_ticks=_ticks(total),
        line=line,
        area=f"{LEFT},{FLOOR} {line} {places[-1][0]:.1f},{FLOOR}",
    )


def pace(points: Sequence[tuple[datetime, int]]) -> Chart | None:
    """Return how many jobs ended per second between each two points; None if there are too few."""
    if len(points) < 3 or points[0][0] >= points[-1][0]:
        return None
    began = points[0][0]
    span_s = (points[-1][0] - began).total_seconds()
    steps = _per_stretch(points, stretches=40)
    highest = max(per_s for _, _, per_s in steps)
    if highest <= 0:
        return None
    top = _nice(highest)
    boxes = [
        Box(
            x=LEFT + PLOT_WIDTH * start / span_s,
            y=FLOOR - PLOT_HEIGHT * per_s / top,
            width=max(0.5, PLOT_WIDTH * (end - start) / span_s - 1),
            height=PLOT_HEIGHT * per_s / top,
            series=0,
            label=f"{began + timedelta(seconds=start):%H:%M:%S}: {words.rate(per_s)}",
        )
        for start, end, per_s in steps
    ]
    return Chart(
        title="Pace",
        told=f"Jobs that ended per second over {words.duration(span_s)}: "
        f"up to {words.rate(highest)}, at last {words.rate(steps[-1][2])}.",
        header=("from (UTC)", "jobs per second"),
        rows=[
            (f"{began + timedelta(seconds=start):%Y-%m-%d %H:%M:%S}", f"{per_s:.3g}")
            for start, _, per_s in steps
        ],
        x_ticks=_time_ticks(began, span_s),
        y_ticks=_ticks(top),
        boxes=boxes,
    )


def _per_stretch(
    points: Sequence[tuple[datetime, int]], stretches: int
) -> list[tuple[float, float, float]]:
    """Return of equal stretches of time where they begin and end, and how much came per second."""
    began = points[0][0]
    known = [((at - began).total_seconds(), number) for at, number in points]
    length = known[-1][0] / stretches
    found, index = [], 0

    def reached(moment: float) -> float:
        nonlocal index
        while index + 1 < len(known) - 1 and known[index + 1][0] < moment:
            index += 1
        (x0, y0), (x1, y1) = known[index], known[index + 1]
        return y0 if x1 <= x0 else y0 + (y1 - y0) * min(1.0, max(0.0, (moment - x0) / (x1 - x0)))

    before = reached(0.0)
    for step in range(stretches):
        after = reached((step + 1) * length)
        found.append((step * length, (step + 1) * length, max(0.0, after - before) / length))
        before = after
    return found


def histogram(title: str, values: Sequence[float], unit: str, bars: int = 24) -> Chart | None:
    """Return how values are spread, on a scale of powers, with the median and the 95th percentile."""
    values = sorted(value for value in values if value >= 0)
    if not values:
        return None
    edges, numbers = spread(values, bars)
    low, base = edges[0], math.log(edges[-1] / edges[0])
    top = _nice(max(numbers))
    width = PLOT_WIDTH / bars

    def shown(value: float) -> str:
        return words.duration(value / 1000) if unit == "ms" else words.short(value)

    def x_of(value: float) -> float:
        return LEFT + PLOT_WIDTH * min(1.0, math.log(max(value, low) / low) / base)

    median, late = percentile(values, 0.5), percentile(values, 0.95)
    kind = "" if unit == "ms" else f" {unit}"
    return Chart(
        title=title,
        told=f"Of {words.count(len(values))} calls half take up to {shown(median)}{kind}, and "
        f"95 % up to {shown(late)}{kind}; the largest is {shown(values[-1])}{kind}.",
        header=("from", "to", "calls"),
        rows=[
            (shown(edges[place]), shown(edges[place + 1]), words.count(number))
            for place, number in enumerate(numbers)
            if number
        ],
        x_ticks=[Tick(LEFT + PLOT_WIDTH * i / 4, shown(edges[i * bars // 4])) for i in range(5)],
        y_ticks=_ticks(top),
        boxes=[
            Box(
                x=LEFT + place * width + 0.5,
                y=FLOOR - PLOT_HEIGHT * number / top,
                width=width - 1,
                height=PLOT_HEIGHT * number / top,
                series=0,
                label=f"{shown(edges[place])} to {shown(edges[place + 1])}: {number}",
            )
            for place, number in enumerate(numbers)
            if number
        ],
        marks=[Mark(x_of(median), "half"), Mark(x_of(late), "95 %")],
    )


def spread(ordered: Sequence[float], bars: int) -> tuple[list[float], list[int]]:
    """Return the edges of so many bars on a scale of powers, and how many of ordered values each has."""
    low, high = max(ordered[0], 1.0), max(ordered[-1], 1.0)
    if high < low * WIDE:  # all alike: a narrow range would tell of differences that are none
        low, high = low / WIDE, high * WIDE
    base = math.log(high / low)
    numbers = [0] * bars
    for value in ordered:
        place = math.log(max(value, low) / low) / base
        numbers[min(bars - 1, int(place * bars))] += 1
    return [low * math.exp(base * step / bars) for step in range(bars + 1)], numbers


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the value below or at which so large a part of ordered values lies."""
    return ordered[min(len(ordered) - 1, max(0, math.ceil(part * len(ordered)) - 1))]


def columns(
    title: str, times: Sequence[str], series: Sequence[tuple[str, Sequence[float]]], unit: str
) -> Chart | None:
    """Return a stacked column for each day or time; `series` are names and a value for each of these.

    Colours go by their order. More than there are colours for are drawn as one, the last together.
    """
    ranked = list(series)
    if len(ranked) > SERIES:
        rest = [
            sum(values) for values in zip(*(one[1] for one in ranked[SERIES - 1 :]), strict=True)
        ]
        ranked = [*ranked[: SERIES - 1], (f"{len(ranked) - SERIES + 1} others", rest)]
    sums = [sum(one[1][place] for one in ranked) for place in range(len(times))]
    if not times or max(sums) <= 0:
        return None
    top = _nice(max(sums))
    width = min(48.0, PLOT_WIDTH / len(times))
    boxes = []
    for place, time in enumerate(times):
        y = float(FLOOR)
        for number, (name, values) in enumerate(ranked):
            height = PLOT_HEIGHT * values[place] / top
            y -= height
            if height > 0:
                label = f"{time}, {name}: {_amount(values[place], unit)}"
                x = LEFT + place * width + width * 0.1
                boxes.append(Box(x, y, width * 0.8, height, number, label))
    every = max(1, math.ceil(len(times) / 8))
    return Chart(
        title=title,
        told=f"{_amount(sum(sums), unit)} in all, most from "
        f"{times[sums.index(max(sums))]}: {_amount(max(sums), unit)}.",
        header=("from (UTC)", *(name for name, _ in ranked)),
        rows=[
            (time, *(_amount(values[place], unit) for _, values in ranked))
            for place, time in enumerate(times)
            if sums[place]
        ],
        x_ticks=[
            Tick(LEFT + place * width + width / 2, _short(time))
            for place, time in enumerate(times)
            if place % every == 0
        ],
        y_ticks=_ticks(top, "$" if unit == "$" else ""),
        boxes=boxes,
        legend=[name for name, _ in ranked],
    )


def _short(time: str) -> str:
    """Return a day without its year; the time of a day as it is."""
    return time[5:] if time.count("-") == 2 else time


def _amount(value: float, unit: str) -> str:
    return f"${value:,.2f}" if unit == "$" else f"{words.short(value)} {unit}"


def _nice(highest: float) -> float:
    """Return the end of an axis that reaches up to a value: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= highest * 0.9999)


def _ticks(top: float, sign: str = "") -> list[Tick]:
    return [
        Tick(FLOOR - PLOT_HEIGHT * quarter / 4, f"{sign}{words.short(top * quarter / 4)}")
        for quarter in (0, 2, 4)
    ]


def _time_ticks(began: datetime, span_s: float) -> list[Tick]:
    pattern = "%H:%M:%S" if span_s < 600 else "%H:%M" if span_s < words.DAY_S else "%m-%d %H:%M"
    return [
        Tick(
            LEFT + PLOT_WIDTH * quarter / 4,
            format(began + timedelta(seconds=span_s * quarter / 4), pattern),
        )
        for quarter in range(5)
    ]
