"""Databases at the present schema, and the API on them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

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
async def client(database: Database, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The API on that database, asked with a key of the project `default`; it has no broker."""
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings(home=tmp_path, database_url=url, broker_url="redis://127.0.0.1:9")
    app = create_app(settings, Configuration())
    with database.write() as session:
        key = create_key(session, ensure_project(session, "default"))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        headers = {"x-api-key": key}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://tidemill", headers=headers
        ) as client:
            yield client
