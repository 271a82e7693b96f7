"""Whether this process lives, and whether it can do its work. They need no key."""

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from api.access.auth import PUBLIC
from api.services import ServicesDep
from jobs.errors import SchemaMismatch, ServiceUnavailable
from jobs.store import check_schema

router = APIRouter(tags=["health"], dependencies=[PUBLIC])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer as long as the process lives."""
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(services: ServicesDep) -> dict[str, str]:
    """Answer 200 once the database can be used at this version's schema, else 503."""
    try:
        await run_in_threadpool(check_schema, services.database)
    except SchemaMismatch as error:
        raise ServiceUnavailable(error.message) from error
    return {"status": "ready"}
