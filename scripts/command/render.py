"""Words and figures for a person's eyes. No text of a server or a model can move the cursor."""

import json
import sys
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.text import Text

JsonObject = dict[str, Any]

FIGURES = 3
"""Significant ones of an amount that is a bound, not a bill."""

_STATE_STYLES = {
    "completed": "green",
    "succeeded": "green",
    "running": "cyan",
    "paused": "yellow",
    "failed": "red",
    "expired": "red",
    "cancelled": "yellow",
}


def stdout() -> Console:
    """Return the console for what was asked for."""
    return Console(highlight=False, markup=False, emoji=False)


def stderr() -> Console:
    """Return the console for what is said on the way."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_json(value: object) -> None:
    """Print `value` as JSON on stdout."""
    sys.stdout.write(f"{json.dumps(value, ensure_ascii=False, indent=2)}\n")


def printable(text: str) -> str:
    """Return `text` on one line, with every character that a terminal would obey made visible."""
    return "".join(char if char.isprintable() else _made_visible(char) for char in text)


def _made_visible(char: str) -> str:
    return "⏎" if char == "\n" else char.encode("unicode_escape").decode("ascii")


def dollars(amount: str | None) -> str:
    """Return a decimal string of dollars for reading: as many places as it needs, two at least."""
    if amount is None:
        return "unknown"
    value = Decimal(amount)
    exponent = value.normalize().as_tuple().exponent
    places = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"${value:,.{places}f}"


def about(amount: str) -> str:
    """Return dollars to three figures: `$0.0123`, `$12.30`, `$4,570`."""
    value = Decimal(amount)
    if not value:
        return "$0"
    places = max(0, FIGURES - 1 - value.adjusted())
    return f"${round(value, places):,.{places}f}" if places != 1 else f"${value:,.2f}"


def known_dollars(amount: str | None, unpriced: int) -> str:
    """Return a sum that leaves out what has no known price: `≥ $0.01 (13 unpriced)`, or `unknown`."""
    if amount is None or not unpriced:
        return dollars(amount)
    return f"≥ {dollars(amount)} ({unpriced:,} unpriced)"


def tokens(usage: JsonObject) -> tuple[int, int]:
    """Return all tokens in and all tokens out of a usage object."""
    into = sum(
        usage[name] for name in ("input_tokens", "cached_input_tokens", "cache_write_tokens")
    )
    return into, usage["output_tokens"]


def state(word: str) -> Text:
    """Return a state or status in its colour."""
    return Text(word, style=_STATE_STYLES.get(word, ""))


def local_time(text: str | None) -> str:
    """Return an ISO time of the API in this machine's zone, empty where there is none."""
    if text is None:
        return ""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
