"""What the gate knows of the pools: their pace, what is left of their limits, what blocks them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.access.auth import MAY_READ
from api.gate import enqueued_by_pool, pools_of_gate
from api.services import Services, ServicesDep
from jobs.errors import ServiceUnavailable
from jobs.pools import PoolState

router = APIRouter(tags=["pools"])


@router.get("/pools", dependencies=[MAY_READ])
async def get_pools(services: ServicesDep) -> dict[str, Any]:
    """Return every configured pool, each followed by those of its models that were used lately.

    Rates are per the dimension's own period, over the last 5 to 10 s; `blocked_until` and `reason`
    say what keeps every call from leaving. `enqueued` is what native batches of a model have there, of a pool
    as a whole: their lines, and the input tokens that count against `limit`, the configured one if there is.
    It is null where the database can't be asked, which the rest doesn't need.
    """
    pools = await pools_of_gate(services)
    return {"data": await run_in_threadpool(_with_enqueued, services, pools)}


def _with_enqueued(services: Services, pools: Sequence[PoolState]) -> list[dict[str, Any]]:
    by_pool = None
    with suppress(ServiceUnavailable):
        by_pool = enqueued_by_pool(services)
    shown = []
    for pool in pools:
        place = (pool.provider, pool.pool)
        of_pool = by_pool.get(place, []) if by_pool is not None and pool.models is None else []
        told = None if by_pool is None else [asdict(each) for each in of_pool]
        shown.append(asdict(pool) | {"enqueued": told})
    return shown
