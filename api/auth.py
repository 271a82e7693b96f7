"""Who is calling and what they may do. A route says which scope it needs, or that it is public.

There is no third kind: `require_declared` lets no application start that has one.
"""

import math
import time
from collections.abc import Iterable
from typing import Annotated, NamedTuple

from fastapi import Depends, FastAPI, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from starlette.concurrency import run_in_threadpool

from api.audit import Refusals, set_caller
from api.connections import admit
from api.query import check_query
from api.services import Services, ServicesDep
from jobs.clock import utcnow
from jobs.errors import InsufficientScope, NotAuthorised, TooManyGuesses
from jobs.scopes import Scope
from jobs.store.projects import Caller, caller_of_key, hash_key

REMEMBERED_S = 5.0
"""How long a key that was found valid is believed: also how long a revoked one may still work."""

REMEMBERED_KEYS = 10_000

GUESSES = 20
"""Unknown keys that one address may send at once; it gets one more every `GUESS_EVERY_S`."""

GUESS_EVERY_S = 3.0

REMEMBERED_SOURCES = 10_000

_bearer = HTTPBearer(auto_error=False, description="An API key.")
_header = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key.")


class Belief(NamedTuple):
    """Who a key spoke for when it was looked up, and until when that is believed (monotonic)."""

    caller: Caller
    until_s: float


class KnownKeys:
    """Keys that were found valid lately, by their hash."""

    def __init__(self) -> None:
        self._beliefs: dict[bytes, Belief] = {}

    def caller(self, key_hash: bytes) -> Caller | None:
        """Return who a key speaks for that was valid within the last seconds."""
        belief = self._beliefs.get(key_hash)
        return belief.caller if belief is not None and belief.until_s > time.monotonic() else None

    def has_seen(self, key_hash: bytes) -> bool:
        """Whether the key was valid when it was last looked up, however long ago."""
        return key_hash in self._beliefs

    def remember(self, key_hash: bytes, caller: Caller) -> None:
        """Believe a key for a while, never beyond its own end."""
        if len(self._beliefs) >= REMEMBERED_KEYS:
            self._beliefs.clear()
        left_s = REMEMBERED_S
        if caller.expires_at is not None:
            left_s = min(left_s, (caller.expires_at - utcnow()).total_seconds())
        self._beliefs[key_hash] = Belief(caller, time.monotonic() + left_s)

    def forget(self, key_hash: bytes) -> None:
        """Forget a key that was found not to be valid any more."""
        self._beliefs.pop(key_hash, None)


class Guesses:
    """How many unknown keys an address may still send: a bucket for each, refilled by time.

    A guess costs a look-up in the database, which is what is protected; 256 bits need no protection.
    """

    def __init__(self) -> None:
        self._paid_until: dict[str, float] = {}

    def wait_s(self, source: str) -> float:
        """Return for how long no more unknown keys are looked up; 0 if one may come now."""
        next_s = self._paid_until.get(source, 0.0) - (GUESSES - 1) * GUESS_EVERY_S
        return max(0.0, next_s - time.monotonic())

    def count(self, source: str) -> None:
        """Count a key that was not known."""
        if len(self._paid_until) >= REMEMBERED_SOURCES:
            del self._paid_until[next(iter(self._paid_until))]  # it guessed the longest ago
        now_s = time.monotonic()
        paid_until_s = self._paid_until.pop(source, 0.0)
        self._paid_until[source] = max(paid_until_s, now_s) + GUESS_EVERY_S


async def authorise(
    request: Request,
    services: ServicesDep,
    needed: SecurityScopes,
    _from_bearer: Annotated[object, Depends(_bearer)],
    _from_header: Annotated[object, Depends(_header)],
) -> int:
    """Return the id of the caller's project, if the key has every scope that the route needs.

    The query is looked at here, after that: who may not call a route isn't told its parameters.

    Raises:
        NotAuthorised: there is no valid key.
        InsufficientScope: the key may not do this.
        TooManyGuesses: this address sent too many unknown keys, and this is one more.
        InvalidParameter, RequestValidationError: as `check_query` does.
    """
    key = _sent_key(request)
    if not key:
        raise NotAuthorised
    caller = await _allowed(request, services, key, needed.scopes)
    set_caller(key)
    admit(request.scope)
    check_query(request)
    return caller.project_id


