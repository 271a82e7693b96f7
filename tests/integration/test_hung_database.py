"""A database that hangs, is gone, locked or crowded: every route says so in time, and then works again."""

import asyncio
import re
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NoReturn

import httpx
import orjson
import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from api.access.known_keys import KnownKeys
from api.services import PATIENCE_S
from jobs import ingest
from jobs.configuration import Configuration
from jobs.errors import ServiceUnavailable
from jobs.states import BatchState
from jobs.store import Database, Session, open_database
from jobs.store.engine import schema
from jobs.store.engine.postgres import CONNECT_TIMEOUT_S
from tests.support.eventually import eventually_async
from tests.support.own_postgres import OwnPostgres
from tests.support.postgres import fresh_database
from tests.support.rows import seed_batch

IN_TIME_S = PATIENCE_S + 2.0
"""Patience, and what a machine with other things to do adds."""

BACK_WITHIN_S = 10.0

UPLOAD_IN_TIME_S = 10.0

LINE = {"model": "sim/small", "prompt": "Hello", "max_tokens": 5}


@pytest.fixture
def patience_s() -> float:
    """What the API has by itself: these tests are of it."""
    return PATIENCE_S


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """On the server of our own, unless the test says that it is about SQLite."""
    if getattr(request, "param", "") == "sqlite":
        yield f"sqlite:///{tmp_path / 'tidemill.db'}"
        return
    server: OwnPostgres = request.getfixturevalue("own_postgres")
    with fresh_database(server.url) as url:
        yield url
        server.thaw()


@pytest.fixture
def configuration() -> Configuration:
    """With a provider, so that work is accepted."""
    provider = {"protocol": "openai", "base_url": "http://127.0.0.1:9/v1"}
    return Configuration.model_validate({"providers": {"sim": provider}})


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def operations(app: FastAPI) -> list[tuple[str, str]]:
    """Every route that needs the database; the front page and its like do not."""
    return [
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if path == "/readyz" or (path.startswith("/api/") and path != "/api/pools")
    ]


async def ask(client: httpx.AsyncClient, method: str, path: str, ref: str) -> httpx.Response:
    body: dict[str, Any] = {}
    if (method, path) == ("POST", "/api/batches"):
        body = {"content": orjson.dumps({"custom_id": "a", **LINE})}
    elif (method, path) == ("POST", "/api/webhooks"):
        body = {"json": {"url": "https://example.org/told"}}
    elif path.endswith("/backfill"):
        body = {"json": {"first": "2026-01-01", "last": "2026-01-02"}}
    elif path == "/api/budget" and method == "PATCH":
        body = {"json": {"daily_usd": "5"}}
    elif method == "PATCH":
        body = {"json": {"max_cost_usd": "5"}}
    return await client.request(method, path.replace("{batch_id}", ref), **body)


async def ask_all(
    client: httpx.AsyncClient, app: FastAPI, ref: str, *, listens: bool = True
) -> dict[str, httpx.Response]:
    """Ask every route at the same moment, so that each waits by itself; return the answers in time.

    Who `listens` to a batch that is well has an answer without an end.
    """
    asked = [each for each in operations(app) if listens or not each[1].endswith("/events")]
    async with asyncio.timeout(IN_TIME_S):
        replies = await asyncio.gather(*(ask(client, *each, ref) for each in asked))
    return {" ".join(each): reply for each, reply in zip(asked, replies, strict=True)}


def is_told(reply: httpx.Response) -> bool:
    if reply.status_code != 503:
        return False
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == "service_unavailable"
    assert int(reply.headers["retry-after"]) > 0
    return True


async def works_again(client: httpx.AsyncClient, app: FastAPI, ref: str) -> None:
    """Return once nothing is left of the trouble: all routes answer, no connection is still in use."""

    async def is_ready() -> bool:
        return (await client.get("/readyz")).status_code == 200

    await eventually_async(is_ready, BACK_WITHIN_S, "the API is ready")
    replies = await ask_all(client, app, ref, listens=False)
    assert not {name: reply.text for name, reply in replies.items() if reply.status_code >= 500}
    pool = app.state.services.database.engine.pool

    async def is_free() -> bool:
        return int(pool.checkedout()) == 0

    await eventually_async(is_free, BACK_WITHIN_S, "no connection is in use")


