"""What the gate knows of the pools: their pace, what is left of their limits, what blocks them."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from api.access.auth import MAY_READ
from api.gate import pools_of_gate
from api.services import ServicesDep

router = APIRouter(tags=["pools"])


@router.get("/pools", dependencies=[MAY_READ])
async def get_pools(services: ServicesDep) -> dict[str, Any]:
    """Return every configured pool, each followed by those of its models that were used lately.

    Rates are per the dimension's own period, over the last 5 to 10 s; `blocked_until` and `reason`
    say what keeps every call from leaving.
    """
    return {"data": [asdict(pool) for pool in await pools_of_gate(services)]}
