"""What a provider's headers teach: which of our dimensions they speak of, and a limit to believe."""

from collections.abc import Iterable
from typing import NamedTuple

from workers.gate.gate import Reading

DIMENSIONS: dict[str, dict[float, str]] = {
    "requests": {1.0: "rps", 60.0: "rpm", 3_600.0: "rph", 86_400.0: "rpd"},
    "tokens": {60.0: "tpm", 86_400.0: "tpd"},
    "project_tokens": {60.0: "tpm"},
    "input_tokens": {60.0: "itpm"},
    "output_tokens": {60.0: "otpm"},
}
"""By the header's word and its window; a window that is not here is not paced."""

USUAL_S = 60.0
"""The window of a header that doesn't tell it."""

TOLERANCE = 2.0
"""An inferred window may be off by this factor: the counts in headers are rounded."""

LARGEST_LIMIT = 10**12
"""No quota is larger; a header that says so is wrong."""

LEAST_USED = 0.005
"""Of a limit that must be used up before the time to its reset says something about its window."""


class Lesson(NamedTuple):
    """A limit (None: not told) and what is left of it, for one of our dimensions."""

    dimension: str
    limit: int | None
    remaining: int | None


def lessons(readings: Iterable[Reading]) -> list[Lesson]:
    """Return what can be believed of some readings; the rest is left out.

    Of two that speak of one dimension, the smaller limit counts.
    """
    learned: dict[str, Lesson] = {}
    for reading in readings:
        lesson = _lesson(reading)
        if lesson is None:
            continue
        known = learned.get(lesson.dimension)
        if known is None or (lesson.limit or LARGEST_LIMIT) < (known.limit or LARGEST_LIMIT):
            learned[lesson.dimension] = lesson
    return list(learned.values())


def _lesson(reading: Reading) -> Lesson | None:
    windows = DIMENSIONS.get(reading.dimension, {})
    dimension = windows.get(_period_s(reading, windows))
    if dimension is None:
        return None
    limit = reading.limit
    if limit is not None and not 0 < limit <= LARGEST_LIMIT:
        return None
    remaining = reading.remaining
    if remaining is not None and not 0 <= remaining <= (limit or LARGEST_LIMIT):
        remaining = None
    if limit is None and remaining is None:
        return None
    return Lesson(dimension, limit, remaining)


def _period_s(reading: Reading, windows: Iterable[float]) -> float:
    """Return the window that a reading speaks of: told, inferred from its reset, or the usual one.

    A bucket that refills evenly is full again after window x used / limit. A window shorter than the
    usual one is never inferred: an empty bucket that holds one second of a limit per minute looks the
    same as a limit per second, and believing that would be sixty times too fast.
    """
    if reading.period_s is not None:
        return reading.period_s
    limit, remaining, reset_s = reading.limit, reading.remaining, reading.reset_s
    if limit is None or remaining is None or reset_s is None or reset_s <= 0:
        return USUAL_S
    used = limit - remaining
    if limit <= 0 or used < max(1, limit * LEAST_USED):
        return USUAL_S
    inferred_s = reset_s * limit / used
    for window_s in sorted(window_s for window_s in windows if window_s > USUAL_S):
        if window_s / TOLERANCE <= inferred_s <= window_s * TOLERANCE:
            return window_s
    return USUAL_S
