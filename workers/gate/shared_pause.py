"""A gate that knows pauses only: what one worker learns from a 429 or an outage holds for all.

Redis keys: `tidemill:pause:PROVIDER:POOL`, a string with the reason; its time to live is the pause.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from redis.asyncio import Redis
from redis.exceptions import RedisError

from jobs.errors import ConnectFailed, Overloaded, ProviderUnusable, RateLimited
from workers.gate.gate import Ask, ComeBack, Ending, Grant, PoolId

log = logging.getLogger(__name__)

FRESH_S = 0.05
"""How long what was read of a pool is believed; a pause reaches every process within this."""

RETRY_S = 1.0
"""Between two tries of a job to reach a Redis that doesn't answer."""

LONGEST_PAUSE_S = 24 * 3600.0
"""Nothing that a provider says holds a pool longer without a new look."""

PAUSE_S = 5.0
UNUSABLE_PAUSE_S = 20.0
"""Without a wish of the provider's; the latter for what a person has to see to."""


@dataclass(slots=True)
class _View:
    """What this process last read of a pool, in the event loop's time."""

    read_at: float
    paused_until: float
    reason: str


class SharedPause:
    """See `workers.gate.gate.Gate`."""

    def __init__(self, redis: Redis, pools: Mapping[str, tuple[str, ...]]) -> None:
        self._redis = redis
        self._pools = pools
        self._views: dict[PoolId, _View] = {}
        self._untold: dict[PoolId, _View] = {}  # pauses that didn't reach Redis
        self._reading: dict[PoolId, asyncio.Task[_View]] = {}
        self._pausing: set[asyncio.Task[None]] = set()

    async def ask(self, ask: Ask, patience_s: float) -> Grant | ComeBack:
        """Grant at once, unless the pools are paused or Redis can't be asked: then nothing leaves."""
        waits = []
        for name in self._pools[ask.provider]:
            pool = PoolId(ask.provider, name)
            wait = await self._wait(pool)
            if wait is None:
                return Grant(ask, pool, asyncio.get_running_loop().time())
            waits.append(wait)
        return min(waits, key=lambda wait: wait.wait_s)

    def settle(self, grant: Grant, ending: Ending) -> None:
        """Pause the pool if it refused the call, for as long as it wished or is usual."""
        error = ending.error
        if isinstance(error, RateLimited | Overloaded | ConnectFailed | ProviderUnusable):
            usual_s = UNUSABLE_PAUSE_S if isinstance(error, ProviderUnusable) else PAUSE_S
            wait_s = usual_s if error.wait_s is None else error.wait_s
            pausing = asyncio.create_task(
                self.pause(grant.pool, wait_s, f"{error.code}: {error.message}")
            )
            self._pausing.add(pausing)
            pausing.add_done_callback(self._pausing.discard)

    async def _wait(self, pool: PoolId) -> ComeBack | None:
        now = asyncio.get_running_loop().time()
        view = self._views.get(pool)
        if view is None or now - view.read_at > FRESH_S:
            try:
                view = await self._read_once(pool)
            except RedisError:
                return ComeBack(RETRY_S, "the gate's Redis doesn't answer", is_blocked=True)
            now = asyncio.get_running_loop().time()
        if view.paused_until > now:
            return ComeBack(view.paused_until - now, view.reason, is_blocked=True)
        return None

    async def pause(self, pool: PoolId, wait_s: float, reason: str) -> None:
        """Pause a pool for all, at least in this process if Redis can't be reached."""
        wait_s = min(max(wait_s, 0.001), LONGEST_PAUSE_S)
        now = asyncio.get_running_loop().time()
        view = self._views.get(pool)
        if view is not None and view.paused_until >= now + wait_s:
            return
        view = self._views[pool] = _View(now, now + wait_s, reason)
        try:
            # A shorter pause never replaces a longer one.
            await self._redis.set(_key(pool), reason, px=int(wait_s * 1000) + 1, nx=True)
            await self._redis.pexpire(_key(pool), int(wait_s * 1000) + 1, gt=True)
        except RedisError as error:
            self._untold[pool] = view
            log.warning("the pause of %s/%s reaches this process only: %s", *pool, error)

    async def close(self) -> None:
        """Close the connection."""
        if self._pausing:
            await asyncio.wait(self._pausing)
        await self._redis.aclose()

    async def _read_once(self, pool: PoolId) -> _View:
        """Read a pool's state; all jobs that ask meanwhile share the one read."""
        reading = self._reading.get(pool)
        if reading is None:
            reading = asyncio.create_task(self._read(pool))
            self._reading[pool] = reading
            reading.add_done_callback(lambda _done: self._reading.pop(pool, None))
        return await asyncio.shield(reading)

    async def _read(self, pool: PoolId) -> _View:
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.pttl(_key(pool))
                pipe.get(_key(pool))
                ttl_ms, reason = await pipe.execute()
        except RedisError as error:
            log.warning("the gate's Redis doesn't answer, calls wait: %s", error)
            raise
        now = asyncio.get_running_loop().time()
        view = _View(now, now + max(ttl_ms, 0) / 1000, reason or "")
        untold = self._untold.get(pool)
        if untold is not None and untold.paused_until > view.paused_until:
            view = replace(untold, read_at=now)
        self._views[pool] = view
        return view


def _key(pool: PoolId) -> str:
    return f"tidemill:pause:{pool.provider}:{pool.pool}"
