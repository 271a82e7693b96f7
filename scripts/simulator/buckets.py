"""What holds a limit: a bucket that refills continuously, or a day's count that begins anew."""

from typing import NamedTuple

TOLERANCE = 1e-6
"""Of one token: who waits exactly as long as told is not refused for a rounding error."""

DAY_S = 86_400.0


class Reading(NamedTuple):
    """A limit as rate headers tell it: what is left, and the seconds until it is whole again."""

    limit: int
    remaining: int
    full_in_s: float

    def times(self, factor: float) -> "Reading":
        """Return what a header says that is wrong by `factor`."""
        if factor == 1.0:
            return self
        return Reading(int(self.limit * factor), int(self.remaining * factor), self.full_in_s)


class Tally:
    """What was counted in each second since `origin_s`."""

    __slots__ = ("_origin_s", "seconds")

    def __init__(self, origin_s: float) -> None:
        self._origin_s = origin_s
        self.seconds: list[int] = []

    def add(self, amount: int, now: float) -> None:
        """Count `amount` in the present second."""
        second = int(now - self._origin_s)
        try:
            self.seconds[second] += amount
        except IndexError:
            self.seconds += [0] * (second + 1 - len(self.seconds))
            self.seconds[second] = amount


class Bucket:
    """So much per second, and at most `burst_s` seconds of it at once.

    `foreign_s` is what other software takes in each second, from what is there: like everyone else
    it is refused while the bucket is empty.
    """

    __slots__ = ("_at", "_capacity", "_foreign_s", "_level", "limit", "rate")

    def __init__(
        self, limit: int, per_s: float, burst_s: float, *, is_full: bool, now: float
    ) -> None:
        self.limit = limit
        self.rate = limit / per_s
        # A bucket that can't hold one request would refuse for ever.
        self._capacity = max(1.0, self.rate * burst_s)
        self._level = self._capacity if is_full else 0.0
        self._at = now
        self._foreign_s = 0.0

    def share(self, foreign_s: float) -> None:
        """Let other software take so much in each second from now on."""
        self._foreign_s = foreign_s

    def refill(self, now: float) -> float:
        """Bring the level to `now` and return it; below zero is a debt."""
        passed_s = now - self._at
        self._at = now
        if self._foreign_s:
            self._level = self._refilled_beside_others(passed_s)
        else:
            self._level = min(self._capacity, self._level + passed_s * self.rate)
        return self._level

    def wait_s(self, cost: float, now: float) -> float:
        """Return how long a call must wait; one above the capacity waits for a full bucket."""
        missing = min(cost, self._capacity) - self.refill(now)
        return missing / self.rate if missing > TOLERANCE else 0.0

    def take(self, cost: float) -> None:
        """Take `cost`, into debt if need be."""
        self._level -= cost

    def reading(self, now: float) -> Reading:
        """Return what a rate header would say."""
        level = self.refill(now)
        return Reading(self.limit, max(0, int(level)), (self._capacity - level) / self.rate)

    def _refilled_beside_others(self, passed_s: float) -> float:
        level = self._level
        if level < 0:
            in_debt_s = min(passed_s, -level / self.rate)
            level += in_debt_s * self.rate
            passed_s -= in_debt_s
        left = level + passed_s * (self.rate - self._foreign_s)
        return min(self._capacity, max(min(level, 0.0), left))


class Window:
    """So much until `ends_at`, and then again every day."""

    __slots__ = ("_at", "_ends_at", "_foreign_s", "_used", "limit", "rate")

    def __init__(self, limit: int, *, ends_at: float, now: float) -> None:
        self.limit = limit
        self.rate = limit / DAY_S
        self._used = 0.0
        self._ends_at = ends_at
        self._at = now
        self._foreign_s = 0.0

    def share(self, foreign_s: float) -> None:
        """Let other software take so much in each second from now on."""
        self._foreign_s = foreign_s

    def wait_s(self, cost: float, now: float) -> float:
        """Return how long a call must wait: until the window ends, if it has no place in it."""
        self._advance(now)
        return 0.0 if self._used + cost <= self.limit + TOLERANCE else self._ends_at - now

    def take(self, cost: float) -> None:
        """Take `cost`, beyond the limit if need be."""
        self._used += cost

    def reading(self, now: float) -> Reading:
        """Return what a rate header would say."""
        self._advance(now)
        return Reading(self.limit, max(0, int(self.limit - self._used)), self._ends_at - now)

    def _advance(self, now: float) -> None:
        while now >= self._ends_at:
            self._used, self._at = 0.0, self._ends_at
            self._ends_at += DAY_S
        if self._used < self.limit:
            self._used = min(self.limit, self._used + (now - self._at) * self._foreign_s)
        self._at = now
