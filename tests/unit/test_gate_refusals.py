"""How a pool comes through 429s, its limits known or not: by the script alone, on a clock of the test's."""

import random
from collections import deque
from collections.abc import Callable

import pytest
from fakeredis import FakeRedis

from workers.gate.scopes import Scope
from workers.gate.script import SOURCE, Order, Spoken, Wish, read_reply

LIMIT_S = 100.0
KNOWN = Scope("tidemill:gate:{p/m}", "", ("*",), {"rpm": round(LIMIT_S * 60)})
UNKNOWN = Scope("tidemill:gate:{p/m}", "", ("*",), {})
MODEL = Scope("tidemill:gate:{p/m}:a", "a", ("a",), {})
STEP_S = 0.25
BEGIN_S = 1_000_000.0


class Fleet:
    """Always has more calls than may leave, and hears how they ended `takes_s` later.

    Of refusals it hears in the next round.
    """

    def __init__(
        self,
        admits: Callable[[float, int], int],
        pool: Scope = KNOWN,
        takes_s: float = STEP_S,
    ) -> None:
        self._pool, self._takes_s = pool, takes_s
        self._in_flight: deque[tuple[float, int]] = deque()
        self._script = FakeRedis().register_script(SOURCE)
        self._admits = admits
        """How many of so many calls the provider answers well at a second; it refuses the rest."""
        self._now_s = 0.0
        self._told: dict[str, object] = {}
        self.sent: list[tuple[float, int]] = []
        self.refused: list[tuple[float, int]] = []

    def run(self, until_s: float) -> None:
        while self._now_s < until_s:
            self._now_s += STEP_S
            ended = 0
            while self._in_flight and self._in_flight[0][0] <= self._now_s:
                ended += self._in_flight.popleft()[1]
            if ended:
                latency = [self._takes_s / 30, self._takes_s]
                self._told |= {"good": ended, "latency": latency}
            flights = sum(count for _, count in self._in_flight)
            scopes = [Spoken(self._pool, flights), Spoken(MODEL, flights, self._told)]
            order = Order("p", scopes, [WISH] * 40)
            now = f"{BEGIN_S + self._now_s:.6f}"
            reply = read_reply(self._script(keys=order.keys(), args=[order.argument(), now]))
            sent = sum(start is not None for start in reply.starts)
            good = self._admits(self._now_s, sent)
            self.sent.append((self._now_s, sent))
            self.refused.append((self._now_s, sent - good))
            self._told = {}
            self._in_flight.append((self._now_s + self._takes_s, good))
            if good < sent:
                stop = {"wait": 1.0, "most": 15.0, "reason": "rate_limited", "hinted": False}
                self._told["limited"] = {**stop, "n": sent - good}
            if reply.probes:
                self._told["probe"] = "good" if good else "bad"

    def rate(self, begin_s: float, end_s: float) -> float:
        """Calls that left in a second, in parts of the limit."""
        sent = sum(count for at, count in self.sent if begin_s < at <= end_s)
        return sent / (end_s - begin_s) / LIMIT_S

    def refusals(self, begin_s: float, end_s: float) -> float:
        """Calls that were refused in a second, in parts of the limit."""
        refused = sum(count for at, count in self.refused if begin_s < at <= end_s)
        return refused / (end_s - begin_s) / LIMIT_S


WISH = Wish(1, 3, 10, 5, 5, 10)
STORM_S = (60.0, 120.0)


def in_storm(now_s: float) -> bool:
    return STORM_S[0] <= now_s < STORM_S[1]


def test_after_a_storm_that_refuses_everything_the_rate_is_back_within_half_a_minute() -> None:
    fleet = Fleet(lambda now_s, calls: 0 if in_storm(now_s) else calls)
    fleet.run(160.0)
    assert sum(n for at, n in fleet.refused if at > STORM_S[0] + 5.0) <= 60 / 5  # probes only
    assert fleet.rate(140.0, 150.0) >= 0.9


