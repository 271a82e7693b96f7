"""What the gate knows of the pools: their pace, what is left of their limits, what blocks them."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.auth import MAY_READ
from api.services import ServicesDep
from jobs.errors import ServiceUnavailable
from jobs.pools import read_pools

router = APIRouter(tags=["pools"])

PATIENCE_S = 2.0
"""How long the gate's Redis is waited for."""


@router.get("/pools", dependencies=[MAY_READ])
async def get_pools(services: ServicesDep) -> dict[str, Any]:
    """Return every configured pool, each followed by those of its models that were used lately.

    Rates are per the dimension's own period, over the last 5 to 10 s; `blocked_until` and `reason`
    say what keeps every call from leaving.
    """
    redis = Redis.from_url(
        services.settings.resolved_redis_url(),
        decode_responses=True,
        socket_timeout=PATIENCE_S,
        socket_connect_timeout=PATIENCE_S,
    )
    try:
        pools = await read_pools(redis, services.configuration)
    except (RedisError, OSError) as error:
        raise ServiceUnavailable("the gate's Redis does not answer") from error
    finally:
        await redis.aclose()
    return {"data": [asdict(pool) for pool in pools]}
