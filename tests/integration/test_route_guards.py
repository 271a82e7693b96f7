"""Every route there is needs a scope or says that it is public, and nobody gets around that."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from api.access.auth import MAY_READ, PUBLIC, authorise, require_declared
from jobs.scopes import Scope
from jobs.store import Database
from jobs.store.projects import create_key, ensure_project
from tests.support.rows import seed_batch

PUBLIC_ROUTES = {
    "GET /openapi.json",
    "GET /healthz",
    "GET /readyz",
}

SCOPES = {
    "GET /api/batches": "read",
    "GET /api/batches/{batch_id}": "read",
    "GET /api/batches/{batch_id}/events": "read",
    "GET /api/batches/{batch_id}/progress": "read",
    "GET /api/batches/{batch_id}/results": "read",
    "GET /api/budget": "read",
    "GET /api/pools": "read",
    "GET /api/receipts": "read",
    "GET /api/batches/{batch_id}/receipt": "read",
    "GET /api/usage": "read",
    "GET /api/pipelines": "read",
    "POST /api/pipelines/{pipeline}/runs": "submit",
    "POST /api/pipelines/{pipeline}/backfill": "submit",
    "GET /api/runs": "read",
    "GET /api/runs/{run_id}": "read",
    "GET /api/runs/{run_id}/receipt": "read",
    "GET /api/runs/{run_id}/failures": "read",
    "GET /api/runs/{run_id}/diff": "read",
    "POST /api/runs/{run_id}/cancel": "submit",
    "POST /api/runs/{run_id}/retry": "submit",
    "POST /api/batches": "submit",
    "PATCH /api/batches/{batch_id}": "submit",
    "GET /api/batches/{batch_id}/attempts": "read",
    "GET /api/batches/{batch_id}/reconciliation": "read",
    "POST /api/batches/{batch_id}/reconciliation": "read",
    "POST /api/batches/{batch_id}/cancel": "submit",
    "POST /api/batches/{batch_id}/pause": "submit",
    "POST /api/batches/{batch_id}/resume": "submit",
    "POST /api/batches/{batch_id}/retry": "submit",
    "GET /metrics": "metrics",
    "GET /api/webhooks": "admin",
    "POST /api/webhooks": "admin",
    "DELETE /api/webhooks/{webhook_id}": "admin",
    "PATCH /api/budget": "admin",
    "GET /v1/batches": "read",
    "GET /v1/batches/{batch_id}": "read",
    "GET /v1/files": "read",
    "GET /v1/files/{file_id}": "read",
    "GET /v1/files/{file_id}/content": "read",
    "GET /v1/models": "read",
    "GET /v1/models/{model}": "read",
    "POST /v1/batches": "submit",
    "POST /v1/chat/completions": "submit",
    "POST /v1/batches/{batch_id}/cancel": "submit",
    "POST /v1/files": "submit",
    "DELETE /v1/files/{file_id}": "submit",
    "GET /anthropic/v1/messages/batches": "read",
    "GET /anthropic/v1/messages/batches/{batch_id}": "read",
    "GET /anthropic/v1/messages/batches/{batch_id}/results": "read",
    "GET /anthropic/v1/models": "read",
    "GET /anthropic/v1/models/{model}": "read",
    "POST /anthropic/v1/messages": "submit",
    "POST /anthropic/v1/messages/batches": "submit",
    "POST /anthropic/v1/messages/batches/{batch_id}/cancel": "submit",
    "DELETE /anthropic/v1/messages/batches/{batch_id}": "submit",
}
"""A route that is new is missing here: decide who may use it."""

UNKNOWN = "bat_00000000000000000000000000"


@pytest.fixture
def client(keyless_client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Here every request says which key it has, or none."""
    return keyless_client


