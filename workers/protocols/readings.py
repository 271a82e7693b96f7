"""What a reply's headers say of the provider's limits, in whichever of the many names they have.

Read for every answer, so a reply without such headers costs next to nothing. Headers are untrusted:
what can't be true is left out. What follows from a reading is the gate's to decide.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import NamedTuple

from workers.gate.gate import Reading
from workers.protocols import hints

LARGEST_LIMIT = 10**12
"""Above all that is sold, in tokens a day; a larger number means "unlimited", or nothing."""

TRUSTED_SKEW = timedelta(seconds=2)
"""Clocks that differ by more are not kept in step: then the reply's own `date` is its present."""

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86_400.0

_PLAIN_DIGITS = 15
"""Numbers up to this length are read without a pattern, nearly all of them."""


class Window(NamedTuple):
    """What a limit counts, and over how long where a header's name says so."""

    dimension: str
    period_s: float | None


class Place(NamedTuple):
    """Where a header's value belongs. `field` is "limit", "remaining" or "reset"."""

    window: Window
    field: str
    is_forwarded: bool = False


Names = Mapping[str, Place]


def _openai() -> Names:
    """OpenAI's names, also with the endings that Cerebras gives them.

    Without an ending nothing tells the period: Groq counts requests by the day under the same name.
    """
    words = {"requests": "requests", "tokens": "tokens", "project-tokens": "project_tokens"}
    endings = {"": None, "-minute": MINUTE_S, "-hour": HOUR_S, "-day": DAY_S}
    return {
        f"x-ratelimit-{field}-{word}{ending}": Place(Window(dimension, period_s), field)
        for field in ("limit", "remaining", "reset")
        for word, dimension in words.items()
        for ending, period_s in endings.items()
    }


def _anthropic() -> Names:
    words = ("requests", "tokens", "input-tokens", "output-tokens")
    return {
        f"anthropic-ratelimit-{word}-{field}": Place(Window(word.replace("-", "_"), None), field)
        for field in ("limit", "remaining", "reset")
        for word in words
    }


def _mistral() -> Names:
    """Mistral's names, and those of its older models, which know tokens only.

    Those say the same limit once without a period and once with it. Their tokens by the month are
    left out: a month's quota is nothing to pace by.
    """
    requests, tokens = Window("requests", MINUTE_S), Window("tokens", MINUTE_S)
    names: dict[str, Place] = {"ratelimitbysize-reset": Place(tokens, "reset")}
    for field in ("limit", "remaining"):
        names[f"x-ratelimit-{field}-req-minute"] = Place(requests, field)
        names[f"x-ratelimit-{field}-tokens-minute"] = Place(tokens, field)
        names[f"ratelimitbysize-{field}"] = Place(tokens, field)
        names[f"x-ratelimitbysize-{field}-minute"] = Place(tokens, field)
    return names


def _litellm() -> Names:
    """LiteLLM's names for the limits of the key that it was called with."""
    return {
        "x-litellm-key-rpm-limit": Place(Window("requests", MINUTE_S), "limit"),
        "x-litellm-key-tpm-limit": Place(Window("tokens", MINUTE_S), "limit"),
    }


def _with_forwarded(names: Names) -> Names:
    """Return the names, and each as LiteLLM passes on the headers of the provider behind it."""
    forwarded = {
        f"llm_provider-{name}": place._replace(is_forwarded=True) for name, place in names.items()
    }
    return {**names, **forwarded}


class RateHeaders:
    """The names under which a wire format's servers tell their limits."""

    def __init__(self, *formats: Names) -> None:
        names = {name: place for some in formats for name, place in some.items()}
        self._places = _with_forwarded(names)
        self._names = frozenset(self._places)

    def read(self, headers: Mapping[str, str], now: datetime) -> tuple[Reading, ...]:
        """Return one reading for each limit of which the headers tell its size, or what is left.

        `headers` has lower-case names; `now` is aware. What a proxy says itself goes before what it
        passes on.
        """
        if self._names.isdisjoint(headers):
            return ()
        found: dict[str, dict[Window, float]] = {"limit": {}, "remaining": {}, "reset": {}}
        present = present_of(headers, now)
        for name, text in headers.items():
            place = self._places.get(name)
            if place is None:
                continue
            window, field, is_forwarded = place
            values = found[field]
            if is_forwarded and window in values:
                continue
            value = seconds_until(text, present) if field == "reset" else count(text)
            if value is not None:
                values[window] = value
        return _readings(**found)


def _readings(
    limit: Mapping[Window, float], remaining: Mapping[Window, float], reset: Mapping[Window, float]
) -> tuple[Reading, ...]:
    readings = []
    for window in {**limit, **remaining}:
        size, left = limit.get(window), remaining.get(window)
        if size == 0:
            # Some servers write so that there is none; the call was served, after all.
            continue
        if size is not None and left is not None:
            # Anthropic rounds what is left to the nearest thousand, also upwards.
            left = min(left, size)
        readings.append(
            Reading(
                window.dimension, _whole(size), _whole(left), reset.get(window), window.period_s
            )
        )
    return tuple(readings)


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def count(text: str) -> int | None:
    """Return a number of requests or tokens; None where it can't be one."""
    if len(text) <= _PLAIN_DIGITS and text.isascii() and text.isdecimal():
        number = int(text)
    else:
        fraction = hints.number(text)
        if fraction is None:
            return None
        number = int(fraction)
    return number if number <= LARGEST_LIMIT else None


def seconds_until(text: str, present: datetime) -> float | None:
    """Return the seconds until a reset: a duration, or a time of RFC 3339; None if not credible.

    A time that has just passed is zero seconds away.
    """
    seconds = _seconds_to(text, present) if text[4:5] == "-" else hints.duration(text)
    if seconds is None or not -MINUTE_S <= seconds <= hints.ABSURD_WAIT_S:
        return None
    return max(seconds, 0.0)


def _seconds_to(text: str, present: datetime) -> float | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - present).total_seconds()


def present_of(headers: Mapping[str, str], now: datetime) -> datetime:
    """Return the present by which a reply's times count: `now`, unless its `date` tells otherwise.

    Such times are the server's. Our clock is the finer one, but not where it is plainly another.
    """
    server_now = _date(headers.get("date", ""))
    if server_now is None or abs(server_now - now) <= TRUSTED_SKEW:
        return now
    return server_now


@lru_cache(maxsize=64)
def _date(text: str) -> datetime | None:
    """Return the time in an HTTP date; the replies of one second have the same."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


OPENAI = RateHeaders(_anthropic(), _mistral(), _litellm(), _openai())
"""Also what other servers of this format say, be it of themselves or of the one behind them."""

ANTHROPIC = RateHeaders(_anthropic())
MISTRAL = RateHeaders(_mistral())
