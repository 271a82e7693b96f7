"""What a browser is told with every answer, and that a page of another site can change nothing."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from api.access.auth import PUBLIC
from api.app import create_app
from api.headers import TOLD
from jobs.configuration import Configuration
from jobs.settings import Settings
from jobs.store import Database
from jobs.store.projects import create_key, ensure_project
from tests.support.rows import migrated, seed_batch


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with migrated(f"sqlite:///{tmp_path / 'tidemill.db'}") as database:
        yield database


@pytest.fixture
def app(database: Database, tmp_path: Path) -> FastAPI:
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings(home=tmp_path, database_url=url, broker_url="redis://127.0.0.1:9")
    app = create_app(settings, Configuration())

    @app.get("/fault", dependencies=[PUBLIC])
    def fault() -> None:
        raise ZeroDivisionError

    return app


@pytest.fixture
async def client(app: FastAPI, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    with database.write() as session:
        key = create_key(session, ensure_project(session, "default"))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://tidemill:8080", headers={"x-api-key": key}
        ) as client:
            yield client


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/openapi.json", 200),
        ("/healthz", 200),
        ("/api/batches", 200),
        ("/api/batches?nonsense=1", 400),
        ("/api/batches/bat_1", 404),
        ("/nowhere", 404),
        ("/fault", 500),
    ],
)
async def test_every_answer_has_the_headers(
    client: httpx.AsyncClient, path: str, status: int
) -> None:
    reply = await client.get(path)
    assert reply.status_code == status
    assert {name: reply.headers.get(name) for name in TOLD} == TOLD
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert not {name for name in reply.headers if name.startswith("access-control-")}
    assert not {"server", "x-powered-by"} & set(reply.headers)


async def test_results_are_saved_and_never_shown(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database)
    reply = await client.get(f"/api/batches/{ref}/results")
    assert reply.headers["content-disposition"] == f'attachment; filename="{ref}.jsonl"'
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "http://tidemill"},
        {"origin": "http://tidemill:8080.evil.test"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site", "origin": "http://tidemill:8080"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/api/batches"), ("PATCH", "/api/budget"), ("DELETE", "/api/batches/x")],
)
async def test_a_foreign_page_can_change_nothing_even_with_a_key(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str]
) -> None:
    reply = await client.request(method, path, headers=headers, json={"daily_usd": "1"})
    assert (reply.status_code, reply.json()["code"]) == (403, "cross_site")
    assert {name: reply.headers.get(name) for name in TOLD} == TOLD


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://tidemill:8080"},
        {"origin": "https://behind.a.proxy", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
async def test_programs_and_our_own_pages_can(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    reply = await client.patch("/api/budget", headers=headers, json={"daily_usd": "1"})
    assert reply.status_code == 200, reply.text


async def test_no_other_site_is_allowed_to_send_a_key(client: httpx.AsyncClient) -> None:
    asked = {
        "origin": "https://evil.test",
        "access-control-request-method": "POST",
        "access-control-request-headers": "x-api-key",
    }
    reply = await client.options("/api/batches", headers=asked)
    assert reply.status_code == 405
    assert not {name for name in reply.headers if name.startswith("access-control-")}


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
async def test_what_a_form_can_send_is_no_json(
    client: httpx.AsyncClient, content_type: str
) -> None:
    """The three types that a page may send to another site without asking, and none at all."""
    headers = {"content-type": content_type} if content_type else {}
    reply = await client.patch("/api/budget", content=b'{"daily_usd":"1"}', headers=headers)
    assert reply.status_code == 415
    assert (await client.get("/api/budget")).json()["daily_usd"] is None


async def test_a_body_that_is_read_whole_is_bounded(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 64 << 20:
            sent += 1 << 16
            yield b" " * (1 << 16)

    headers = {"content-type": "application/json"}
    reply = await client.patch("/api/budget", content=endless(), headers=headers)
    assert reply.status_code == 413
    assert sent < 1 << 20
