"""The providers' rate limits as they document them: token buckets that refill continuously.

What a call is charged, and when, differs (as documented in November 2026): OpenAI takes the larger
of `max_tokens` and the input before the call; Anthropic takes the input before and the real output
after; Gemini takes the input before; Mistral takes the real total after. A request that was refused
is charged nothing, one that was lost later is charged as if it had not been.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal, NamedTuple

import msgspec

from scripts.simulator.calls import Call, Failure, FailureKind
from scripts.simulator.words import read_words

TOLERANCE = 1e-6
"""Of one token: who waits exactly as long as told is not refused for a rounding error."""

Count = Annotated[int, msgspec.Meta(ge=1)]


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a quota allows to the requests that match.

    `protocol` and `model` are shell patterns. A quota is held per `model`, per API `key`, or by
    everything that matches together (`pool`). A bucket holds `burst_s` seconds of its rate and
    begins `full` or `empty`. Without `hint`, a refusal says nothing about how long to wait.
    """

    protocol: str = "*"
    model: str = "*"
    per: Literal["model", "key", "pool"] = "model"
    rps: Count | None = None
    rpm: Count | None = None
    tpm: Count | None = None
    itpm: Count | None = None
    otpm: Count | None = None
    concurrency: Count | None = None
    burst_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0
    start: Literal["full", "empty"] = "full"
    hint: bool = True


def parse_limit(text: str) -> Limit:
    """Read `[PROTOCOL[/MODEL]]:name=value,…`, such as `openai/sim-*:rpm=3000,burst_s=1`.

    Raises:
        ValueError: an unknown field, or a value out of range.
    """
    where, _, rest = text.partition(":")
    protocol, _, model = where.partition("/")
    return read_words(
        Limit, f"limit {text!r}", rest, {"protocol": protocol or "*", "model": model or "*"}
    )


class Charge(NamedTuple):
    """Tokens that a call takes from each kind of bucket."""

    tpm: int = 0
    itpm: int = 0
    otpm: int = 0


def charge_before(protocol: str, call: Call) -> Charge:
    """Return what is taken when the call is admitted."""
    tokens = call.input_tokens
    match protocol:
        case "openai":
            return Charge(max(call.max_tokens or 0, tokens), tokens)
        case "mistral":
            return Charge(0, tokens)
        case _:
            return Charge(tokens, tokens)


def charge_after(protocol: str, input_tokens: int, output_tokens: int) -> Charge:
    """Return what is taken when the call has ended, in addition."""
    match protocol:
        case "anthropic":
            return Charge(output_tokens, 0, output_tokens)
        case "mistral":
            return Charge(input_tokens + output_tokens, 0, output_tokens)
        case _:
            return Charge(0, 0, output_tokens)


class Reading(NamedTuple):
    """A bucket as rate headers tell it: what is left, and the seconds until it is full again."""

    limit: int
    remaining: int
    full_in_s: float


class Bucket:
    """So much per second, and at most `burst_s` seconds of it at once."""

    __slots__ = ("_at", "_capacity", "_level", "limit", "rate")

    def __init__(
        self, limit: int, per_s: float, burst_s: float, *, is_full: bool, now: float
    ) -> None:
        self.limit = limit
        self.rate = limit / per_s
        # A bucket that can't hold one request would refuse for ever.
        self._capacity = max(1.0, self.rate * burst_s)
        self._level = self._capacity if is_full else 0.0
        self._at = now

    def refill(self, now: float) -> float:
        """Bring the level to `now` and return it; below zero is a debt."""
        self._level = min(self._capacity, self._level + (now - self._at) * self.rate)
        self._at = now
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


