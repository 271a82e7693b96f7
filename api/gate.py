"""The gate's Redis, asked by an API process: what the workers' gate knows of the pools."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

from api.services import Services
from jobs.errors import ServiceUnavailable
from jobs.pools import PoolState, read_pools

PATIENCE_S = 2.0
"""How long the gate's Redis is waited for."""


async def pools_of_gate(services: Services) -> list[PoolState]:
    """Return every configured pool, each followed by those of its models that were used lately.

    Raises:
        ServiceUnavailable: the gate's Redis doesn't answer.
    """
    redis = Redis.from_url(
        services.settings.resolved_redis_url(),
        decode_responses=True,
        socket_timeout=PATIENCE_S,
        socket_connect_timeout=PATIENCE_S,
    )
    try:
        return await read_pools(redis, services.configuration)
    except (RedisError, OSError) as error:
        raise ServiceUnavailable("the gate's Redis does not answer") from error
    finally:
        await redis.aclose()
