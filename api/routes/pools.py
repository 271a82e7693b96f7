"""What the gate knows of the pools: their pace, what is left of their limits, what blocks them."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.access.auth import MAY_READ
from api.gate import enqueued_by_pool, pools_of_gate
from api.services import ServicesDep

router = APIRouter(tags=["pools"])


@router.get("/pools", dependencies=[MAY_READ])
async def get_pools(services: ServicesDep) -> dict[str, Any]:
    """Return every configured pool, each followed by those of its models that were used lately.

    Rates are per the dimension's own period, over the last 5 to 10 s; `blocked_until` and `reason`
    say what keeps every call from leaving. `enqueued` is what native batches of a model have there, of a pool
    as a whole: their lines, and the input tokens that count against `limit`, the configured one if there is.
    """
    pools = await pools_of_gate(services)
    by_pool = await run_in_threadpool(enqueued_by_pool, services)
    return {
        "data": [
            asdict(pool)
            | {
                "enqueued": []
                if pool.models is not None
                else [asdict(each) for each in by_pool.get((pool.provider, pool.pool), ())]
            }
            for pool in pools
        ]
    }