def test_after_a_storm_that_refuses_every_other_call_the_rate_is_back_within_half_a_minute() -> (
    None
):
    chance = random.Random(1)  # noqa: S311

    def admits(now_s: float, calls: int) -> int:
        return sum(chance.random() < 0.5 for _ in range(calls)) if in_storm(now_s) else calls

    fleet = Fleet(admits)
    fleet.run(160.0)
    assert fleet.rate(110.0, 120.0) < 0.3
    assert fleet.rate(145.0, 155.0) >= 0.9


def refusing(share: float) -> Callable[[float, int], int]:
    """Return a provider that refuses this share of all calls, however many there are."""
    chance = random.Random(1)  # noqa: S311
    return lambda _now_s, calls: sum(chance.random() >= share for _ in range(calls))


@pytest.mark.parametrize("share", [0.005, 0.01, 0.02])
def test_refusals_that_have_nothing_to_do_with_the_rate_do_not_lower_it(share: float) -> None:
    fleet = Fleet(refusing(share))
    fleet.run(200.0)
    assert fleet.rate(10.0, 200.0) >= 0.97


def test_a_limit_that_was_lowered_in_vain_is_used_again() -> None:
    strays = refusing(0.02)

    def admits(now_s: float, calls: int) -> int:
        return 0 if in_storm(now_s) else strays(now_s, calls)

    fleet = Fleet(admits)
    fleet.run(240.0)
    assert fleet.rate(180.0, 240.0) >= 0.9


def test_a_pool_that_refuses_everything_is_left_alone_at_once() -> None:
    fleet = Fleet(lambda now_s, calls: 0 if in_storm(now_s) else calls)
    fleet.run(STORM_S[1])
    assert fleet.refusals(STORM_S[0], STORM_S[0] + 1.0) <= 2 * STEP_S


class Bucket:
    """A provider that admits so many calls a second; its bucket is empty at first."""

    def __init__(self, calls_s: float, burst_s: float) -> None:
        self._calls_s, self._size = calls_s, calls_s * burst_s
        self._level = self._at_s = 0.0

    def admits(self, now_s: float, calls: int) -> int:
        self._level = min(self._size, self._level + (now_s - self._at_s) * self._calls_s)
        self._at_s = now_s
        good = min(calls, int(self._level))
        self._level -= good
        return good


@pytest.mark.parametrize("part", [0.8, 0.5])
def test_a_limit_that_is_lower_than_configured_is_found_and_met_rarely(part: float) -> None:
    fleet = Fleet(Bucket(LIMIT_S * part, burst_s=2.0).admits)
    fleet.run(600.0)
    assert fleet.rate(300.0, 600.0) == pytest.approx(part, rel=0.08)
    assert fleet.refusals(300.0, 600.0) <= 0.01 * part


@pytest.mark.parametrize("burst_s", [2.0, 60.0])
@pytest.mark.parametrize("part", [0.05, 0.5])
def test_a_limit_that_nobody_tells_is_found_and_met_rarely(part: float, burst_s: float) -> None:
    fleet = Fleet(Bucket(LIMIT_S * part, burst_s).admits, UNKNOWN)
    fleet.run(600.0)
    assert fleet.rate(120.0, 600.0) - fleet.refusals(120.0, 600.0) > 0.85 * part
    assert fleet.refusals(120.0, 600.0) <= 0.04 * part


class Places:
    """A provider that works on so many calls at once, each for `takes_s`, and refuses any other."""

    def __init__(self, places: int, takes_s: float) -> None:
        self._takes_s = takes_s
        self._free_at_s = [0.0] * places

    def admits(self, now_s: float, calls: int) -> int:
        free = [place for place, at_s in enumerate(self._free_at_s) if at_s <= now_s]
        for place in free[:calls]:
            self._free_at_s[place] = now_s + self._takes_s
        return min(calls, len(free))


@pytest.mark.parametrize(("places", "takes_s"), [(5, 1.0), (50, 0.5), (50, 5.0)])
def test_how_many_at_once_is_found_where_nobody_tells(places: int, takes_s: float) -> None:
    fleet = Fleet(Places(places, takes_s).admits, UNKNOWN, takes_s)
    fleet.run(360.0)
    allowed = places / takes_s / LIMIT_S
    refused = fleet.refusals(60.0, 360.0)
    assert fleet.rate(60.0, 360.0) - refused > 0.7 * allowed
    assert refused < 0.05 * allowed
