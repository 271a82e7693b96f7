"""How calls ended, gathered per scope until the next round tells it to the others.

Everything here is sums, the latest word or the longest pause, so what waits for a Redis that is gone
stays small however long it takes.
"""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

from jobs.charging import Charging
from jobs.errors import (
    AccessForbidden,
    AuthenticationFailed,
    ConnectFailed,
    Overloaded,
    Permanent,
    ProviderError,
    QuotaExhausted,
    RateLimited,
)
from jobs.exchange import Usage
from workers.gate.charging import Costs, correction, taken
from workers.gate.gate import Ending, Grant
from workers.gate.learning import lessons

LONGEST_PAUSE_S = 900.0
"""Nothing that a provider says holds a pool longer without a new look: some say "tomorrow" by mistake."""

UNUSABLE_S = 15.0
"""A key that is refused, a model that it may not use, an exhausted quota: until somebody mends it, looked
at as often as an outage that lasts, so that work is on again within half a minute of the mending."""

REASON_CHARACTERS = 300

TYPICAL_FIRST_TOKEN = 16
"""Tokens' worth of time before the first one, so that latencies of short and long answers compare."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A pause: for how long at first and at most, why, and whether the provider itself said so."""

    wait_s: float
    most_s: float
    reason: str
    hinted: bool = False
    n: int = 1

    def joined(self, other: "Stop | None") -> "Stop":
        """Return the longer of two, for both."""
        if other is None:
            return self
        longer = self if self.wait_s >= other.wait_s else other
        return Stop(longer.wait_s, longer.most_s, longer.reason, longer.hinted, self.n + other.n)

    def payload(self) -> dict[str, Any]:
        """Return it as the script reads it."""
        return {
            "wait": self.wait_s,
            "most": self.most_s,
            "reason": self.reason,
            "hinted": self.hinted,
            "n": self.n,
        }


def _zeros() -> list[int]:
    return [0] * len(Costs._fields)


@dataclass(slots=True)
class Sums:
    """What calls came to, by kind of cost; those of a pool are the sums of its models'."""

    undone: list[int] = field(default_factory=_zeros)
    more: list[int] = field(default_factory=_zeros)
    less: list[int] = field(default_factory=_zeros)
    good: int = 0

    def add(self, other: "Sums") -> None:
        """Add what other calls came to."""
        for mine, others in ((self.undone, other.undone), (self.more, other.more)):
            for kind, amount in enumerate(others):
                mine[kind] += amount
        for kind, amount in enumerate(other.less):
            self.less[kind] += amount
        self.good += other.good


@dataclass(slots=True)
class Told:
    """What is to be told about one scope; `sums` only of a model's."""

    sums: Sums = field(default_factory=Sums)
    timed: int = 0
    per_token_s: float = 0.0
    latency_s: float = 0.0
    stops: dict[str, Stop] = field(default_factory=dict)
    """By the script's words: failed, unreachable, limited, trip."""
    probe: str | None = None
    readings: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)
    seed: dict[str, float] | None = None

    def stop(self, word: str, stop: Stop) -> None:
        """Add a pause."""
        self.stops[word] = stop.joined(self.stops.get(word))

    def correct(self, costs: Costs) -> None:
        """Add the difference between what a call took and what was reserved for it."""
        for kind, amount in enumerate(costs):
            if amount > 0:
                self.sums.more[kind] += amount
            elif amount < 0:
                self.sums.less[kind] -= amount

    def give_back(self, costs: Costs) -> None:
        """Add what a call took that never left."""
        for kind, amount in enumerate(costs):
            self.sums.undone[kind] += amount

    def answered(self, latency_s: float | None, usage: Usage | None) -> None:
        """Add a good answer."""
        self.sums.good += 1
        if latency_s is None or latency_s <= 0 or usage is None:
            return
        self.timed += 1
        self.latency_s += latency_s
        self.per_token_s += latency_s / (TYPICAL_FIRST_TOKEN + max(usage.output_tokens, 0))

    def take_up(self, older: "Told") -> None:
        """Add what could not be told: refunds are left out, for they may have been booked already."""
        self.sums.add(Sums(more=older.sums.more, good=older.sums.good))
        for word, stop in older.stops.items():
            self.stop(word, stop)
        self.probe = self.probe or older.probe
        self.readings = older.readings | self.readings
        self.seed = self.seed or older.seed

    def payload(self, sums: Sums) -> dict[str, Any]:
        """Return it, with its own sums or a pool's, as the script reads it; empty if there is nothing."""
        said: dict[str, Any] = {word: stop.payload() for word, stop in self.stops.items()}
        for word in ("undone", "more", "less"):
            if any(amounts := getattr(sums, word)):
                said[word] = amounts
        if sums.good:
            said["good"] = sums.good
        if self.timed:
            said["latency"] = [self.per_token_s / self.timed, self.latency_s / self.timed]
        if self.probe:
            said["probe"] = self.probe
        if self.readings:
            said["readings"] = [[name, *counts] for name, counts in self.readings.items()]
        if self.seed:
            said["seed"] = self.seed
        return said


