"""Who is calling and what they may do. A route says which scope it needs, or that it is public.

There is no third kind: `require_declared` lets no application start that has one.
"""

import math
from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIWebSocketRoute, iter_route_contexts
from fastapi.security import APIKeyHeader, HTTPBearer, SecurityScopes
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from api.access.audit import Refusals, set_caller
from api.access.known_keys import Guesses, KnownKeys, source_of
from api.access.logins import check_form, present_visitor, token_of, visitor_of
from api.query import check_query
from api.server.connections import admit
from api.services import Services, ServicesDep
from jobs.errors import CrossSite, InsufficientScope, NotAuthorised, TooManyGuesses
from jobs.scopes import Scope
from jobs.store.logins import Visitor
from jobs.store.projects import Caller, caller_of_key, hash_key

_bearer = HTTPBearer(auto_error=False, description="An API key.")
_header = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key.")


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
    if not key and request.method == "GET" and token_of(request):
        # What a browser shows or saves of the interface. It changes nothing by its cookie there.
        return (await authorise_page(request, services, needed)).caller.project_id
    return await authorise_socket(request, services, needed)


async def authorise_socket(
    connection: HTTPConnection, services: ServicesDep, needed: SecurityScopes
) -> int:
    """Do what `authorise` does, for a WebSocket, which no description has a place for."""
    key = _sent_key(connection)
    if not key:
        raise NotAuthorised
    caller = await _allowed(connection, services, key, needed.scopes)
    set_caller(key)
    admit(connection.scope)
    check_query(connection)
    return caller.project_id


async def authorise_page(
    request: Request, services: ServicesDep, needed: SecurityScopes
) -> Visitor:
    """Return who looks at a page, if the key of their login has every scope that the page needs.

    What changes something has the login's form token as well.

    Raises:
        NotAuthorised: there is no login, or it is over.
        CrossSite: the form is not of a page of this login. The rest as `authorise`.
    """
    visitor = await visitor_of(request, services)
    refusals: Refusals = request.app.state.refusals
    try:
        for scope in needed.scopes:
            if scope not in visitor.caller.scopes:
                raise InsufficientScope(scope)
        if request.method != "GET":
            await check_form(request)
    except (InsufficientScope, CrossSite) as error:
        refusals.note(error.code, source_of(request), visitor.key_prefix)
        raise
    set_caller(visitor.key_prefix)
    admit(request.scope)
    check_query(request)
    return visitor


async def may_go_on(connection: HTTPConnection, services: Services, scope: Scope) -> bool:
    """Return whether the key, or the login, of a connection that began long ago still has this scope.

    That it has not is no guess at a key, and no refusal to be told.

    Raises:
        ServiceUnavailable: nobody knows, as the database can't be used now.
    """
    key = _sent_key(connection)
    if not key and isinstance(connection, Request):
        visitor = await present_visitor(connection, services)
        return visitor is not None and scope in visitor.caller.scopes
    caller = await _known_caller(connection, services, key)
    return caller is not None and scope in caller.scopes


async def require_scope(request: Request, services: Services, scope: Scope) -> None:
    """Return if the key has one more scope, for what this request asks beyond what its route does.

    Raises:
        InsufficientScope: it has not. The rest as `authorise` does, if it ended since.
    """
    await _allowed(request, services, _sent_key(request), [scope])


async def _allowed(
    request: HTTPConnection, services: Services, key: str, scopes: Iterable[str]
) -> Caller:
    try:
        caller = await caller_of(request, services, key)
        for scope in scopes:
            if scope not in caller.scopes:
                raise InsufficientScope(scope)
    except (NotAuthorised, InsufficientScope, TooManyGuesses) as error:
        refusals: Refusals = request.app.state.refusals
        refusals.note(error.code, source_of(request), key)
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


async def caller_of(request: HTTPConnection, services: Services, key: str) -> Caller:
    """Return who a key speaks for that was sent with a request.

    Raises:
        NotAuthorised: it is not valid.
        TooManyGuesses: this address sent too many unknown keys, and this is one more.
    """
    known: KnownKeys = request.app.state.known_keys
    guesses: Guesses = request.app.state.guesses
    key_hash, source = hash_key(key), source_of(request)
    # A key in use works on, whatever else comes from its address: it is no guess.
    if not known.has_seen(key_hash) and (wait_s := guesses.wait_s(source)) > 0:
        raise TooManyGuesses(math.ceil(wait_s))
    caller = await _known_caller(request, services, key)
    if caller is None:
        guesses.count(source)
        raise NotAuthorised("this API key is not known, it was revoked, or its time is over")
    return caller


async def _known_caller(connection: HTTPConnection, services: Services, key: str) -> Caller | None:
    """Return who a key speaks for, as it was known within the last seconds; None if for nobody."""
    known: KnownKeys = connection.app.state.known_keys
    key_hash = hash_key(key)
    if (caller := known.caller(key_hash)) is not None:
        return caller

    def look_up() -> Caller | None:
        with services.database.read() as session:
            return caller_of_key(session, key)

    caller = await known.looked_up(key_hash, lambda: run_in_threadpool(look_up))
    if caller is None:
        known.forget(key_hash)
    else:
        known.remember(key_hash, caller)
    return caller


def _sent_key(request: HTTPConnection) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key", "").strip()


VIEWS = Security(authorise_page, scopes=[Scope.READ])
STEERS = Security(authorise_page, scopes=[Scope.READ, Scope.SUBMIT])
OPERATES = Security(authorise_page, scopes=[Scope.READ, Scope.ADMIN])

Viewer = Annotated[Visitor, VIEWS]
"""Who looks at a page; the other two may change something there, or see how Tidemill is set up."""
Steerer = Annotated[Visitor, STEERS]
Operator = Annotated[Visitor, OPERATES]

MAY_READ = Security(authorise, scopes=[Scope.READ])
MAY_SUBMIT = Security(authorise, scopes=[Scope.SUBMIT])
MAY_ADMINISTER = Security(authorise, scopes=[Scope.ADMIN])
MAY_SEE_METRICS = Security(authorise, scopes=[Scope.METRICS])

ReaderProject = Annotated[int, MAY_READ]
"""The project of a caller who may read; the others alike."""
SubmitterProject = Annotated[int, MAY_SUBMIT]
AdminProject = Annotated[int, MAY_ADMINISTER]
SocketProject = Annotated[int, Security(authorise_socket, scopes=[Scope.READ])]


def anybody() -> None:
    """Let everybody in: the mark of a route that needs no key and shows nothing that is anybody's."""


PUBLIC = Depends(anybody)


def require_declared(app: FastAPI) -> None:
    """Look at every route of the application before it answers anything.

    Raises:
        RuntimeError: one neither needs a scope nor is marked as public, or can't be looked into.
    """
    for route in iter_route_contexts(app.routes):
        is_ours = isinstance(route.original_route, APIRoute | APIWebSocketRoute)
        dependant = route.dependant if is_ours else None
        if dependant is None or not any(map(_is_declared, dependant.dependencies)):
            raise RuntimeError(
                f"{route.path}: the route needs a scope (api.access.auth.MAY_READ and its like), "
                "or the mark PUBLIC"
            )


def _is_declared(dependant: Dependant) -> bool:
    if dependant.call in (authorise, authorise_page, authorise_socket):
        return bool(dependant.own_oauth_scopes)
    return dependant.call is anybody
