"""The login: who sees which page, what a browser is given instead of a key, and when that ends."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security import SecurityScopes
from sqlalchemy import update

from api.access.auth import anybody, authorise_page
from api.access.known_keys import GUESSES
from api.dashboard.login import local
from api.dashboard.settings import without_secrets
from jobs.clock import utcnow
from jobs.scopes import EVERY_SCOPE, Scope
from jobs.store import Database
from jobs.store.logins import IDLE, LIVES
from jobs.store.projects import create_key, ensure_project
from jobs.tables import ApiKey, Login
from tests.support.rows import seed_batch

PAGES = {
    "GET /": {"read"},
    "GET /batches/{batch_id}": {"read"},
    "GET /batches/{batch_id}/results": {"read"},
    "GET /batches/{batch_id}/results/{seq}": {"read"},
    "POST /batches/{batch_id}/{verb}": {"read", "submit"},
    "GET /pools": {"read"},
    "GET /workers": {"read"},
    "GET /pipelines": {"read"},
    "POST /runs/{run_id}/{verb}": {"read", "submit"},
    "GET /runs/{run_id}": {"read"},
    "GET /usage": {"read"},
    "GET /settings": {"read", "admin"},
    "POST /logout": {"read"},
    "GET /login": None,
    "POST /login": None,
    "GET /static/{name}": None,
}
"""Who may see a page; None for everybody. A page that is new is missing here."""

FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture
def client(keyless_client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A browser in which nobody has logged in yet."""
    return keyless_client


@pytest.fixture
def key(database: Database) -> str:
    return key_of(database, EVERY_SCOPE)


def key_of(database: Database, scopes: Any, project: str = "default") -> str:
    with database.write() as session:
        return create_key(session, ensure_project(session, project), scopes=scopes)


async def log_in(client: httpx.AsyncClient, key: str, **more: str) -> httpx.Response:
    return await client.post("/login", data={"key": key, **more})


async def sees(client: httpx.AsyncClient, path: str = "/workers") -> bool:
    reply = await client.get(path)
    assert reply.status_code in {200, 303}
    return reply.status_code == 200


async def form_token_in(client: httpx.AsyncClient, path: str = "/workers") -> str:
    page = (await client.get(path)).text
    return page.partition('name="form_token" value="')[2].partition('"')[0]


def needed(route: APIRoute) -> set[str] | None:
    scopes: set[str] = set()
    for each in route.dependant.dependencies:
        if each.call is anybody:
            return None
        if each.call is authorise_page:
            scopes |= set(SecurityScopes(each.own_oauth_scopes).scopes)
    return scopes


def test_every_page_is_public_or_says_its_scopes(app: FastAPI) -> None:
    pages = {
        f"{method} {route.path}": needed(route.original_route)
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute) and not route.original_route.include_in_schema
        for method in route.methods or ()
    }
    assert pages == PAGES


async def test_without_a_login_every_page_leads_to_it_and_back(client: httpx.AsyncClient) -> None:
    for path in ("/batches/bat_1?x=1", "/pools", "/settings"):
        reply = await client.get(path)
        assert reply.status_code == 303
        target = reply.headers["location"]
        assert (await client.get(target)).text.count(f'name="next" value="{path}"') == 1
    assert (await client.get("/")).headers["location"] == "/login"
    reply = await client.post("/batches/bat_1/pause", data={"form_token": "x"})
    assert (reply.status_code, reply.headers["location"]) == (303, "/login")


async def test_a_key_is_exchanged_for_a_cookie_that_is_no_key(
    client: httpx.AsyncClient, key: str, database: Database
) -> None:
    reply = await log_in(client, key, next="/usage?days=7")
    assert (reply.status_code, reply.headers["location"]) == (303, "/usage?days=7")
    cookie = reply.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert key not in cookie
    assert await sees(client)
    with database.read() as session:
        (stored,) = session.connection().execute(Login.__table__.select()).all()  # type: ignore[attr-defined]  # SQLModel sets it, untyped
    assert client.cookies["tidemill"] not in str(stored)


async def test_where_it_is_encrypted_the_cookie_travels_only_so(app: FastAPI, key: str) -> None:
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="https://tidemill"
        ) as client,
    ):
        cookie = (await log_in(client, key)).headers["set-cookie"]
        assert cookie.startswith("__Host-tidemill=")
        assert "Secure" in cookie
        assert await sees(client)


@pytest.mark.parametrize("sent", ["", " ", "tm_" + "A" * 43, "' OR 1=1 --", "<script>", "k" * 9000])
async def test_what_is_no_key_opens_nothing_and_is_not_repeated(
    client: httpx.AsyncClient, sent: str
) -> None:
    reply = await log_in(client, sent)
    assert reply.status_code == 401
    assert "set-cookie" not in reply.headers
    assert len(sent.strip()) < 2 or sent not in reply.text


async def test_keys_and_cookies_are_guessed_at_within_limits(client: httpx.AsyncClient) -> None:
    statuses = [(await log_in(client, f"tm_{n}")).status_code for n in range(GUESSES + 1)]
    assert statuses == [401] * GUESSES + [429]
    reply = await client.get("/workers", headers={"cookie": "tidemill=guess"})
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) > 0


async def test_a_key_that_can_not_read_gets_no_login(
    client: httpx.AsyncClient, database: Database
) -> None:
    reply = await log_in(client, key_of(database, {Scope.SUBMIT}))
    assert reply.status_code == 401
    assert "may not read" in reply.text


