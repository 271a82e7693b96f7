"""A batch says what it waits for, also where no worker is there to say it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from jobs.configuration import Configuration
from jobs.settings import Settings
from jobs.states import BatchState
from jobs.store import Database, batches, workers
from jobs.store.projects import create_key, ensure_project
from tests.support.rows import lease_of, seed_batch

CARD = workers.WorkerCard("w", "here", 1, ("sim",), 8)


@pytest.fixture
async def client(database: Database, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
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


async def waiting_for(client: httpx.AsyncClient, ref: str) -> str | None:
    reply = await client.get(f"/api/batches/{ref}")
    said: str | None = reply.raise_for_status().json()["waiting_for"]
    return said


async def test_a_batch_whose_queue_nobody_consumes_waits_for_a_worker(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database)
    assert await waiting_for(client, ref) == "a worker: none runs for sim"
    with database.write() as session:
        workers.beat(session, CARD, 0)
    assert await waiting_for(client, ref) is None


async def test_what_is_known_of_a_wait_goes_before_a_missing_worker(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database)
    with database.write() as session:
        batches.move(session, 1, ref, BatchState.PAUSED)
    assert await waiting_for(client, ref) == "paused by its owner"


async def test_a_batch_whose_slices_are_all_leased_waits_for_no_worker(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database)
    lease_of(database, ref)
    assert await waiting_for(client, ref) is None
