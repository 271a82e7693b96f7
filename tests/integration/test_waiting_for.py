"""A batch says what it waits for, also where no worker is there to say it."""

import httpx

from jobs.states import BatchState
from jobs.store import Database, batches, workers
from tests.support.rows import lease_of, seed_batch

CARD = workers.WorkerCard("w", "here", 1, ("sim",), 8)


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
