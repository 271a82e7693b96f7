"""Why a batch waits that is between two tries: its row says nothing then, the gate of its pools does."""

from collections.abc import Sequence
from dataclasses import replace

from api.dashboard.standing import Standing
from api.gate import pools_of_gate
from api.services import Services
from jobs.errors import ServiceUnavailable
from jobs.pools import PoolState


async def explained(services: Services, standings: Sequence[Standing]) -> list[Standing]:
    """Return the standings, with what the gate knows of those that are between two tries."""
    if not any(each.tried_at for each in standings):
        return list(standings)
    try:
        pools = await pools_of_gate(services)
    except ServiceUnavailable:
        return list(standings)  # when the next try is, they tell themselves
    return [explain(each, pools) for each in standings]


def explain(standing: Standing, pools: Sequence[PoolState]) -> Standing:
    """Return a standing with the reason of the pool that holds it up, if one of its provider's is held up."""
    for pool in pools:
        if pool.provider == standing.tried_at and pool.blocked_until is not None:
            until = f"until {pool.blocked_until:%H:%M} UTC"
            why = f": {pool.reason}" if pool.reason else ""
            return replace(standing, waits=f"{pool.provider}/{pool.pool} is paused {until}{why}")
    return standing
