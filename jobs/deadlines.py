"""By when a batch is wanted, and in which hours it may run. Pure.

People say times as clocks show them. What they say is turned into moments here, so that a night on which
the clock is set is as long as it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Self
from zoneinfo import ZoneInfo

from jobs.clock import UTC

FARTHEST = timedelta(days=366)
"""A deadline is no farther away: what is, was mistyped."""

EXPECTED_DEADLINE = (
    "expected a time with its offset, such as `2026-12-01T06:00:00+01:00`, or a time of day and a "
    "zone, such as `06:00 Europe/Paris`"
)
EXPECTED_WINDOW = "expected hours and a zone, such as `22:00-06:00 Europe/Paris`"

_TIME_OF_DAY = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)


class AfterDeadline(StrEnum):
    """What becomes of the jobs that are open when a batch's deadline has passed."""

    FINISH = "finish"
    """They are run all the same; that the batch is late is told."""
    EXPIRE = "expire"
    """They end as `expired`, and so does the batch."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """By when something is wanted, as it was said: at a moment, or at the next such time of day."""

    moment: datetime | None = None
    time_of_day: time | None = None
    zone: ZoneInfo | None = None

    @classmethod
    def of(cls, text: str) -> Self:
        """Read what a person said.

        Raises:
            ValueError: it is no time; the message says what is expected.
        """
        clock, _, zone_name = text.partition(" ")
        if zone_name and _TIME_OF_DAY.fullmatch(clock):
            return cls(time_of_day=_time_of_day(clock), zone=_zone(zone_name, EXPECTED_DEADLINE))
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                raise ValueError(f"a time without its zone; {EXPECTED_DEADLINE}")
            return cls(moment=moment.astimezone(UTC))
        except OverflowError:
            raise ValueError(EXPECTED_DEADLINE) from None
        except ValueError as error:
            told = str(error)
            raise ValueError(told if EXPECTED_DEADLINE in told else EXPECTED_DEADLINE) from None

    def after(self, now: datetime) -> datetime:
        """Return the moment that is meant, by an aware `now`, as UTC.

        Raises:
            ValueError: it is over, or too far away to be meant.
        """
        if self.moment is None:
            assert self.time_of_day is not None
            assert self.zone is not None
            return next_time(now, self.time_of_day, self.zone)
        if self.moment <= now:
            raise ValueError(f"{self.moment.isoformat()} is over")
        if self.moment - now > FARTHEST:
            raise ValueError(f"{self.moment.isoformat()} is more than a year away")
        return self.moment


@dataclass(frozen=True, slots=True)
class RunWindow:
    """The hours of each day in which a batch may run, by the clocks of a zone; they may pass midnight."""

    begins: time
    ends: time
    zone: ZoneInfo

    @classmethod
    def of(cls, text: str) -> Self:
        """Read what a person said.

        Raises:
            ValueError: it is no such thing; the message says what is expected.
        """
        hours, _, zone_name = text.partition(" ")
        begins, _, ends = hours.partition("-")
        if not (_TIME_OF_DAY.fullmatch(begins) and _TIME_OF_DAY.fullmatch(ends) and zone_name):
            raise ValueError(EXPECTED_WINDOW)
        if begins == ends:
            raise ValueError("the window begins when it ends; leave it out to run at any time")
        zone = _zone(zone_name, EXPECTED_WINDOW)
        return cls(_time_of_day(begins), _time_of_day(ends), zone)

    def __str__(self) -> str:
        """Return what `of` reads."""
        return f"{self.begins:%H:%M}-{self.ends:%H:%M} {self.zone.key}"

    def is_open(self, now: datetime) -> bool:
        """Whether work may be begun."""
        return self.closes(now) is not None

    def opens_after(self, now: datetime) -> datetime:
        """Return when it opens next, after `now`."""
        return next(begins for begins, _ in self._around(now) if begins > now)

    def closes(self, now: datetime) -> datetime | None:
        """Return when it closes, if it is open now."""
        return next((ends for begins, ends in self._around(now) if begins <= now < ends), None)

    def open_s(self, since: datetime, until: datetime) -> float:
        """Return for how many seconds it is open between two moments."""
        total_s, at = 0.0, since
        while at < until:
            closes = self.closes(at)
            if closes is None:
                at = self.opens_after(at)
                continue
            closes = min(closes, until)
            total_s += (closes - at).total_seconds()
            at = closes
        return total_s

    def after_open_s(self, since: datetime, work_s: float) -> datetime:
        """Return when it has been open for so many seconds since then; within a year, or a year."""
        at, left_s = since, work_s
        while at - since < FARTHEST:
            closes = self.closes(at)
            if closes is None:
                at = self.opens_after(at)
                continue
            room_s = (closes - at).total_seconds()
            if left_s <= room_s:
                return at + timedelta(seconds=left_s)
            left_s -= room_s
            at = closes
        return at

    def _around(self, now: datetime) -> Iterator[tuple[datetime, datetime]]:
        """Yield when it opens and closes, on the days before and after `now`."""
        today = now.astimezone(self.zone).date()
        for ahead in range(-2, 4):
            day = today + timedelta(days=ahead)
            last = day if self.begins < self.ends else day + timedelta(days=1)
            begins, ends = _moment(day, self.begins, self.zone), _moment(last, self.ends, self.zone)
            if begins < ends:  # or a clock that was set forward has left it out
                yield begins, ends


def next_time(now: datetime, time_of_day: time, zone: ZoneInfo) -> datetime:
    """Return the next moment after `now` at which a zone's clocks show this time, as UTC.

    A time that a clock leaves out, as it is set forward, is as late as it would have been before; of
    one that it shows twice the first is meant.
    """
    today = now.astimezone(zone).date()
    days = (today + timedelta(days=ahead) for ahead in (-1, 0, 1, 2))
    moments = (_moment(day, time_of_day, zone) for day in days)
    return next(moment for moment in moments if moment > now)


def _moment(day: date, time_of_day: time, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time_of_day, zone).astimezone(UTC)


def _time_of_day(text: str) -> time:
    hours, minutes = text.split(":")
    return time(int(hours), int(minutes))


def _zone(name: str, expected: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # as it finds no file, a folder, or a path
        raise ValueError(f"{name[:40]!r} is no time zone; {expected}") from None