async def test_every_route_tells_in_time_that_the_database_hangs(
    client: httpx.AsyncClient, app: FastAPI, database: Database, own_postgres: OwnPostgres
) -> None:
    ref = seed_batch(database)
    await works_again(client, app, ref)
    own_postgres.freeze()
    replies = await ask_all(client, app, ref)
    assert not {name for name, reply in replies.items() if not is_told(reply)}
    assert (await client.get("/healthz")).status_code == 200
    own_postgres.thaw()
    await works_again(client, app, ref)


async def test_a_key_that_is_not_known_yet_is_told_as_well(
    client: httpx.AsyncClient, app: FastAPI, database: Database, own_postgres: OwnPostgres
) -> None:
    ref = seed_batch(database)
    await works_again(client, app, ref)
    app.state.known_keys = KnownKeys()
    own_postgres.freeze()
    replies = await ask_all(client, app, ref)
    assert not {name for name, reply in replies.items() if not is_told(reply)}
    own_postgres.thaw()
    await works_again(client, app, ref)


async def test_a_hundred_requests_wait_no_longer_than_one(
    client: httpx.AsyncClient, app: FastAPI, database: Database, own_postgres: OwnPostgres
) -> None:
    ref = seed_batch(database)
    await works_again(client, app, ref)
    own_postgres.freeze()
    async with asyncio.timeout(IN_TIME_S):
        replies = await asyncio.gather(*(client.get(f"/api/batches/{ref}") for _ in range(100)))
    assert all(map(is_told, replies))
    own_postgres.thaw()
    await works_again(client, app, ref)


async def test_a_database_that_is_gone_is_told_and_used_again_when_it_is_back(
    client: httpx.AsyncClient, app: FastAPI, database: Database, own_postgres: OwnPostgres
) -> None:
    ref = seed_batch(database)
    await works_again(client, app, ref)
    own_postgres.stop()
    try:
        replies = await ask_all(client, app, ref)
    finally:
        own_postgres.start()
    assert not {name for name, reply in replies.items() if not is_told(reply)}
    await works_again(client, app, ref)


async def test_a_table_that_somebody_has_locked_is_not_waited_for(
    client: httpx.AsyncClient, app: FastAPI, database: Database
) -> None:
    ref = seed_batch(database)
    await works_again(client, app, ref)
    with database.engine.connect() as other:
        other.execute(text("LOCK TABLE batch"))
        replies = await ask_all(client, app, ref)
        other.rollback()
    about_batches = {name: reply for name, reply in replies.items() if "/batches" in name}
    assert not {name for name, reply in about_batches.items() if not is_told(reply)}
    assert replies["GET /readyz"].is_success  # it reads another table
    await works_again(client, app, ref)


async def test_a_server_without_a_free_connection_is_told_of(
    client: httpx.AsyncClient, app: FastAPI, database: Database, own_postgres: OwnPostgres
) -> None:
    ref = seed_batch(database)
    # The threads that look for files to be read have connections that a request could use.
    await asyncio.to_thread(app.state.readers.stop)
    app.state.services.database.engine.dispose()
    with ExitStack() as held:
        with suppress(psycopg.OperationalError):
            while True:
                held.enter_context(psycopg.connect(own_postgres.url))
        replies = await ask_all(client, app, ref)
        assert not {name for name, reply in replies.items() if not is_told(reply)}
    await works_again(client, app, ref)


async def test_connections_that_are_all_in_use_are_waited_for_no_longer(
    client: httpx.AsyncClient, app: FastAPI, database: Database
) -> None:
    ref = seed_batch(database)
    engine = app.state.services.database.engine
    with ExitStack() as held:
        for _ in range(engine.pool.size() * 2):
            held.enter_context(engine.connect())
        replies = await ask_all(client, app, ref)
        assert not {name for name, reply in replies.items() if not is_told(reply)}
    await works_again(client, app, ref)


