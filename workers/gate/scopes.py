"""What the configuration says of the pools, as the gate's script wants it: scopes and their limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jobs.charging import Charging, charging_of
from jobs.configuration import Limits, Pool, ProtocolName, Provider
from jobs.pools import model_key, model_scope, pool_key
from workers.gate.gate import PoolId

KNOWN_MODELS = 512
"""Scopes that are kept per pool; a route may name any model, a fleet uses a few."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One hash of the gate: a pool, or some of its models.

    `models` are the shell patterns of what is counted in it, `limits` those that are configured.
    """

    key: str
    name: str
    models: tuple[str, ...]
    limits: Mapping[str, int]


class PoolPlan:
    """A pool: its scope, the scopes of its models, how it charges and when its day ends."""

    def __init__(self, pool_id: PoolId, provider: Provider, pool: Pool) -> None:
        self.id = pool_id
        self.charging: Charging = charging_of(provider)
        self.scope = Scope(pool_key(*pool_id), "", ("*",), _said(pool.limits))
        self._pool = pool
        self._zone = _pacific() if provider.protocol is ProtocolName.GEMINI else UTC
        self.scope_of = lru_cache(KNOWN_MODELS)(self._scope_of)
        """Return the scope of a model; one and the same for the models that share it."""

    def _scope_of(self, model: str) -> Scope:
        name, models, limits = model_scope(self._pool, model)
        return Scope(model_key(*self.id, name), name, models, _said(limits))

    def day(self, now: datetime) -> tuple[datetime, datetime]:
        """Return when the provider's present day began and when it ends."""
        today = now.astimezone(self._zone).date()
        begins, ends = (
            datetime.combine(day, time(), self._zone).astimezone(UTC)
            for day in (today, today + timedelta(days=1))
        )
        return begins, ends


def _said(limits: Limits) -> dict[str, int]:
    return limits.model_dump(exclude_none=True)


def _pacific() -> tzinfo:
    try:
        return ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:  # a system without time zones: an hour late in summer
        return timezone(timedelta(hours=-8))
