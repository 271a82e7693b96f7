"""The login: a key is shown once, and the browser gets a token instead of it."""

import re
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse

from api.access.audit import Refusals, note, set_caller
from api.access.auth import PUBLIC, Viewer, caller_of
from api.access.known_keys import source_of
from api.access.logins import drop, keep, read_form, token_of
from api.dashboard.page_route import PageRoute
from api.dashboard.rendering import render
from api.server.connections import admit
from api.services import Services, ServicesDep
from jobs.errors import NotAuthorised, TooManyGuesses
from jobs.scopes import Scope
from jobs.store import logins

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_LOCAL = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")
"""A path on this host: a browser would read `//host` and `/\\host` as another one."""


def local(path: str) -> str:
    """Return where to go after the login: a path of ours, else the first page."""
    return path if len(path) <= 2000 and _LOCAL.fullmatch(path) else "/"


@router.get("/login", dependencies=[PUBLIC])
async def login_page(
    request: Request, next_: Annotated[str, Query(alias="next")] = "/"
) -> Response:
    """Ask for a key."""
    return render(request, None, "login.html", next=local(next_), fault="")


@router.post("/login", dependencies=[PUBLIC])
async def log_in(request: Request, services: ServicesDep) -> Response:
    """Exchange a key for a login; a login that the browser had before ends."""
    form = await read_form(request)
    key, target = form.get("key", "").strip(), local(form.get("next", "/"))
    try:
        if not key:
            raise NotAuthorised("Paste an API key.")
        caller = await caller_of(request, services, key)
        if Scope.READ not in caller.scopes:
            raise NotAuthorised("this key may not read, which every page needs (scope `read`)")
        token = await run_in_threadpool(_begin, services, key, token_of(request))
        if token is None:
            raise NotAuthorised("this API key is not known, it was revoked, or its time is over")
    except (NotAuthorised, TooManyGuesses) as error:
        refusals: Refusals = request.app.state.refusals
        refusals.note(error.code, source_of(request), key)
        many = isinstance(error, TooManyGuesses)
        status = HTTPStatus.TOO_MANY_REQUESTS if many else HTTPStatus.UNAUTHORIZED
        return render(request, None, "login.html", status=status, next=target, fault=error.message)
    set_caller(key)
    admit(request.scope)
    note("logged_in", caller.project_id)
    reply = RedirectResponse(target, HTTPStatus.SEE_OTHER)
    keep(request, reply, token)
    return reply


def _begin(services: Services, key: str, before: str) -> str | None:
    with services.database.write() as session:
        if before:
            logins.end(session, before)
        return logins.begin(session, key)


@router.post("/logout")
def log_out(request: Request, services: ServicesDep, visitor: Viewer) -> Response:
    """End the login: whoever has its cookie has nothing."""
    with services.database.write() as session:
        logins.end(session, token_of(request))
    note("logged_out", visitor.caller.project_id)
    reply = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
    drop(request, reply)
    return reply
