"""What the gate knows of the pools, for whoever shows it: the names of its keys, and how to read them.

The gate itself is with the workers, and `workers/gate/lua/order.lua` says what is in the hashes. Here
nothing is written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.clock import UTC, utcnow
from jobs.configuration import Configuration, Limits, Pool
from jobs.errors import ServiceUnavailable

PATIENCE_S = 2.0
"""How long the gate's Redis is waited for by who only looks."""

PERIODS_S = {"rps": 1, "rpm": 60, "rph": 3600, "tpm": 60, "itpm": 60, "otpm": 60}
"""The dimensions that are paced, and over how many seconds their limits go."""

DAILY = ("rpd", "tpd")
"""The dimensions that are counted until the provider's day ends."""

KINDS = {"rps": 1, "rpm": 1, "rph": 1, "tpm": 2, "itpm": 3, "otpm": 4}
"""Which of a scope's cumulative sums a dimension goes by."""


def pool_key(provider: str, pool: str) -> str:
    """Return the key of the scope of a whole pool; the braces keep its scopes together in a cluster."""
    return f"tidemill:gate:{{{provider}/{pool}}}"


def model_key(provider: str, pool: str, name: str) -> str:
    """Return the key of the scope of some models of a pool; see `model_scope`."""
    return f"{pool_key(provider, pool)}:{name}"


def model_scope(pool: Pool, model: str) -> tuple[str, tuple[str, ...], Limits]:
    """Return a model's scope within a pool: its name, the patterns of its models, its limits.

    The models of one `model_limits` entry share a scope; any other model has one of its own.
    """
    for entry in pool.model_limits:
        if any(fnmatchcase(model, pattern) for pattern in entry.models):
            return "|".join(entry.models), entry.models, entry.limits
    return model, (model,), Limits()


@dataclass(frozen=True, slots=True)
class DimensionState:
    """One dimension of a scope. Rates are per the dimension's own period, over the last 5 to 10 s."""

    name: str
    configured: int | None
    learned: int | None
    rate: float
    share_used: float | None
    """Of the smaller limit, 0 to about 1; None where there is none."""


@dataclass(frozen=True, slots=True)
class PoolState:
    """A scope of a pool: of all its models where `models` is None.

    `blocked_until` and `reason` are of what keeps every call from leaving; `binding` is the dimension
    nearest to its limit, or `concurrency`. `breaker` is closed, open or probing. `found_per_s` and
    `found_in_flight` are what a pool without limits has found out.
    """

    provider: str
    pool: str
    models: str | None
    dimensions: tuple[DimensionState, ...]
    in_flight: int
    in_flight_limit: int | None
    binding: str | None
    breaker: str
    blocked_until: datetime | None
    reason: str | None
    trust: float
    found_per_s: float | None
    found_in_flight: float | None


class _Place(NamedTuple):
    """Where a scope is in the configuration."""

    provider: str
    pool: str
    models: str | None
    limits: Limits


async def ask_pools(url: str, configuration: Configuration) -> list[PoolState]:
    """Return what `read_pools` does, over a connection of its own to the gate's Redis.

    Raises:
        ServiceUnavailable: it doesn't answer.
    """
    redis = Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=PATIENCE_S,
        socket_connect_timeout=PATIENCE_S,
    )
    try:
        return await read_pools(redis, configuration)
    except (RedisError, OSError) as error:
        raise ServiceUnavailable("the gate's Redis does not answer") from error
    finally:
        await redis.aclose()


async def read_pools(redis: Redis, configuration: Configuration) -> list[PoolState]:
    """Return every configured pool, each followed by those of its models that were used lately.

    Raises:
        redis.exceptions.RedisError: the gate's Redis doesn't answer.
    """
    places = [
        (_Place(name, pool.name, None, pool.limits), pool)
        for name, provider in configuration.providers.items()
        for pool in provider.pools
    ]
    pools = await _read(redis, [pool_key(place.provider, place.pool) for place, _ in places])
    states: list[PoolState] = []
    now = utcnow()
    for (place, pool), fields in zip(places, pools, strict=True):
        states.append(_state(place, fields, now))
        listed = (name[2:] for name in fields if name.startswith("m:"))
        names = sorted({*listed, *("|".join(entry.models) for entry in pool.model_limits)})
        keys = [model_key(place.provider, place.pool, name) for name in names]
        for name, own in zip(names, await _read(redis, keys), strict=True):
            if own:
                limits = _limits_of(pool, name)
                states.append(_state(place._replace(models=name, limits=limits), own, now))
    return states