def tell(pool: Told, models: Told, charging: Charging, grant: Grant, ending: Ending) -> None:
    """Add an ending to what is told about its pool and about its model's scope."""
    _correct(models, charging, grant, ending)
    if ending.readings:
        for lesson in lessons(ending.readings):
            # Limits are told per model, and a pool whose limits are configured knows its own.
            models.readings[lesson.dimension] = (lesson.limit, lesson.remaining)
    error = ending.error
    if ending.sent and not ending.cut_off:
        if error is None or isinstance(error, Permanent):
            models.answered(ending.latency_s, ending.usage)
        elif not ending.spares_pool:
            _stop(pool, models, error)
    if grant.is_probe:
        pool.probe, models.probe = _verdicts(ending)


def _correct(models: Told, charging: Charging, grant: Grant, ending: Ending) -> None:
    """Give back what a call didn't take. What a failed call took is not known, so it stays taken."""
    usage = ending.usage
    if not ending.sent or isinstance(ending.error, ConnectFailed):
        _give_back(models, taken(charging, grant.ask), grant)
        return
    if isinstance(ending.error, Permanent):
        usage = Usage(input_tokens=grant.ask.input_tokens)
    if usage is not None and min(usage.counts()) >= 0:
        models.correct(correction(charging, grant.ask, usage))


def _give_back(models: Told, costs: Costs, grant: Grant) -> None:
    """Give back all of a call: its place in the order if its start is still ahead, else a refund.

    A refund is released slowly: meanwhile the provider's bucket may have been full.
    """
    if grant.start_at > asyncio.get_running_loop().time():
        models.give_back(costs)
    else:
        models.correct(costs.negated())


def _stop(pool: Told, models: Told, error: ProviderError) -> None:
    """Say what an error stops: its model's scope, the whole pool, or the pool if it goes on."""
    match error:
        case RateLimited():
            models.stop("limited", _pause(error, random.uniform(1.0, 5.0), 15.0))  # noqa: S311
        case AccessForbidden():
            models.stop("trip", _pause(error, UNUSABLE_S, UNUSABLE_S))
        case AuthenticationFailed() | QuotaExhausted():
            pool.stop("trip", _pause(error, UNUSABLE_S, UNUSABLE_S))
        case Overloaded():
            pool.stop("trip", _pause(error, random.uniform(5.0, 10.0), 15.0))  # noqa: S311
        case ConnectFailed():
            pool.stop("unreachable", _pause(error, 5.0, 15.0))
        case _:
            pool.stop("failed", _pause(error, 5.0, 15.0))


def _pause(error: ProviderError, usual_s: float, most_s: float) -> Stop:
    reason = f"{error.code}: {error.message}"[:REASON_CHARACTERS]
    if error.wait_s is None or not error.wait_s >= 0:
        return Stop(usual_s, most_s, reason)
    return Stop(min(error.wait_s, LONGEST_PAUSE_S), LONGEST_PAUSE_S, reason, hinted=True)


def _verdicts(ending: Ending) -> tuple[str, str]:
    """Return what a probe found out about its pool and about its model's scope."""
    match ending.error:
        case _ if not ending.sent:
            return "void", "void"
        case _ if ending.cut_off or ending.spares_pool:
            return "lost", "lost"
        case None | Permanent():
            return "good", "good"
        case RateLimited() | AccessForbidden():
            return "good", "bad"
        case _:
            return "bad", "void"
