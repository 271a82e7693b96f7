"""An API that is killed while a batch of messages is sent to it leaves nothing that anybody sees."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import func, select

from jobs.queues import make_celery
from jobs.store import Database
from jobs.tables import Batch, IdempotencyKey, Job, MessageBatch
from tests.support.anthropic_surface import PATH, body_of, request
from tests.support.eventually import eventually
from tests.support.rows import migrated
from tests.support.system import SMALL, System, running_system
from workers.clock import sweep

REQUESTS = 12_000
SENT_BYTES = 6 << 20
"""Of the body, before it waits for the kill: some chunks of it are stored then."""

TABLES: tuple[Any, ...] = (Batch, Job, IdempotencyKey, MessageBatch)


def rows_of(database: Database) -> dict[str, int]:
    with database.read() as session:
        return {
            table.__name__: session.exec(select(func.count()).select_from(table)).one()
            for table in TABLES
        }


def send(system: System, content: Any, **headers: str) -> httpx.Response:
    headers = {"content-type": "application/json", **headers}
    return system.http.post(PATH, content=content, headers=headers)


def whole() -> bytes:
    """All of the body: 8 MB."""
    turns = [{"role": "user", "content": "x" * 600}]
    return body_of(
        *(request(f"r{number}", model=SMALL, messages=turns) for number in range(REQUESTS))
    )


def kill_in_the_middle(system: System, database: Database, body: bytes) -> None:
    """Send a part of the body and kill the API while it waits for the rest."""
    killed = threading.Event()
    failures: list[Exception] = []

    def half() -> Iterator[bytes]:
        for start in range(0, SENT_BYTES, 1 << 16):
            yield body[start : start + (1 << 16)]
        killed.wait(60)

    def try_it() -> None:
        try:
            send(system, half())
        except httpx.TransportError as error:
            failures.append(error)

    api = system.start_api()
    sender = threading.Thread(target=try_it)
    sender.start()
    eventually(lambda: rows_of(database)["Job"] > 0, 60, "some are stored")
    api.kill()
    api.wait_ended()
    killed.set()
    sender.join()
    assert len(failures) == 1


@pytest.mark.timeout(120)
def test_a_create_whose_api_is_killed_leaves_nothing_and_makes_one_batch_when_it_is_repeated(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = whole()
    with (
        running_system(
            tmp_path / "own", "http://127.0.0.1:9", TIDEMILL_DATABASE_URL=database_url
        ) as system,
        migrated(database_url) as database,
    ):
        kill_in_the_middle(system, database, body)
        assert rows_of(database)["MessageBatch"] == 0
        system.start_api()
        assert system.http.get(PATH).json()["data"] == []
        assert system.http.get("/api/batches").json()["data"] == []

        repeated = {"x-stainless-retry-count": "1"}
        made = [send(system, body, **repeated).raise_for_status().json() for _ in range(2)]
        assert made[0] == made[1]
        assert made[0]["request_counts"]["processing"] == REQUESTS
        monkeypatch.setattr(sweep, "SILENT_UPLOAD", timedelta(0))
        sweep.Sweep(database, make_celery(system.settings)).drop_abandoned_uploads()
        rows = {"Batch": 1, "Job": REQUESTS, "IdempotencyKey": 1, "MessageBatch": 1}
        assert rows_of(database) == rows
