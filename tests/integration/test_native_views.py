"""Native batches as people see them, over HTTP and on pages, on both databases."""

from dataclasses import asdict
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.gate import EnqueuedOfModel, enqueued_by_pool
from api.routes import pools
from jobs.configuration import Configuration
from jobs.errors import ServiceUnavailable
from jobs.pools import PoolState
from jobs.states import NativeState
from jobs.store import Database
from jobs.store.native import native_room, native_views
from jobs.store.native.native import write
from tests.support.native import claimed, made, moved
from tests.support.rows import batch_of, seed_batch, set_batch


@pytest.fixture
def configuration() -> Configuration:
    sim = {
        "protocol": "openai",
        "base_url": "http://127.0.0.1:9",
        "batch_lane": {"enqueued_tokens": 5000},
    }
    return Configuration.model_validate({"providers": {"sim": sim}})


def enqueued(database: Database, name: str) -> None:
    """Let a native batch be at its provider, with four lines done."""
    of = claimed(database, name)
    with database.write() as session:
        assert native_room.enqueue(session, of, enqueued_tokens=None, max_open=9)
    of = moved(database, of, NativeState.SENDING)
    of = moved(database, of, NativeState.RUNNING)
    with database.write() as session:
        write(session, of, done=4)


def cannot_be_asked(_services: object) -> None:
    raise ServiceUnavailable("the database is away")


async def shown_pools(client: httpx.AsyncClient, patch: pytest.MonkeyPatch) -> list[Any]:
    """Return what is enqueued at the pool, and at a model of it."""

    async def known(_services: object) -> list[PoolState]:
        nothing = ((), 0, None, None, "closed", None, None, 1.0, None, None)
        return [PoolState("sim", "main", models, *nothing) for models in (None, "sim-small")]

    patch.setattr(pools, "pools_of_gate", known)
    found = (await client.get("/api/pools")).raise_for_status().json()["data"]
    return [pool["enqueued"] for pool in found]


async def test_a_batch_tells_its_open_native_batches_and_a_pool_what_is_enqueued(
    client: httpx.AsyncClient,
    app: FastAPI,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ref = seed_batch(database, jobs=30)
    set_batch(database, ref, lane="batch")
    first, second = made(database, ref, 0), made(database, ref, 1, tokens=70)
    enqueued(database, first)
    shown = (await client.get(f"/api/batches/{ref}")).raise_for_status().json()["native_batches"]
    assert [(of["id"], of["state"], of["lines"], of["done"]) for of in shown] == [
        (first, "running", 10, 4),
        (second, "packing", 10, None),
    ]
    listed = (await client.get("/api/batches")).raise_for_status().json()["data"]
    assert [batch["native_batches"] for batch in listed] == [None]
    told = enqueued_by_pool(app.state.services)
    assert told == {("sim", "main"): [EnqueuedOfModel("sim-small", 1, 10, 100, 5000)]}
    assert await shown_pools(client, monkeypatch) == [[asdict(told["sim", "main"][0])], []]
    with monkeypatch.context() as away:
        away.setattr(pools, "enqueued_by_pool", cannot_be_asked)
        assert await shown_pools(client, away) == [None, None]
    moved_on = claimed(database, second)
    with database.write() as session:
        write(session, moved_on, state=NativeState.ENDED)
    with database.read() as session:
        batch_id = batch_of(database, ref).id or 0
        assert [of.ref for of in native_views.open_of(session, batch_id, limit=9)] == [first]
