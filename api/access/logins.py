"""Logins of browsers: the cookie, who it speaks for, and the token that their forms carry.

A browser never holds an API key. It holds a random token in a cookie that no script reads and no other
site's page sends; what it is worth is in a row, so that a logout, or the end of the key, ends it.
"""

import hashlib
import hmac
import math
from urllib.parse import parse_qsl

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from api.access.known_keys import Guesses, source_of
from api.media_type import media_type
from api.services import Services
from jobs.errors import (
    BodyTooLarge,
    CrossSite,
    NotAuthorised,
    TooManyGuesses,
    UnreadableBody,
    UnsupportedMedia,
)
from jobs.store import logins
from jobs.store.logins import LIVES, Visitor

COOKIE = "tidemill"

SECURE_COOKIE = "__Host-tidemill"
"""Its name where it travels encrypted: browsers then take it from this host alone, over TLS alone."""

MAX_FORM_BYTES = 16 * 1024
MAX_FIELDS = 20
MAX_TOKEN_CHARACTERS = 100

FORM_TOKEN = "form_token"  # noqa: S105 - the name of a field


def token_of(request: Request) -> str:
    """Return the token of the login that a request has; empty if it has none that can be one."""
    name = SECURE_COOKIE if request.url.scheme == "https" else COOKIE
    token = request.cookies.get(name, "")
    return token if len(token) <= MAX_TOKEN_CHARACTERS and token.isascii() else ""


async def visitor_of(request: Request, services: Services) -> Visitor:
    """Return who has the login that a request comes with.

    Raises:
        NotAuthorised: it has none, or that is over.
        TooManyGuesses: this address sent too many unknown tokens or keys, and this is one more.
    """
    token = token_of(request)
    if not token:
        raise NotAuthorised
    guesses: Guesses = request.app.state.guesses
    found = await run_in_threadpool(_visitor, services, token)
    if found is None:
        source = source_of(request)
        if (wait_s := guesses.wait_s(source)) > 0:
            raise TooManyGuesses(math.ceil(wait_s))
        guesses.count(source)
        raise NotAuthorised("this login is over")
    return found


async def present_visitor(request: Request, services: Services) -> Visitor | None:
    """Return who has the login of a request that began long ago, None if it is over.

    It is no use of the login, which a forgotten page would keep alive, and no guess at one.
    """
    token = token_of(request)

    def look_up() -> Visitor | None:
        with services.database.read() as session:
            found = logins.visitor(session, token)
        return None if found is None else found[0]

    return await run_in_threadpool(look_up)


def _visitor(services: Services, token: str) -> Visitor | None:
    with services.database.read() as session:
        found = logins.visitor(session, token)
    if found is None:
        return None
    visitor, is_use_due = found
    if is_use_due:
        with services.database.write() as session:
            logins.note_use(session, token)
    return visitor


def keep(request: Request, response: Response, token: str) -> None:
    """Give a browser the token of its login."""
    is_secure = request.url.scheme == "https"
    response.set_cookie(
        SECURE_COOKIE if is_secure else COOKIE,
        token,
        max_age=int(LIVES.total_seconds()),
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="strict",
    )


def drop(request: Request, response: Response) -> None:
    """Take a browser's token away."""
    is_secure = request.url.scheme == "https"
    response.delete_cookie(
        SECURE_COOKIE if is_secure else COOKIE,
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="strict",
    )


def form_token(token: str) -> str:
    """Return what the forms of a login carry, so that no other page's form is taken for one of them."""
    return hashlib.sha256(b"form:" + token.encode()).hexdigest()


async def check_form(request: Request) -> None:
    """Return if the form that was sent is of a page of its login.

    Raises:
        CrossSite: it is not. The rest as `read_form`.
    """
    sent = (await read_form(request)).get(FORM_TOKEN, "")
    if not hmac.compare_digest(sent.encode(), form_token(token_of(request)).encode()):
        raise CrossSite


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of the form that was sent, however often it is asked for.

    Raises:
        UnsupportedMedia: it is none.
        BodyTooLarge: it is larger than `MAX_FORM_BYTES`.
        UnreadableBody: it is not text in UTF-8, or has more than `MAX_FIELDS`.
    """
    if (known := getattr(request.state, "form", None)) is not None:
        fields: dict[str, str] = known
        return fields
    if media_type(request.headers.get("content-type", "")) != "application/x-www-form-urlencoded":
        raise UnsupportedMedia("expected a form")
    body = bytearray()
    async for data in request.stream():
        body += data
        if len(body) > MAX_FORM_BYTES:
            raise BodyTooLarge(f"the form has more than {MAX_FORM_BYTES:,} bytes")
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
        )
    except ValueError:
        raise UnreadableBody("the form can't be read", "invalid_encoding") from None
    request.state.form = dict(pairs)
    return dict(pairs)