async def _read(redis: Redis, keys: list[str]) -> list[dict[str, str]]:
    if not keys:
        return []
    async with redis.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.hgetall(key)
        replies: list[dict[Any, Any]] = await pipe.execute()
    return [{_text(name): _text(value) for name, value in reply.items()} for reply in replies]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _limits_of(pool: Pool, name: str) -> Limits:
    for entry in pool.model_limits:
        if "|".join(entry.models) == name:
            return entry.limits
    return Limits()


def _state(place: _Place, fields: Mapping[str, str], now: datetime) -> PoolState:
    now_s = now.timestamp()
    dimensions = tuple(_dimensions(place.limits, fields, now_s))
    in_flight = _in_flight(fields, now_s)
    used = [(d.share_used, d.name) for d in dimensions if d.share_used is not None]
    if place.limits.concurrency is not None:
        used.append((in_flight / place.limits.concurrency, "concurrency"))
    blocked_until, reason = _block(place, dimensions, fields, now_s)
    return PoolState(
        provider=place.provider,
        pool=place.pool,
        models=place.models,
        dimensions=dimensions,
        in_flight=in_flight,
        in_flight_limit=place.limits.concurrency,
        binding=max(used)[1] if used else None,
        breaker=_breaker(fields, now_s),
        blocked_until=blocked_until,
        reason=reason,
        trust=_number(fields, "tf") or 1.0,
        found_per_s=_number(fields, "ar"),
        found_in_flight=_number(fields, "cw"),
    )


def _dimensions(limits: Limits, fields: Mapping[str, str], now_s: float) -> list[DimensionState]:
    rates = _rates(fields, now_s)
    states = []
    for name in (*PERIODS_S, *DAILY):
        configured, learned = getattr(limits, name), _number(fields, f"l:{name}")
        known = [limit for limit in (configured, learned) if limit is not None]
        if not known:
            continue
        if name in DAILY:
            rate = (_number(fields, f"d:{name}") or 0.0) if _day_ends(fields) > now_s else 0.0
        else:
            rate = rates[KINDS[name] - 1] * PERIODS_S[name]
        states.append(
            DimensionState(
                name=name,
                configured=configured,
                learned=None if learned is None else round(learned),
                rate=rate,
                share_used=rate / min(known),
            )
        )
    return states


def _rates(fields: Mapping[str, str], now_s: float) -> tuple[float, ...]:
    """Return requests, tokens, input and output tokens per second since the older snapshot."""
    older = [float(word) for word in fields.get("w", "").split()[:5]]
    if not older or now_s - older[0] > STALE_S or now_s <= older[0]:
        return (0.0,) * 4
    sums = [_number(fields, f"s:{kind}") or 0.0 for kind in range(1, 5)]
    return tuple(
        max(0.0, total - before) / max(now_s - older[0], 1.0)
        for total, before in zip(sums, older[1:], strict=True)
    )


STALE_S = 30.0
"""A scope whose snapshot is older has had no call for a while."""


def _in_flight(fields: Mapping[str, str], now_s: float) -> int:
    total = 0
    for name, value in fields.items():
        if name.startswith("p:"):
            count, expiry = value.split()
            total += int(count) if float(expiry) > now_s else 0
    return total


def _breaker(fields: Mapping[str, str], now_s: float) -> str:
    if fields.get("bs") != "1":
        return "closed"
    return "probing" if (_number(fields, "bp") or 0.0) > now_s else "open"


def _block(
    place: _Place,
    dimensions: tuple[DimensionState, ...],
    fields: Mapping[str, str],
    now_s: float,
) -> tuple[datetime | None, str | None]:
    until = _number(fields, "bu") or 0.0
    if until > now_s or fields.get("bs") == "1":
        return _moment(max(until, now_s)), fields.get("br")
    for dimension in dimensions:
        if dimension.name in DAILY and (dimension.share_used or 0.0) >= 1.0:
            limit = min(x for x in (dimension.configured, dimension.learned) if x is not None)
            scope = "/".join(word for word in place[:3] if word)
            ends = _moment(_day_ends(fields))
            return ends, used_up(scope, dimension.name, limit, ends)
    return None, None


def used_up(scope: str, dimension: str, limit: int, until: datetime) -> str:
    """Return the sentence about a daily limit that is used up."""
    what = "requests" if dimension == "rpd" else "tokens"
    return f"the daily limit of {scope} ({limit:,} {what}) is used up until {until:%H:%M} UTC"


def _day_ends(fields: Mapping[str, str]) -> float:
    return _number(fields, "d:end") or 0.0


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)


def _number(fields: Mapping[str, str], name: str) -> float | None:
    value = fields.get(name)
    return None if value is None else float(value)