def lines(count: int) -> bytes:
    return b"".join(
        orjson.dumps({"custom_id": f"job-{number}", **LINE}) + b"\n" for number in range(count)
    )


async def pieces(body: bytes, meanwhile: Callable[[], object]) -> AsyncIterator[bytes]:
    """Send most of a body, do something, send the rest."""
    cut = len(body) * 3 // 4
    yield body[:cut]
    await asyncio.sleep(0.5)  # the first chunks are stored
    meanwhile()
    yield body[cut:]


async def test_an_upload_in_which_the_database_hangs_leaves_nothing_accepted(
    client: httpx.AsyncClient,
    own_postgres: OwnPostgres,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ingest, "STORING_S", PATIENCE_S)
    body = lines(30_000)
    headers = {"idempotency-key": "tonight"}
    async with asyncio.timeout(UPLOAD_IN_TIME_S):
        reply = await client.post(
            "/api/batches", content=pieces(body, own_postgres.freeze), headers=headers
        )
    assert is_told(reply)
    own_postgres.thaw()

    async def is_accepted() -> bool:
        again = await client.post("/api/batches", content=body, headers=headers)
        assert again.status_code in {202, 409, 503}, again.text
        return again.status_code == 202

    await eventually_async(is_accepted, 30.0, "the same upload is accepted")
    shown = (await client.get("/api/batches")).json()["data"]
    assert [batch["counts"]["total"] for batch in shown] == [30_000]


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
async def test_an_upload_may_take_longer_than_anybody_waits_for_the_database(
    client: httpx.AsyncClient,
) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        began_s = time.monotonic()
        for line in lines(10).splitlines(keepends=True):
            yield line
            await asyncio.sleep(1.5 * PATIENCE_S / 10)
        assert time.monotonic() - began_s > PATIENCE_S

    reply = await client.post("/api/batches", content=slowly())
    assert reply.status_code == 202, reply.text


