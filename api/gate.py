"""What is known of the pools: the workers' gate, asked over its Redis, and what native batches have there."""

from collections import defaultdict
from dataclasses import dataclass

from api.services import Services
from jobs.pools import PoolState, ask_pools
from jobs.store.native import native_views


async def pools_of_gate(services: Services) -> list[PoolState]:
    """Return every configured pool, each followed by those of its models that were used lately.

    Raises:
        ServiceUnavailable: the gate's Redis doesn't answer.
    """
    return await ask_pools(services.settings.resolved_redis_url(), services.configuration)


@dataclass(frozen=True, slots=True)
class EnqueuedOfModel:
    """What native batches of a model have at a pool; `limit` is of input tokens, None without one."""

    model: str
    native_batches: int
    lines: int
    input_tokens: int
    limit: int | None


def enqueued_by_pool(services: Services) -> dict[tuple[str, str], list[EnqueuedOfModel]]:
    """Return what native batches have at each (provider, pool), by model; nothing of one that has none."""
    with services.database.read() as session:
        found = native_views.enqueued(session)
    by_pool: dict[tuple[str, str], list[EnqueuedOfModel]] = defaultdict(list)
    for each in found:
        provider = services.configuration.providers.get(each.provider)
        lane = None if provider is None else provider.lane
        by_pool[each.provider, each.pool].append(
            EnqueuedOfModel(
                each.model,
                each.native_batches,
                each.lines,
                each.input_tokens,
                None if lane is None else lane.enqueued_tokens,
            )
        )
    return by_pool
