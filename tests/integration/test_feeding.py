"""Feeding while the broker hangs, and who counts as a worker of a queue."""

from datetime import timedelta
from typing import Any, Never

import pytest
from celery import Celery

from jobs.errors import ServiceUnavailable
from jobs.feed import Feeder
from jobs.store import Database
from jobs.store.leases.feeding import feed
from jobs.store.workers import WorkerCard, beat, live_workers
from tests.support.rows import seed_batch

QUEUES = ("one", "two", "three")


def test_a_broker_that_takes_nothing_is_waited_for_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for queue in QUEUES:
        seed_batch(database, queue=queue)
    waits: list[str] = []

    def hang(_celery: Any, queue: str, *_ids: Any) -> Never:
        waits.append(queue)
        raise ServiceUnavailable("it hangs")

    monkeypatch.setattr("jobs.feed.publish_slice", hang)
    Feeder(database, Celery()).feed_all()
    assert len(waits) == 1


def test_a_broker_that_tells_no_length_is_asked_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for queue in QUEUES:
        seed_batch(database, queue=queue)
        with database.write() as session:
            assert feed(session, queue)
    asked: list[str] = []
    monkeypatch.setattr("jobs.feed.LOST_AFTER", timedelta(seconds=-1))
    monkeypatch.setattr("jobs.feed.queue_length", lambda _celery, queue: asked.append(queue))
    Feeder(database, Celery()).publish_lost()
    assert len(asked) == 1


@pytest.mark.parametrize("likeness", ["my_llm", "my%", "_______"])
def test_a_worker_counts_for_no_queue_whose_name_is_only_like_its_own(
    database: Database, likeness: str
) -> None:
    with database.write() as session:
        beat(session, WorkerCard("w", "host", 1, ("my-llm", "b_c"), 1), 0)
    with database.read() as session:
        assert live_workers(session, likeness) == 0
        assert live_workers(session, "my-llm") == live_workers(session, "b_c") == 1
