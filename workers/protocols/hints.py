"""How long a provider asks us to wait, in all the forms in which it may say so.

A hint is None unless it is a time that makes sense: the caller's own back-off is the better guess.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

LONGEST_WAIT_S = 86_400.0
"""A day: the longest window of any limit that providers document; longer wishes are cut to it."""

ABSURD_WAIT_S = 31 * 86_400.0
"""Beyond a billing period a number is a mistake (a time stamp, milliseconds), not a wish."""

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,15})?", re.ASCII)

_DURATION = re.compile(
    r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?"
    r"(?:(\d{1,9}(?:\.\d{1,12})?)s)?(?:(\d{1,12}(?:\.\d{1,12})?)ms)?",
    re.ASCII,
)
_UNITS_S = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)

_IN_WORDS = re.compile(
    r"(?:try again|retry) in (?:about )?"
    r"(?:(?P<seconds>\d{1,9}(?:\.\d{1,9})?) ?sec(?:ond)?s?\b|(?P<duration>\d[0-9dhms.]{1,40}))",
    re.ASCII | re.IGNORECASE,
)


def wait_hint(headers: Mapping[str, str], message: str, now: datetime) -> float | None:
    """Return the seconds to wait from the headers, else from the message's words, else None.

    `retry-after-ms` goes before `retry-after`: it is the finer one where both are sent.
    """
    milliseconds = number(headers.get("retry-after-ms"))
    if milliseconds is not None and (wait_s := credible(milliseconds / 1000)) is not None:
        return wait_s
    wait_s = retry_after(headers.get("retry-after"), now)
    return wait_s if wait_s is not None else wait_in_words(message)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Return the wait in a `retry-after` header: seconds, also with a fraction, or an HTTP date."""
    if value is None:
        return None
    seconds = number(value)
    if seconds is not None:
        return credible(seconds)
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    # "-0000" gives a naive time, which HTTP means as UTC.
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return credible((at - now).total_seconds())


def wait_in_words(message: str) -> float | None:
    """Return the wait in texts such as "Please try again in 6m0.5s." or "retry in 20 seconds"."""
    found = _IN_WORDS.search(message[:4000])
    if found is None:
        return None
    if found["seconds"] is not None:
        return credible(float(found["seconds"]))
    seconds = duration(found["duration"].rstrip("."))
    return None if seconds is None else credible(seconds)


def duration(text: str | None) -> float | None:
    """Return the seconds of a Go or protobuf duration (`1h2m3s`, `17.26s`, `120ms`, `1d`), or None.

    A bare number is seconds. Zero is a duration, though not a wish to wait.
    """
    text = (text or "").strip()
    bare = number(text)
    if bare is not None:
        return bare
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        return None
    # Every answer may have some of these, so it is a loop and no generator.
    seconds = 0.0
    for amount, unit_s in zip(found.groups(), _UNITS_S, strict=True):
        if amount:
            seconds += float(amount) * unit_s
    return seconds


def number(text: str | None) -> float | None:
    """Return a plain non-negative decimal number; None for `nan`, `-1`, `1_0` and other texts."""
    text = (text or "").strip()
    return float(text) if _NUMBER.fullmatch(text) else None


def credible(wait_s: float) -> float | None:
    """Return the wait, cut to a day; None where it is no time to wait or absurdly long."""
    if not math.isfinite(wait_s) or not 0 < wait_s <= ABSURD_WAIT_S:
        return None
    return min(wait_s, LONGEST_WAIT_S)


def until_midnight_pacific_s(now: datetime) -> float:
    """Return the seconds until Gemini's daily quotas start anew, at most 25 hours."""
    pacific = ZoneInfo("America/Los_Angeles")
    tomorrow = now.astimezone(pacific).date() + timedelta(days=1)
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=pacific)
    return (midnight.astimezone(UTC) - now).total_seconds()