@pytest.mark.parametrize(
    "end",
    [
        update(ApiKey).values(revoked_at=utcnow()),
        update(ApiKey).values(expires_at=utcnow()),
        update(Login).values(created_at=utcnow() - LIVES),
        update(Login).values(seen_at=utcnow() - IDLE),
    ],
    ids=["key revoked", "key expired", "old", "idle"],
)
async def test_a_login_ends_with_its_key_and_with_time(
    client: httpx.AsyncClient, database: Database, key: str, end: Any
) -> None:
    await log_in(client, key)
    assert await sees(client)
    with database.write() as session:
        session.connection().execute(end)
    assert not await sees(client)
    assert "tidemill" not in client.cookies


async def test_use_keeps_a_login_from_being_idle(
    client: httpx.AsyncClient, database: Database, key: str
) -> None:
    await log_in(client, key)
    for _ in range(2):
        with database.write() as session:
            aged = utcnow() - IDLE + timedelta(minutes=1)
            session.connection().execute(update(Login).values(seen_at=aged))
        assert await sees(client)
    with database.read() as session:
        (seen_at,) = session.connection().execute(Login.__table__.select()).one()[-1:]  # type: ignore[attr-defined]  # as above
    assert utcnow() - seen_at < timedelta(minutes=1)


async def test_a_logout_ends_the_login_and_another_login_the_one_before(
    client: httpx.AsyncClient, key: str
) -> None:
    await log_in(client, key)
    first = {"cookie": f"tidemill={client.cookies['tidemill']}"}
    await log_in(client, key)
    second = {"cookie": f"tidemill={client.cookies['tidemill']}"}
    assert (await client.get("/workers", headers=first)).status_code == 303
    client.cookies.clear()
    page = (await client.get("/workers", headers=second)).text
    token = page.partition('name="form_token" value="')[2].partition('"')[0]
    reply = await client.post("/logout", headers=second, data={"form_token": token})
    assert reply.headers["location"] == "/login"
    assert (await client.get("/workers", headers=second)).status_code == 303


@pytest.mark.parametrize("token", ["", "0" * 64, "é", None])
async def test_a_form_needs_the_token_of_its_login(
    client: httpx.AsyncClient, database: Database, key: str, token: str | None
) -> None:
    await log_in(client, key)
    ref = seed_batch(database)
    reply = await client.post(f"/batches/{ref}/pause", data={"form_token": token} if token else {})
    assert reply.status_code == (403 if token else 415)
    good = await form_token_in(client)
    foreign = {"sec-fetch-site": "cross-site"}
    sent = {"form_token": good}
    reply = await client.post(f"/batches/{ref}/pause", headers=foreign, data=sent)
    assert reply.status_code == 403
    assert (await client.get(f"/batches/{ref}")).text.count("Queued: ") == 1
    assert (await client.post(f"/batches/{ref}/pause", data=sent)).status_code == 303


async def test_a_cookie_reads_the_interface_and_changes_nothing_there(
    client: httpx.AsyncClient, database: Database, key: str
) -> None:
    await log_in(client, key)
    ref = seed_batch(database)
    assert (await client.get(f"/api/batches/{ref}")).status_code == 200
    for method, path in [("POST", f"/api/batches/{ref}/pause"), ("PATCH", "/api/budget")]:
        assert (await client.request(method, path, json={})).status_code == 401
    assert (await client.get("/api/batches", headers={"x-api-key": "tm_no"})).status_code == 401


async def test_another_projects_batch_is_not_there(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database)
    await log_in(client, key_of(database, EVERY_SCOPE, "other"))
    token = await form_token_in(client)
    for path in (f"/batches/{ref}", f"/batches/{ref}/results", f"/batches/{ref}/results/0"):
        assert (await client.get(path)).status_code == 404
    for verb in ("pause", "cancel", "retry"):
        reply = await client.post(f"/batches/{ref}/{verb}", data={"form_token": token})
        assert reply.status_code == 404
    assert ref not in (await client.get("/")).text


async def test_errors_are_pages_that_say_what_is_wrong(
    client: httpx.AsyncClient, database: Database, key: str
) -> None:
    await log_in(client, key)
    ref = seed_batch(database)
    data = {"form_token": await form_token_in(client)}
    reply = await client.post(f"/batches/{ref}/retry", data=data)
    assert reply.status_code == 409
    assert "only one that has ended can be retried" in reply.text
    for path in (f"/batches/{ref}/results/99", f"/batches/{ref}%00", "/?before=bat_0"):
        reply = await client.get(path)
        assert reply.status_code in {400, 404}, path
        assert reply.headers["content-type"].startswith("text/html")
        assert "form-action 'self'" in reply.headers["content-security-policy"]


async def test_pages_run_nothing_that_stands_in_them(client: httpx.AsyncClient, key: str) -> None:
    await log_in(client, key)
    for path in ("/", "/login", "/usage"):
        reply = await client.get(path)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert " style=" not in reply.text
        assert " onclick=" not in reply.text
        assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("asked", "gone_to"),
    [
        ("/usage?days=7", "/usage?days=7"),
        ("//evil.test", "/"),
        ("/\\evil.test", "/"),
        ("/\t/evil.test", "/"),
        ("https://evil.test", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
        ("/a\r\nset-cookie: x", "/"),
    ],
)
def test_a_login_leads_to_pages_of_ours_alone(asked: str, gone_to: str) -> None:
    assert local(asked) == gone_to


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg://tide:s3cret@db:5432/tidemill?password=s3cret",
        "redis://:s3cret@redis:6379/0",
        "amqp://tide:s3cret@s3cret@rabbit//",
    ],
)
def test_the_secrets_of_an_address_are_not_shown(address: str) -> None:
    assert "s3cret" not in without_secrets(address)
