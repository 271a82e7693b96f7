"""A batch says what it waits for, also where no worker is there to say it."""

from pathlib import Path

import httpx
import redis

from jobs.feed import Feeder
from jobs.queues import make_celery
from jobs.settings import Settings
from jobs.states import BatchState
from jobs.store import Database, workers
from jobs.store.batches import batches
from tests.support.eventually import eventually
from tests.support.redis_servers import OwnRedis
from tests.support.rows import age_messages, lease_of, seed_batch

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


async def test_a_batch_whose_messages_the_broker_does_not_take_says_so_until_it_does(
    client: httpx.AsyncClient, database: Database, redis_url: str
) -> None:
    with database.write() as session:
        workers.beat(session, CARD, 0)
    refs = [seed_batch(database) for _ in range(2)]
    nowhere = make_celery(Settings(broker_url="redis://127.0.0.1:9"))
    Feeder(database, nowhere).feed("sim")
    for ref in refs:
        assert await waiting_for(client, ref) == "the broker did not take a message for 'sim'"
    age_messages(database)
    Feeder(database, nowhere).publish_lost()
    for ref in refs:
        said = await waiting_for(client, ref)
        assert said == "the broker does not answer, or takes no messages"

    healthy = Feeder(database, make_celery(Settings(broker_url=redis_url)))
    healthy.publish_lost()
    lease_of(database, refs[0])
    assert await waiting_for(client, refs[0]) is None
    age_messages(database)
    healthy.publish_lost()
    assert await waiting_for(client, refs[1]) is None


async def test_a_broker_with_a_full_disk_is_named_and_what_is_paused_says_so_still(
    client: httpx.AsyncClient, database: Database, own_redis: OwnRedis, tmp_path: Path
) -> None:
    with database.write() as session:
        workers.beat(session, CARD, 0)
    ref, paused = seed_batch(database), seed_batch(database)
    with database.write() as session:
        batches.move(session, 1, paused, BatchState.PAUSED)
    with redis.Redis.from_url(own_redis.url) as broker:
        (tmp_path / "dump.rdb").mkdir()  # where it would save
        broker.config_set("save", "1 1")
        broker.set("something", "to save")

        def refuses() -> bool:
            try:
                broker.set("something", "else")
            except redis.ResponseError as error:
                return "MISCONF" in str(error)
            return False

        eventually(refuses, 30.0, "the broker refuses to write")
    Feeder(database, make_celery(Settings(broker_url=own_redis.url))).feed("sim")
    said = await waiting_for(client, ref)
    assert said == "the broker did not take a message for 'sim' (MISCONF)"
    assert await waiting_for(client, paused) == "paused by its owner"