@on_sqlite
async def test_a_file_that_another_process_has_locked_can_be_read_and_its_writers_are_told(
    client: httpx.AsyncClient, app: FastAPI, database: Database
) -> None:
    ref = seed_batch(database)
    assert database.engine.url.database is not None
    other = sqlite3.connect(database.engine.url.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    replies = await ask_all(client, app, ref, listens=False)
    told = {name for name, reply in replies.items() if is_told(reply)}
    assert told == {
        "POST /api/batches",
        "PATCH /api/batches/{batch_id}",
        "POST /api/batches/{batch_id}/pause",
        "POST /api/batches/{batch_id}/resume",
        "POST /api/batches/{batch_id}/cancel",
        "PATCH /api/budget",
        "POST /api/webhooks",
        "DELETE /api/webhooks/{webhook_id}",
        "POST /api/pipelines/{pipeline}/backfill",
        "POST /api/pipelines/{pipeline}/runs",
        "POST /api/runs/{run_id}/cancel",
        "POST /api/runs/{run_id}/retry",
    }
    retried = replies.pop("POST /api/batches/{batch_id}/retry")
    assert retried.json()["code"] == "illegal_transition"  # the batch is under way
    others = {name: reply for name, reply in replies.items() if name not in told}
    unknown = {name for name, reply in others.items() if reply.status_code == 404}
    assert all(re.search(r"{(run_id|pipeline)}", name) for name in unknown)  # there are none
    assert all(reply.is_success for name, reply in others.items() if name not in unknown), replies
    other.execute("ROLLBACK")
    other.close()

    async def can_be_written() -> bool:
        return (await client.post(f"/api/batches/{ref}/pause")).is_success

    await eventually_async(can_be_written, BACK_WITHIN_S, "the file can be written")
    with database.read() as session:
        assert session.execute(text("SELECT state FROM batch")).scalars().all() == [
            BatchState.PAUSED
        ]


def test_what_takes_long_is_cut_off_by_the_server_unless_there_is_patience(
    database_url: str,
) -> None:
    impatient = open_database(database_url, patience_s=1.0)
    with pytest.raises(ServiceUnavailable, match="statement timeout"), impatient.read() as session:
        session.execute(text("SELECT pg_sleep(5)"))
    with impatient.with_patience(20.0).read() as session:
        session.execute(text("SELECT pg_sleep(3.5)"))  # it is looked three times
    assert impatient.engine.pool.checkedin() == 1  # type: ignore[attr-defined]  # it is a QueuePool
    impatient.close()


def test_a_server_that_falls_silent_within_a_statement_is_given_up(
    database_url: str, own_postgres: OwnPostgres
) -> None:
    impatient = open_database(database_url, patience_s=4.0)
    freezing = threading.Timer(0.2, own_postgres.freeze)

    def sleep_long() -> None:
        with impatient.read() as session:
            freezing.start()
            session.execute(text("SELECT pg_sleep(60)"))

    with pytest.raises(ServiceUnavailable, match="does not answer"):
        sleep_long()
    freezing.join()
    own_postgres.thaw()
    with impatient.with_patience(BACK_WITHIN_S, insists=True).read() as session:
        assert session.execute(text("SELECT 1")).scalar_one() == 1
    impatient.close()


def test_who_may_take_long_is_told_soon_that_the_server_answers_nobody(
    database_url: str, own_postgres: OwnPostgres
) -> None:
    impatient = open_database(database_url, patience_s=1.0)
    freezing = threading.Timer(0.2, own_postgres.freeze)

    def count_long() -> None:
        with impatient.with_patience(120.0).read() as session:
            freezing.start()
            session.execute(text("SELECT pg_sleep(60)"))

    began_s = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        count_long()
    assert time.monotonic() - began_s < IN_TIME_S
    freezing.join()
    with pytest.raises(ServiceUnavailable, match="waited for in vain"), impatient.read():
        pass
    own_postgres.thaw()
    impatient.close()


def test_a_server_without_a_free_connection_is_there_for_who_waits(
    database_url: str, own_postgres: OwnPostgres
) -> None:
    impatient = open_database(database_url, patience_s=1.0)
    with ExitStack() as held, impatient.with_patience(20.0).read() as session:
        with suppress(psycopg.OperationalError):
            while True:
                held.enter_context(psycopg.connect(own_postgres.url))
        assert session.execute(text("SELECT 1 FROM pg_sleep(2.5)")).scalar_one() == 1
    impatient.close()


COUNTING = {
    "/attempts": "api.routes.attempts.attempt_page",
    "/reconciliation": "api.routes.reconciliation.balance",
}


@pytest.mark.parametrize("route", COUNTING)
async def test_a_count_in_which_the_database_hangs_is_told_in_time(
    client: httpx.AsyncClient,
    app: FastAPI,
    database: Database,
    own_postgres: OwnPostgres,
    monkeypatch: pytest.MonkeyPatch,
    route: str,
) -> None:
    ref = seed_batch(database)
    await works_again(client, app, ref)

    def count(session: Session, *_: object, **__: object) -> NoReturn:
        threading.Timer(0.2, own_postgres.freeze).start()
        session.execute(text("SELECT pg_sleep(60)"))
        raise AssertionError("it came back")

    with monkeypatch.context() as patched:
        patched.setattr(COUNTING[route], count)
        async with asyncio.timeout(PATIENCE_S + IN_TIME_S):
            reply = await client.get(f"/api/batches/{ref}{route}")
    assert is_told(reply)
    own_postgres.thaw()
    await works_again(client, app, ref)


@pytest.mark.parametrize("within", ["connect", "statement"])
def test_an_upgrade_of_a_database_that_hangs_is_given_up(
    database_url: str, own_postgres: OwnPostgres, monkeypatch: pytest.MonkeyPatch, within: str
) -> None:
    monkeypatch.setattr(schema, "LOOK_EVERY_S", 1.0)
    database = open_database(database_url, connections=1)
    if within == "connect":
        own_postgres.freeze()
    else:
        monkeypatch.setattr(schema, "_is_current", lambda _connection: own_postgres.freeze())
    began_s = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="can't be used now"):
        schema.migrate(database)
    assert time.monotonic() - began_s < CONNECT_TIMEOUT_S + IN_TIME_S
    own_postgres.thaw()
    database.close()