class Quota:
    """One limit, held by one model, key or pool."""

    def __init__(self, limit: Limit, now: float) -> None:
        self._concurrency = limit.concurrency
        self._in_flight = 0
        self.hint = limit.hint
        self.buckets: dict[str, Bucket] = {}
        for dimension in ("rps", "rpm", "tpm", "itpm", "otpm"):
            count = getattr(limit, dimension)
            if count is not None:
                is_rps = dimension == "rps"
                self.buckets[dimension] = Bucket(
                    count,
                    1.0 if is_rps else 60.0,
                    min(limit.burst_s, 1.0) if is_rps else limit.burst_s,
                    is_full=limit.start == "full",
                    now=now,
                )

    def refusal(self, charge: Charge, now: float) -> Failure | None:
        """Return why a call may not start now, None if it may."""
        if self._concurrency is not None and self._in_flight >= self._concurrency:
            return Failure(
                FailureKind.RATE_LIMITED,
                dimension="concurrency",
                limit=self._concurrency,
                used=self._in_flight,
                requested=1,
            )
        worst: Failure | None = None
        longest_s = 0.0
        for dimension, bucket in self.buckets.items():
            cost = _cost(charge, dimension)
            wait_s = bucket.wait_s(cost, now)
            if wait_s > longest_s:
                longest_s = wait_s
                worst = Failure(
                    FailureKind.RATE_LIMITED,
                    wait_s=wait_s if self.hint and cost <= bucket.limit else None,
                    dimension=dimension,
                    limit=bucket.limit,
                    used=max(0, bucket.limit - bucket.reading(now).remaining),
                    requested=cost,
                )
        return worst

    def start(self, charge: Charge) -> None:
        """Charge an admitted call."""
        self._in_flight += 1
        for dimension, bucket in self.buckets.items():
            bucket.take(_cost(charge, dimension))

    def end(self, charge: Charge) -> None:
        """Charge what a call really used; it is no longer in flight."""
        self._in_flight -= 1
        for dimension, bucket in self.buckets.items():
            if dimension.endswith("tpm"):
                bucket.take(_cost(charge, dimension))


def _cost(charge: Charge, dimension: str) -> int:
    return getattr(charge, dimension, 1)


Quotas = tuple[Quota, ...]
"""Every quota that one call is subject to."""


class Limits:
    """All quotas of the simulator, made when the first call needs them."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self.limits = tuple(limits)
        self._quotas: dict[tuple[str, ...], Quota] = {}
        self._found: dict[tuple[str, str, str], Quotas] = {}

    def quotas(self, protocol: str, model: str, key: str, now: float) -> Quotas:
        """Return the quotas of a call with this API key."""
        if not self.limits:
            return ()
        where = (protocol, model, key)
        found = self._found.get(where)
        if found is None:
            found = tuple(
                self._quota(number, limit, where, now)
                for number, limit in enumerate(self.limits)
                if fnmatchcase(protocol, limit.protocol) and fnmatchcase(model, limit.model)
            )
            self._found[where] = found
        return found

    def _quota(self, number: int, limit: Limit, where: tuple[str, str, str], now: float) -> Quota:
        protocol, model, key = where
        holder = {"model": (protocol, model), "key": (protocol, key), "pool": ()}[limit.per]
        name = (str(number), *holder)
        if name not in self._quotas:
            self._quotas[name] = Quota(limit, now)
        return self._quotas[name]


def admit(quotas: Quotas, charge: Charge, now: float) -> Failure | None:
    """Start a call in every quota, or in none: then the first refusal is returned."""
    for quota in quotas:
        refusal = quota.refusal(charge, now)
        if refusal is not None:
            return refusal
    for quota in quotas:
        quota.start(charge)
    return None


def readings(quotas: Quotas, now: float) -> dict[str, Reading]:
    """Return each dimension's reading, the tightest where several quotas have it."""
    found: dict[str, Reading] = {}
    for quota in quotas:
        for dimension, bucket in quota.buckets.items():
            reading = bucket.reading(now)
            if dimension not in found or reading.remaining < found[dimension].remaining:
                found[dimension] = reading
    return found
