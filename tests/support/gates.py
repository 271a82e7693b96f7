"""Gates of several worker processes on one Redis, simulated or real."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from jobs.configuration import Configuration
from jobs.exchange import Usage
from workers.gate.gate import Ask, ComeBack, Ending, Grant, PoolId
from workers.gate.redis_gate import RedisGate

GOOD = Ending(sent=True, usage=Usage(input_tokens=10, output_tokens=20), latency_s=0.1)


def pools(*limits: dict[str, Any], protocol: str = "openai") -> Configuration:
    """A provider `sim` with a pool for each of the limits, named pool0, pool1, ..."""
    return Configuration.model_validate(
        {
            "providers": {
                "sim": {
                    "protocol": protocol,
                    "base_url": "http://127.0.0.1:9/v1",
                    "pools": [
                        {"name": f"pool{number}", "limits": limit}
                        for number, limit in enumerate(limits)
                    ],
                }
            }
        }
    )


def ask_for(model: str = "small", priority: str = "normal") -> Ask:
    return Ask("sim", model, 10, 20, 50, priority)


@dataclass
class Fleet:
    """What the gates of a test share: where their Redis is, and the ledger that they read."""

    connect: Callable[[], Redis]
    used: tuple[int, int] = (0, 0)
    reads: list[tuple[PoolId, tuple[str, ...]]] = field(default_factory=list)

    @asynccontextmanager
    async def gates(
        self, configuration: Configuration, count: int = 2
    ) -> AsyncIterator[list[RedisGate]]:
        gates = [
            RedisGate(
                self.connect(),
                configuration,
                lambda _pool: True,
                self._used_today,
                f"p{number}",
                longest_call_s=30.0,
            )
            for number in range(count)
        ]
        try:
            yield gates
        finally:
            for gate in gates:
                await gate.close()

    async def _used_today(
        self, pool: PoolId, models: tuple[str, ...], since: datetime
    ) -> tuple[int, int]:
        self.reads.append((pool, models))
        return self.used


def server_client(url: str) -> Redis:
    """As a worker connects: a round is never sent twice."""
    return Redis.from_url(
        url, decode_responses=True, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)
    )


async def granted(asking: Awaitable[Grant | ComeBack]) -> Grant:
    reply = await asking
    assert isinstance(reply, Grant), reply
    return reply


async def put_off(asking: Awaitable[Grant | ComeBack]) -> ComeBack:
    reply = await asking
    assert isinstance(reply, ComeBack), reply
    return reply
