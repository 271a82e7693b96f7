"""The limits in force: who holds which quota, what is left of it, and what was taken when."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from heapq import heapreplace
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from scripts.simulator.buckets import DAY_S, Bucket, Reading, Tally, Window
from scripts.simulator.calls import Failure, FailureKind
from scripts.simulator.charging import Charge
from scripts.simulator.limits import Limit

PERIODS_S = {
    "rps": 1.0,
    "rpm": 60.0,
    "rph": 3600.0,
    "tpm": 60.0,
    "itpm": 60.0,
    "otpm": 60.0,
}
"""The dimensions that are buckets."""

DAYS = ("rpd", "tpd")
"""The dimensions that are counted until a reset."""

CHARGED = {
    name: Charge._fields.index(charge)
    for name, charge in (("tpm", "tpm"), ("itpm", "itpm"), ("otpm", "otpm"), ("tpd", "tpm"))
}
"""Which field of a charge a dimension counts; the others count requests."""

MIDNIGHTS = {"gemini": ZoneInfo("America/Los_Angeles")}
"""Where a provider's day ends; elsewhere it is UTC's."""


class Dimension:
    """One dimension of a quota, with its own account of each second."""

    __slots__ = ("charged", "holder", "name", "refused", "taken")

    def __init__(self, name: str, holder: Bucket | Window, origin_s: float) -> None:
        self.name = name
        self.charged = CHARGED.get(name)
        self.holder = holder
        self.taken = Tally(origin_s)
        self.refused = Tally(origin_s)

    def cost(self, charge: Charge) -> int:
        """Return what a call takes when it starts."""
        return 1 if self.charged is None else charge[self.charged]

    def take(self, cost: int, now: float) -> None:
        """Take and count it."""
        self.holder.take(cost)
        self.taken.add(cost, now)

    def describe(self) -> dict[str, Any]:
        """Return the account: `rate` is per second, the lists are by second since the start."""
        return {
            "limit": self.holder.limit,
            "rate": self.holder.rate,
            "taken": self.taken.seconds,
            "refused": self.refused.seconds,
        }


class Quota:
    """One limit, held by one model, key or pool.

    `now` is when it was set. Its account of each second counts from `origin_s`, by default from
    then; a day's count ends after `resets_in_s`.
    """

    def __init__(
        self,
        limit: Limit,
        now: float,
        *,
        resets_in_s: float = DAY_S,
        origin_s: float | None = None,
    ) -> None:
        self.limit = limit
        self._in_flight = 0
        self._places = None if limit.queue_above is None else [0.0] * limit.queue_above
        self._origin_s = now if origin_s is None else origin_s
        self._too_many = Tally(self._origin_s)
        self.dimensions = [
            *(self._bucket(name, now) for name in PERIODS_S if getattr(limit, name) is not None),
            *(
                self._window(name, now, limit.resets_in_s or resets_in_s)
                for name in DAYS
                if getattr(limit, name) is not None
            ),
        ]

    def refusal(self, charge: Charge, now: float) -> Failure | None:
        """Return why a call may not start now, None if it may."""
        concurrency = self.limit.concurrency
        if concurrency is not None and self._in_flight >= concurrency:
            self._too_many.add(1, now)
            return Failure(
                FailureKind.RATE_LIMITED,
                dimension="concurrency",
                limit=concurrency,
                used=self._in_flight,
                requested=1,
            )
        worst: Dimension | None = None
        longest_s = 0.0
        for dimension in self.dimensions:
            wait_s = dimension.holder.wait_s(dimension.cost(charge), now)
            if wait_s > longest_s:
                worst, longest_s = dimension, wait_s
        return None if worst is None else self._refuse(worst, longest_s, charge, now)

    def start(self, charge: Charge, now: float) -> None:
        """Charge an admitted call."""
        self._in_flight += 1
        for dimension in self.dimensions:
            dimension.take(dimension.cost(charge), now)

    def end(self, charge: Charge, now: float) -> None:
        """Charge what a call really used; it is no longer in flight."""
        self._in_flight -= 1
        for dimension in self.dimensions:
            if dimension.charged is not None and charge[dimension.charged]:
                dimension.take(charge[dimension.charged], now)

    def queue_s(self, works_s: float, now: float) -> float:
        """Return how long a call waits for its turn that then takes `works_s`."""
        places = self._places
        if places is None:
            return 0.0
        begins_at = max(now, places[0])
        heapreplace(places, begins_at + works_s)
        return begins_at - now

    def describe(self) -> dict[str, Any]:
        """Return what was taken and refused in each second, by dimension."""
        found = {dimension.name: dimension.describe() for dimension in self.dimensions}
        if self.limit.concurrency is not None:
            found["concurrency"] = {
                "limit": self.limit.concurrency,
                "refused": self._too_many.seconds,
            }
        return found

    def _bucket(self, name: str, now: float) -> Dimension:
        limit = self.limit
        burst_s = min(limit.burst_s, 1.0) if name == "rps" else limit.burst_s
        is_full = limit.start == "full"
        bucket = Bucket(getattr(limit, name), PERIODS_S[name], burst_s, is_full=is_full, now=now)
        return self._dimension(name, bucket)

    def _window(self, name: str, now: float, resets_in_s: float) -> Dimension:
        return self._dimension(
            name, Window(getattr(self.limit, name), ends_at=now + resets_in_s, now=now)
        )

    def _dimension(self, name: str, holder: Bucket | Window) -> Dimension:
        holder.share(self.limit.foreign_tps if name in CHARGED else self.limit.foreign_rps)
        return Dimension(name, holder, self._origin_s)

    def _refuse(self, worst: Dimension, wait_s: float, charge: Charge, now: float) -> Failure:
        worst.refused.add(1, now)
        cost, limit = worst.cost(charge), worst.holder.limit
        return Failure(
            FailureKind.RATE_LIMITED,
            wait_s=wait_s if self.limit.hint and cost <= limit else None,
            dimension=worst.name,
            limit=limit,
            used=max(0, limit - worst.holder.reading(now).remaining),
            requested=cost,
        )


Quotas = tuple[Quota, ...]
"""Every quota that one call is subject to."""


class Limits:
    """All quotas of the simulator, made when the first call needs them, as if made when set.

    `now` is when the limits were set; the accounts of each second count from `origin_s`.
    """

    def __init__(
        self, limits: Sequence[Limit], now: float = 0.0, origin_s: float | None = None
    ) -> None:
        self.limits = tuple(limits)
        self._set_at = now
        self._set_on = datetime.now(UTC)
        self._origin_s = now if origin_s is None else origin_s
        self._quotas: dict[tuple[str, ...], Quota] = {}
        self._found: dict[tuple[str, str, str], Quotas] = {}

    def quotas(self, protocol: str, model: str, key: str) -> Quotas:
        """Return the quotas of a call with this API key."""
        if not self.limits:
            return ()
        where = (protocol, model, key)
        found = self._found.get(where)
        if found is None:
            found = tuple(
                self._quota(number, limit, where)
                for number, limit in enumerate(self.limits)
                if fnmatchcase(protocol, limit.protocol) and fnmatchcase(model, limit.model)
            )
            self._found[where] = found
        return found

    def describe(self) -> list[dict[str, Any]]:
        """Return every quota in use: its limit, who holds it, and its account of each second."""
        return [
            {
                "limit": msgspec.structs.asdict(quota.limit),
                "holder": holder,
                "dimensions": quota.describe(),
            }
            for (_, *holder), quota in self._quotas.items()
        ]

    def _quota(self, number: int, limit: Limit, where: tuple[str, str, str]) -> Quota:
        protocol, model, key = where
        holder = {"model": (protocol, model), "key": (protocol, key), "pool": ()}[limit.per]
        name = (str(number), *holder)
        if name not in self._quotas:
            self._quotas[name] = Quota(
                limit,
                self._set_at,
                resets_in_s=seconds_to_midnight(protocol, self._set_on),
                origin_s=self._origin_s,
            )
        return self._quotas[name]


def seconds_to_midnight(protocol: str, at: datetime) -> float:
    """Return how long a provider's day still lasts at an aware time."""
    local = at.astimezone(MIDNIGHTS.get(protocol, UTC))
    next_day = (local + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    # In UTC, because a day on which the clocks change has another length.
    return (next_day.astimezone(UTC) - at.astimezone(UTC)).total_seconds()


def admit(quotas: Quotas, charge: Charge, now: float) -> Failure | None:
    """Start a call in every quota, or in none: then the first refusal is returned."""
    for quota in quotas:
        refusal = quota.refusal(charge, now)
        if refusal is not None:
            return refusal
    for quota in quotas:
        quota.start(charge, now)
    return None


def readings(quotas: Quotas, now: float) -> dict[str, Reading]:
    """Return each dimension's reading as headers tell it, the tightest of several quotas."""
    found: dict[str, Reading] = {}
    for quota in quotas:
        limit = quota.limit
        for dimension in quota.dimensions if limit.headers else ():
            reading = dimension.holder.reading(now).times(limit.header_factor)
            known = found.get(dimension.name)
            if known is None or reading.remaining < known.remaining:
                found[dimension.name] = reading
    return found
