"""When a schedule is due: cron expressions in a time zone, read as Debian's cron does.

A time that a change of clocks skips is due when the clock has jumped; one that comes twice is due once.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from jobs.clock import UTC

HORIZON = timedelta(days=2)
"""How long ago a missed time may be and still be caught up: a weekend's outage, not last month's data."""

SET_BACK = timedelta(hours=3)
"""More than any zone's clocks are set back at once."""

FIELDS = 5
"""Minute, hour, day of the month, month, day of the week; cronsim alone also takes seconds."""


def zone_named(name: str) -> ZoneInfo:
    """Return a time zone such as Europe/Paris.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"{name[:80]!r} is no time zone: expected one such as 'Europe/Paris' or 'UTC'"
        ) from None


def check_cron(cron: str) -> str:
    """Return a cron expression that is due some time.

    Raises:
        ValueError: it is none, or never due; the message says what is wrong.
    """
    if len(cron.split()) != FIELDS:
        raise ValueError(
            f"{cron[:80]!r} has {len(cron.split())} fields: expected five, as '0 22 * * *' for every "
            "day at 22:00 (minute, hour, day of the month, month, day of the week)"
        )
    try:
        next(CronSim(cron, datetime(2000, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        raise ValueError(f"{cron[:80]!r} is no cron expression: {error}") from None
    except StopIteration:
        raise ValueError(f"{cron[:80]!r} is never due: there is no such day") from None
    return cron


def next_due(cron: str, zone: ZoneInfo, after: datetime) -> datetime:
    """Return the first time, in UTC, at which a checked expression is due after `after`."""
    return next(CronSim(cron, after.astimezone(zone))).astimezone(UTC)


def newest_due(cron: str, zone: ZoneInfo, *, since: datetime, until: datetime) -> datetime | None:
    """Return the last time, in UTC, at which it was due: after `since`, and `until` included.

    Of several missed times the newest alone is caught up; an older one than `HORIZON` isn't at all.
    """
    begin = max(since, until - HORIZON)
    # A second more, as the search begins before the moment that it is given; what it finds too late is
    # passed over.
    start = (until + timedelta(seconds=1)).astimezone(zone)
    if start.fold:
        # An hour comes again: what was due in it is ahead on the clock, which the search goes by.
        start = (until + SET_BACK).astimezone(zone)
    past = CronSim(cron, start, reverse=True)
    found = next(due for due in (each.astimezone(UTC) for each in past) if due <= until)
    return found if begin < found else None
