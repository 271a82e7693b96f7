"""The gate on Redis: an asker for each provider, and one script for them all."""

import asyncio
from collections.abc import Callable

from redis.asyncio import Redis

from jobs.configuration import Configuration
from workers.gate.asker import Asker, UsedToday
from workers.gate.complaints import Complaints
from workers.gate.desk import Desk
from workers.gate.gate import Ask, ComeBack, Ending, Grant, PoolId
from workers.gate.scopes import PoolPlan
from workers.gate.script import Script

UNCONFIGURED_S = 30.0
"""Until a provider is asked for again that has no usable pool in this worker's configuration."""


class RedisGate:
    """See `workers.gate.gate.Gate`. Owns the connection, which must not retry on its own.

    Args:
        redis: a round that was sent twice might give back twice.
        configuration: the pools.
        usable: whether a pool's keys can be read; the others are never asked.
        used_today: reads the ledger where daily counts are missing.
        process: a name that no other process has.
        longest_call_s: a probe that nobody settled for so long died with its process.
    """

    def __init__(
        self,
        redis: Redis,
        configuration: Configuration,
        usable: Callable[[PoolId], bool],
        used_today: UsedToday,
        process: str,
        *,
        longest_call_s: float,
    ) -> None:
        self._redis = redis
        script = Script(redis)
        self._complaints = Complaints()
        self._askers: dict[str, Asker] = {}
        for name, provider in configuration.providers.items():
            plans = [PoolPlan(PoolId(name, pool.name), provider, pool) for pool in provider.pools]
            desks = [Desk(plan, process, longest_call_s) for plan in plans if usable(plan.id)]
            if desks:
                self._askers[name] = Asker(desks, script, used_today, self._complaints)

    async def ask(self, ask: Ask, patience_s: float) -> Grant | ComeBack:
        """See `workers.gate.gate.Gate`."""
        asker = self._askers.get(ask.provider)
        if asker is None:
            reason = f"no pool of {ask.provider} can be used by this worker: see its log"
            return ComeBack(UNCONFIGURED_S, reason, is_blocked=True)
        return await asker.ask(ask, patience_s)

    def settle(self, grant: Grant, ending: Ending) -> None:
        """See `workers.gate.gate.Gate`."""
        self._complaints.note(grant.pool, ending.error)
        self._askers[grant.pool.provider].settle(grant, ending)

    async def close(self) -> None:
        """See `workers.gate.gate.Gate`."""
        await asyncio.gather(*(asker.stop() for asker in self._askers.values()))
        await self._redis.aclose()
