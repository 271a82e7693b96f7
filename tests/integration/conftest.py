"""Databases at the present schema, and the API on them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from jobs.configuration import Configuration
from jobs.settings import Settings
from jobs.store import Database
from jobs.store.projects import create_key, ensure_project
from tests.support.rows import migrated


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database: once SQLite, once PostgreSQL."""
    with migrated(database_url) as database:
        yield database


@pytest.fixture
def configuration() -> Configuration:
    """Without a provider; who needs one has a fixture of this name."""
    return Configuration()


@pytest.fixture(scope="session")
def looked_at() -> set[str]:
    """What one application of this process was looked at for; all have the same routes."""
    return set()


@pytest.fixture
def patience_s() -> float:
    """How long the API waits for its database: a server that others use, too, may once be slow to commit."""
    return 15.0


@pytest.fixture
def app(
    database: Database,
    tmp_path: Path,
    configuration: Configuration,
    patience_s: float,
    looked_at: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> FastAPI:
    """The API on that database, without a broker."""
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings(home=tmp_path, database_url=url, broker_url="redis://127.0.0.1:9")
    with monkeypatch.context() as patch:
        if "scopes" in looked_at:  # which takes longer than all else that is made here
            patch.setattr("api.app.require_declared", lambda _app: None)
        patch.setattr("api.app.PATIENCE_S", patience_s)
        app = create_app(settings, configuration)
    looked_at.add("scopes")
    return app


@pytest.fixture
async def keyless_client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that API."""
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://tidemill") as client:
            yield client


@pytest.fixture
def client(keyless_client: httpx.AsyncClient, database: Database) -> httpx.AsyncClient:
    """The same with a key of the project `default`."""
    with database.write() as session:
        key = create_key(session, ensure_project(session, "default"))
    keyless_client.headers["x-api-key"] = key
    return keyless_client
