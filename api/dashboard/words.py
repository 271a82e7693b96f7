"""How figures are written on pages: short enough to be read at a glance, and never more exact than true."""

import math
from datetime import UTC, datetime, timedelta

from jobs.money import NANOS_PER_DOLLAR

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86_400

NO_FIGURE = "–"


def count(number: int) -> str:
    """Return a whole number with separators: `1,234,567`."""
    return f"{number:,}"


def short(number: float) -> str:
    """Return a number in at most four characters or so: `950`, `12.3k`, `4.57M`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size * 0.9995:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"


def usd(nanos: int | None) -> str:
    """Return an amount as people write it, small ones with two digits that say something: `$0.0042`."""
    if nanos is None:
        return NO_FIGURE
    dollars = abs(nanos) / NANOS_PER_DOLLAR
    sign = "-" if nanos < 0 else ""
    if dollars == 0 or dollars >= 1:
        return f"{sign}${dollars:,.2f}"
    places = 1 - math.floor(math.log10(dollars))  # two digits that say something
    whole, _, cents = f"{dollars:.{max(3, places)}f}".partition(".")
    return f"{sign}${whole}.{cents.rstrip('0'):0<2}"


def share(part: float, whole: float) -> str:
    """Return a share in per cent; what is not nothing is not `0 %`, and what is not all not `100 %`."""
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    if percent < 0.1:
        return "< 0.1 %"
    if part < whole and percent > 99.9:
        return "> 99.9 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE_S:
        return f"{whole} s"
    if whole < HOUR_S:
        return _two(whole, MINUTE_S, "min", 1, "s")
    return (
        _two(whole, HOUR_S, "h", MINUTE_S, "min")
        if whole < DAY_S
        else _two(whole, DAY_S, "d", HOUR_S, "h")
    )


def _two(whole: int, size: int, unit: str, smaller_size: int, smaller: str) -> str:
    large, rest = divmod(whole, size)
    small = rest // smaller_size
    return f"{large} {unit} {small} {smaller}" if small else f"{large} {unit}"


def between(low_s: float, high_s: float) -> str:
    """Return a range of time, in one unit where both ends have it: `4 to 7 min`."""
    low, high = _rough(low_s), _rough(high_s)
    if low == high:
        return f"about {low}"
    number, _, unit = low.partition(" ")
    return f"{number} to {high}" if high.endswith(f" {unit}") else f"{low} to {high}"


def _rough(seconds: float) -> str:
    for size, unit in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(1, round(seconds))} s"


def ago(moment: datetime, now: datetime) -> str:
    """Return how long ago something was: `just now`, `3 min ago`, `2 d ago`."""
    seconds = (now - moment) / timedelta(seconds=1)
    return "just now" if seconds < 10 else f"{_rough(seconds)} ago"


def clock(moment: datetime) -> str:
    """Return a time for people: `2026-11-27 06:05`, UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"


def rate(per_s: float) -> str:
    """Return a pace in the unit in which it is a number that says something."""
    if per_s >= 1:
        return f"{short(per_s)}/s"
    return (
        f"{short(per_s * MINUTE_S)}/min" if per_s * MINUTE_S >= 1 else f"{short(per_s * HOUR_S)}/h"
    )