async def require_scope(request: Request, services: Services, scope: Scope) -> None:
    """Return if the key has one more scope, for what this request asks beyond what its route does.

    Raises:
        InsufficientScope: it has not. The rest as `authorise` does, if it ended since.
    """
    await _allowed(request, services, _sent_key(request), [scope])


async def _allowed(request: Request, services: Services, key: str, scopes: Iterable[str]) -> Caller:
    try:
        caller = await _caller(request, services, key)
        for scope in scopes:
            if scope not in caller.scopes:
                raise InsufficientScope(scope)
    except (NotAuthorised, InsufficientScope, TooManyGuesses) as error:
        refusals: Refusals = request.app.state.refusals
        refusals.note(error.code, _source(request), key)
        raise
    return caller


async def authorise_early(request: Request, dependant: Dependant) -> None:
    """Do what a route's own check of the key does, before anything of its body is read.

    FastAPI reads a body that it makes a model of before it looks at what the route depends on. The
    key is remembered then, so that the second look costs nothing. Raises as `authorise`.
    """
    services: Services = request.app.state.services
    for needed in dependant.dependencies:
        if needed.call is authorise:
            scopes = SecurityScopes(needed.own_oauth_scopes)
            await authorise(request, services, scopes, None, None)


def _source(request: Request) -> str:
    return "" if request.client is None else request.client.host


async def _caller(request: Request, services: Services, key: str) -> Caller:
    known: KnownKeys = request.app.state.known_keys
    key_hash = hash_key(key)
    caller = known.caller(key_hash)
    if caller is not None:
        return caller
    guesses: Guesses = request.app.state.guesses
    source = _source(request)
    # A key in use works on, whatever else comes from its address: it is no guess.
    if not known.has_seen(key_hash) and (wait_s := guesses.wait_s(source)) > 0:
        raise TooManyGuesses(math.ceil(wait_s))

    def look_up() -> Caller | None:
        with services.database.read() as session:
            return caller_of_key(session, key)

    caller = await run_in_threadpool(look_up)
    if caller is None:
        known.forget(key_hash)
        guesses.count(source)
        raise NotAuthorised("this API key is not known, it was revoked, or its time is over")
    known.remember(key_hash, caller)
    return caller


def _sent_key(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key", "").strip()


MAY_READ = Security(authorise, scopes=[Scope.READ])
MAY_SUBMIT = Security(authorise, scopes=[Scope.SUBMIT])
MAY_ADMINISTER = Security(authorise, scopes=[Scope.ADMIN])

ReaderProject = Annotated[int, MAY_READ]
"""The project of a caller who may read; the other two alike."""
SubmitterProject = Annotated[int, MAY_SUBMIT]
AdminProject = Annotated[int, MAY_ADMINISTER]


def anybody() -> None:
    """Let everybody in: the mark of a route that needs no key and shows nothing that is anybody's."""


PUBLIC = Depends(anybody)


def require_declared(app: FastAPI) -> None:
    """Look at every route of the application before it answers anything.

    Raises:
        RuntimeError: one neither needs a scope nor is marked as public, or can't be looked into.
    """
    for route in iter_route_contexts(app.routes):
        dependant = route.dependant if isinstance(route.original_route, APIRoute) else None
        if dependant is None or not any(map(_is_declared, dependant.dependencies)):
            raise RuntimeError(
                f"{route.path}: the route needs a scope (api.auth.MAY_READ and its like), "
                "or the mark PUBLIC"
            )


def _is_declared(dependant: Dependant) -> bool:
    if dependant.call is authorise:
        return bool(dependant.own_oauth_scopes)
    return dependant.call is anybody