def described(app: FastAPI) -> dict[str, Any]:
    """Every operation of the description, by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    }


def closed(app: FastAPI) -> dict[str, Any]:
    return {name: said for name, said in described(app).items() if name not in PUBLIC_ROUTES}


def scope_of(operation: dict[str, Any]) -> str:
    """The one scope that the description names, for both ways to send a key."""
    named = {scope for way in operation["security"] for scopes in way.values() for scope in scopes}
    (scope,) = named
    return str(scope)


async def ask(
    client: httpx.AsyncClient, name: str, key: str, batch_id: str = UNKNOWN
) -> httpx.Response:
    method, path = name.replace("{batch_id}", batch_id).split(" ")
    body: dict[str, Any] = {}
    if name == "PATCH /api/budget":
        body = {"json": {"daily_usd": None}}
    elif method == "PATCH":
        body = {"json": {"max_cost_usd": None}}
    return await client.request(method, path, headers={"x-api-key": key}, **body)


def code_of(reply: httpx.Response) -> str:
    """The code of a refusal, in our own words, whichever surface has told it."""
    body = reply.json()
    match body:
        case {"error": {"details": {"error_code": str(code)}}}:
            return code
        case {"error": {"code": str(code)}}:
            return {"invalid_api_key": "unauthorised"}.get(code, code)
        case _:
            return str(body["code"])


def test_the_description_is_the_whole_inventory(app: FastAPI) -> None:
    routes = {
        f"{method} {route.path}".replace(":path}", "}")
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
        if isinstance(route.original_route, APIRoute) and not is_page(route.original_route)
    }
    assert routes == set(described(app))


def is_page(route: APIRoute) -> bool:
    """Pages are for people; who may see which is in `test_login`."""
    return not route.include_in_schema


def test_every_route_is_public_or_says_its_scope(app: FastAPI) -> None:
    operations = described(app)
    assert {name for name, said in operations.items() if "security" not in said} == PUBLIC_ROUTES
    assert {name: scope_of(said) for name, said in closed(app).items()} == SCOPES


@pytest.mark.parametrize("scope", Scope)
async def test_a_key_opens_exactly_the_routes_of_its_scope(
    app: FastAPI, client: httpx.AsyncClient, database: Database, scope: Scope
) -> None:
    with database.write() as session:
        key = create_key(session, ensure_project(session, "default"), scopes={scope})
    for name, operation in closed(app).items():
        reply = await ask(client, name, key)
        needed = scope_of(operation)
        assert (reply.status_code == 403) == (needed != scope), (name, reply.text)
        if reply.status_code == 403:
            assert code_of(reply) == "insufficient_scope"
            challenge = f'Bearer error="insufficient_scope", scope="{needed}"'
            assert reply.headers["www-authenticate"] == challenge


async def test_without_a_key_no_route_but_the_public_ones_answers(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    for name in closed(app):
        reply = await ask(client, name, "")
        assert (reply.status_code, code_of(reply)) == (401, "unauthorised"), name
    for name in PUBLIC_ROUTES:
        assert (await ask(client, name, "")).status_code == 200, name


@pytest.mark.parametrize("key", ["", "tm_nobody", "tm_nobody" + "x" * 40])
async def test_without_a_key_no_body_is_read(
    app: FastAPI, client: httpx.AsyncClient, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.access.known_keys.GUESSES", 100)  # more than there are routes

    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("it was asked for")
        yield b""

    for name in closed(app):
        method, path = name.replace("{batch_id}", UNKNOWN).split(" ")
        headers = {"x-api-key": key, "content-type": "application/json"}
        reply = await client.request(method, path, headers=headers, content=body())
        assert (reply.status_code, code_of(reply)) == (401, "unauthorised"), name


async def test_who_may_not_call_a_route_is_told_nothing_of_its_parameters(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    operations = closed(app)
    keys = {}
    with database.write() as session:
        project_id = ensure_project(session, "default")
        for scope in Scope:
            keys[str(scope)] = create_key(session, project_id, scopes=set(Scope) - {scope})
    for name, operation in operations.items():
        asked = f"{name}?made_up=1&limit=x"
        reply = await ask(client, asked, "")
        assert (reply.status_code, code_of(reply)) == (401, "unauthorised"), name
        reply = await ask(client, asked, keys[scope_of(operation)])
        assert (reply.status_code, code_of(reply)) == (403, "insufficient_scope"), name


def _without_request_id(text: str) -> str:
    return re.sub(r'"request_id":"[^"]*"', "", text)


async def test_what_another_project_has_is_as_if_it_were_not_there(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    theirs = seed_batch(database, project="another")
    with database.write() as session:
        owner = create_key(session, ensure_project(session, "another"))
        stranger = create_key(session, ensure_project(session, "default"), scopes=set(Scope))
    of_a_batch = [name for name in closed(app) if "{batch_id}" in name]
    assert len(of_a_batch) == 19
    for name in of_a_batch:
        foreign = await ask(client, name, stranger, theirs)
        unknown = await ask(client, name, stranger, UNKNOWN)
        assert foreign.status_code == unknown.status_code == 404, name
        told, expected = (_without_request_id(reply.text) for reply in (foreign, unknown))
        assert told.replace(theirs, UNKNOWN) == expected, name
    of_a_file = {name for name in closed(app) if "file" in name or "{model}" in name}
    with_a_body = {
        "POST /api/batches",
        "POST /v1/batches",
        "POST /api/webhooks",
        "POST /v1/chat/completions",
        "POST /anthropic/v1/messages",
        "POST /anthropic/v1/messages/batches",
    }
    of_a_webhook = {"DELETE /api/webhooks/{webhook_id}"}  # see test_webhooks
    of_a_pipeline = {name for name in closed(app) if "{pipeline}" in name or "{run_id}" in name}
    apart = {*of_a_batch, *of_a_file, *with_a_body, *of_a_webhook, "GET /api/pools"}
    apart |= of_a_pipeline | {"GET /api/receipts"}  # see test_pipeline_routes and test_receipts
    for name in set(closed(app)) - apart:
        reply = await ask(client, name, stranger)
        assert reply.status_code == 200, name
        assert theirs not in reply.text, name
        assert "another" not in reply.text, name
    # The owner sees it, and nothing that the stranger tried has changed it.
    batch = (await ask(client, "GET /api/batches/{batch_id}", owner, theirs)).json()
    assert (batch["id"], batch["state"]) == (theirs, "queued")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 401),
        ("127.0.0.1:1/../api", 400),
        ("tidemill, healthz", 400),
        ("/healthz", 400),
        ("a b", 400),
    ],
)
async def test_no_host_header_opens_a_route(
    client: httpx.AsyncClient, host: str, status: int
) -> None:
    reply = await client.get("/api/batches", headers={"host": host, "x-forwarded-prefix": "/"})
    assert reply.status_code == status


@pytest.mark.parametrize(
    "path", ["/api/batches/", "//api/batches", "/healthz/../api/batches", "/API/batches", "/api"]
)
async def test_no_spelling_of_a_path_opens_a_route(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code in {401, 404}


def application(router: APIRouter) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.include_router(router, prefix="/api", dependencies=[Depends(lambda: None)])
    return app


def test_an_application_with_an_undeclared_route_does_not_start() -> None:
    router = APIRouter()
    router.get("/fine", dependencies=[MAY_READ])(lambda: None)
    router.get("/open", dependencies=[PUBLIC])(lambda: None)
    require_declared(application(router))

    @router.get("/forgotten")
    def forgotten() -> None: ...

    with pytest.raises(RuntimeError, match=re.escape("/api/forgotten: the route needs a scope")):
        require_declared(application(router))


def test_a_key_of_any_kind_is_no_declaration() -> None:
    router = APIRouter()
    router.get("/any", dependencies=[Depends(authorise)])(lambda: None)
    with pytest.raises(RuntimeError, match="/api/any"):
        require_declared(application(router))


@pytest.mark.parametrize(
    "route",
    [
        Route("/raw", lambda _: PlainTextResponse("")),
        Mount("/raw", FastAPI()),
    ],
)
def test_what_cannot_be_looked_into_does_not_start(route: Route | Mount) -> None:
    app = application(APIRouter())
    app.router.routes.append(route)
    with pytest.raises(RuntimeError, match="/raw"):
        require_declared(app)
