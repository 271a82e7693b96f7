"""The gate's Redis, asked by an API process: what the workers' gate knows of the pools."""

from api.services import Services
from jobs.pools import PoolState, ask_pools


async def pools_of_gate(services: Services) -> list[PoolState]:
    """Return every configured pool, each followed by those of its models that were used lately.

    Raises:
        ServiceUnavailable: the gate's Redis doesn't answer.
    """
    return await ask_pools(services.settings.resolved_redis_url(), services.configuration)
