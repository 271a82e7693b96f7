"""A full disk: submissions are refused whole, jobs that run wait for room and go on by themselves."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import httpx
import orjson
import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import event

from jobs.configuration import Configuration
from jobs.errors import StorageFull
from jobs.store import Database
from tests.support.eventually import eventually_async
from tests.support.own_postgres import OwnPostgres
from tests.support.postgres import fresh_database
from tests.support.rows import migrated
from tests.support.small_disk import enlarge, filled, small_disk
from tests.support.workshop import line, workshop

MOST_PAGES = 200
"""Of 16 KiB: some 1,500 jobs, after the empty tables."""

PROVIDER = {"protocol": "openai", "base_url": "http://127.0.0.1:9/v1"}


NewDisk = Callable[..., Path]


@pytest.fixture
def new_disk(missing: Callable[[str], NoReturn]) -> Iterator[NewDisk]:
    """Make an empty disk of so many megabytes, for a user: see `small_disk`."""
    with ExitStack() as disks:

        def make(size_mb: int, owner: int = 0) -> Path:
            disk = disks.enter_context(small_disk(size_mb, owner))
            return disk or missing("no file system may be mounted here; root may")

        yield make


@pytest.fixture
def disk(new_disk: NewDisk) -> Path:
    """A disk of 160 MB, of which uploads leave 40 MB to jobs that run."""
    return new_disk(160)


@pytest.fixture
def server_disk(new_disk: NewDisk, own_postgres: OwnPostgres) -> Path:
    """A disk of 24 MB for a server's tables."""
    return new_disk(24, own_postgres.owner)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database without limits, with little room in its file, on a small disk, or on a server."""
    match getattr(request, "param", ""):
        case "disk":
            yield f"sqlite:///{request.getfixturevalue('disk') / 'tidemill.db'}"
        case "server":
            disk = request.getfixturevalue("server_disk")
            yield from full_soon(request.getfixturevalue("own_postgres"), disk)
        case _:
            yield f"sqlite:///{tmp_path / 'tidemill.db'}"


def full_soon(server: OwnPostgres, disk: Path) -> Iterator[str]:
    """Yield the address of a database whose tables are on a small disk; the server's log is not."""
    with psycopg.connect(server.url, autocommit=True) as administrator:
        administrator.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
        with fresh_database(server.url) as url:
            name = url.rpartition("/")[2]
            administrator.execute(f"ALTER DATABASE {name} SET default_tablespace = small")
            yield url
        administrator.execute("DROP TABLESPACE small")


@pytest.fixture
def configuration() -> Configuration:
    return Configuration.model_validate({"providers": {"sim": PROVIDER}})


def lines(count: int) -> bytes:
    job = {"model": "sim/small", "prompt": "x" * 1000, "max_tokens": 5}
    return b"".join(
        orjson.dumps({"custom_id": f"job-{number}", **job}) + b"\n" for number in range(count)
    )


async def submit(client: httpx.AsyncClient, jobs: int) -> httpx.Response:
    return await client.post("/api/batches", content=lines(jobs))


def is_told(reply: httpx.Response) -> bool:
    if reply.status_code != 507:
        return False
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == "storage_full"
    assert int(reply.headers["retry-after"]) > 0
    return True


async def batches(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = (await client.get("/api/batches")).json()["data"]
    return data


def rows_left(database: Database) -> int:
    """How much is left of uploads that nobody sees."""
    with database.read() as session:
        counted = "SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM batch)"
        left: int = session.connection().exec_driver_sql(counted).scalar_one()
    return left


async def test_a_file_that_can_grow_no_more_refuses_an_upload_whole(
    client: httpx.AsyncClient, app: FastAPI, database: Database
) -> None:
    def limit(connection: sqlite3.Connection, _entry: object) -> None:
        connection.execute(f"PRAGMA max_page_count={MOST_PAGES}")

    engine = app.state.services.database.engine
    event.listen(engine, "connect", limit)
    engine.dispose()  # those that are open already know no limit
    assert is_told(await submit(client, 10_000))
    assert await batches(client) == []
    assert rows_left(database) == 0
    assert (await submit(client, 10)).status_code == 202
    event.remove(engine, "connect", limit)
    engine.dispose()
    assert (await submit(client, 10_000)).status_code == 202


@pytest.mark.parametrize("database_url", ["disk"], indirect=True)
async def test_uploads_leave_room_on_the_disk_and_what_they_took_is_free_again(
    client: httpx.AsyncClient, disk: Path
) -> None:
    assert is_told(await submit(client, 150_000))
    assert await batches(client) == []
    assert (await submit(client, 1_000)).status_code == 202
    with filled(disk):
        refused = await submit(client, 100_000)
    assert is_told(refused)
    assert (await submit(client, 1_000)).status_code == 202
    assert [batch["counts"]["total"] for batch in await batches(client)] == [1_000, 1_000]


@pytest.mark.parametrize("database_url", ["server"], indirect=True)
async def test_a_server_without_room_refuses_an_upload_whole(
    client: httpx.AsyncClient, database: Database, server_disk: Path
) -> None:
    assert is_told(await submit(client, 30_000))
    assert await batches(client) == []
    assert rows_left(database) == 0
    enlarge(server_disk, 96)
    assert (await submit(client, 30_000)).status_code == 202


async def test_a_job_whose_answer_finds_no_room_waits_and_is_paid_for_once(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with workshop(disk) as shop:
        ref = shop.submit([line(str(number)) for number in range(20)])
        _, run = shop.open(ref)
        with filled(disk):
            running = asyncio.create_task(run.run())

            async def has_failed() -> bool:
                return "disk is full" in caplog.text

            await eventually_async(has_failed, what="nothing can be written")
            assert not running.done()
        await running
        assert [result.status for result in shop.results()] == ["succeeded"] * 20
        assert len(shop.provider.seen) == 20


def test_a_log_that_fills_the_disk_is_folded_into_its_file(new_disk: NewDisk) -> None:
    disk = new_disk(16)
    with migrated(f"sqlite:///{disk / 'tidemill.db'}") as database:
        event.listen(database.engine, "connect", never_fold_by_itself)
        database.engine.dispose()
        execute(database, "CREATE TABLE note (word TEXT)")
        execute(database, "INSERT INTO note VALUES ('')")
        for _ in range(3):
            change_note(database)
        with sqlite3.connect(disk / "tidemill.db") as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        # The same rows over and over: the file stays as it is, its log takes the whole disk.
        while (disk / "tidemill.db-wal").stat().st_size < 13 << 20:
            change_note(database)
        with filled(disk):
            with pytest.raises(StorageFull):
                change_note(database)
            change_note(database)


def never_fold_by_itself(connection: sqlite3.Connection, _entry: object) -> None:
    connection.execute("PRAGMA wal_autocheckpoint=0")


def change_note(database: Database) -> None:
    execute(database, "UPDATE note SET word = hex(randomblob(100000))")


def execute(database: Database, statement: str) -> None:
    with database.write() as session:
        session.connection().exec_driver_sql(statement)


def test_on_a_small_disk_the_log_stays_small(new_disk: NewDisk) -> None:
    disk = new_disk(16)
    with migrated(f"sqlite:///{disk / 'tidemill.db'}") as database:
        execute(database, "CREATE TABLE note (word TEXT)")
        execute(database, "INSERT INTO note VALUES ('')")
        for _ in range(100):
            change_note(database)
