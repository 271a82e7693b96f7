"""Who is calling: every route but the health checks asks for a key."""

import time
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.concurrency import run_in_threadpool

from api.services import ServicesDep
from jobs.errors import NotAuthorised
from jobs.store.projects import hash_key, project_of_key

REMEMBERED_S = 5.0
"""How long a key that was found valid is believed: also how long a revoked one may still work."""

REMEMBERED_KEYS = 10_000

_bearer = HTTPBearer(auto_error=False, description="An API key.")
_header = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key.")


class KnownKeys:
    """Keys that were found valid a moment ago, by their hash."""

    def __init__(self) -> None:
        self._projects: dict[bytes, tuple[int, float]] = {}

    def project(self, key_hash: bytes) -> int | None:
        """Return the project of a key that was valid within the last seconds."""
        project_id, until = self._projects.get(key_hash, (0, 0.0))
        return project_id if until > time.monotonic() else None

    def remember(self, key_hash: bytes, project_id: int) -> None:
        """Believe a key for a while."""
        if len(self._projects) >= REMEMBERED_KEYS:
            self._projects.clear()
        self._projects[key_hash] = (project_id, time.monotonic() + REMEMBERED_S)


async def authenticate(
    request: Request,
    services: ServicesDep,
    _from_bearer: Annotated[object, Depends(_bearer)],
    _from_header: Annotated[object, Depends(_header)],
) -> int:
    """Return the id of the caller's project; raises NotAuthorised without a valid key."""
    key = _sent_key(request)
    if not key:
        raise NotAuthorised
    known: KnownKeys = request.app.state.known_keys
    key_hash = hash_key(key)
    project_id = known.project(key_hash)
    if project_id is None:

        def look_up() -> int | None:
            with services.database.read() as session:
                return project_of_key(session, key)

        project_id = await run_in_threadpool(look_up)
        if project_id is None:
            raise NotAuthorised("this API key is not known, or it was revoked")
        known.remember(key_hash, project_id)
    return project_id


def _sent_key(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key", "").strip()


ProjectId = Annotated[int, Depends(authenticate)]
