"""A deadline as a person writes it: a time span from now, or a point in time."""

import re
from datetime import datetime, timedelta

_SPAN = re.compile(r"(\d{1,6})\s*(s|m|min|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days"}


def parse_deadline(text: str, now: datetime) -> datetime:
    """Return the moment that `text` means: `90m`, `12h`, `2d`, or an ISO time.

    A time without a zone is this machine's. `now` is aware.

    Raises:
        ValueError: it is neither, or not after `now`.
    """
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        deadline = now + timedelta(**{_UNITS[span[2]]: int(span[1])})
    else:
        try:
            deadline = datetime.fromisoformat(text.strip())
        except ValueError:
            raise ValueError(f"{text!r} is neither a span such as 12h nor an ISO time") from None
        deadline = deadline.astimezone(now.tzinfo)
    if deadline <= now:
        raise ValueError(f"{text!r} is not in the future")
    return deadline
