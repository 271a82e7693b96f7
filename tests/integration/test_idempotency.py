"""One batch for each idempotency key, on both databases: sent twice, at once, and after every death."""

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import update
from sqlmodel import SQLModel, col, func, select

from api.app import create_app
from api.intake import idempotency as signs
from api.routes import submissions as routes
from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.errors import IllegalTransition, RequestInProgress
from jobs.ingest import Intake
from jobs.lines import LineReader
from jobs.queues import make_celery
from jobs.routing import Catalogue
from jobs.settings import Settings
from jobs.store import Database, now
from jobs.store.batches import batches, uploads
from jobs.store.batches.idempotency import CLAIM, Claim
from jobs.store.batches.uploads import BatchDraft
from jobs.store.projects import create_key, ensure_project
from jobs.tables import Batch, IdempotencyKey, Job, Slice
from tests.support.eventually import eventually_async
from tests.support.system import Json, lines, ndjson
from workers.clock.sweep import Sweep

KEY = "the night's batch"
BODY = ndjson(lines(30))
SIM = Configuration.model_validate(
    {
        "providers": {
            "sim": {
                "protocol": "openai",
                "base_url": "http://127.0.0.1:9/v1",
                "models": ["sim-*"],
            }
        }
    }
)


@pytest.fixture
def app(database: Database, tmp_path: Path) -> FastAPI:
    """The API with a provider to submit for."""
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings(
        home=tmp_path, database_url=url, broker_url="redis://127.0.0.1:9", slice_size=10
    )
    return create_app(settings, SIM)


def api_key(database: Database, project: str) -> str:
    with database.write() as session:
        return create_key(session, ensure_project(session, project))


async def post(
    client: httpx.AsyncClient,
    body: bytes | AsyncIterator[bytes] = BODY,
    key: str = KEY,
    **query: str,
) -> httpx.Response:
    headers = {"idempotency-key": key}
    return await client.post("/api/batches", content=body, params=query, headers=headers)


def rows(database: Database) -> dict[str, int]:
    tables: list[type[SQLModel]] = [Batch, Job, Slice, IdempotencyKey]
    with database.read() as session:
        return {
            table.__name__: session.exec(select(func.count()).select_from(table)).one()
            for table in tables
        }


ONE = {"Batch": 1, "Job": 30, "Slice": 3, "IdempotencyKey": 1}


def intake_of(database: Database, key: str = KEY) -> Intake:
    """Begin an upload under a key, as an API process does that may be killed at any moment."""
    with database.write() as session:
        project_id = ensure_project(session, "default")
    defaults = JobDefaults.from_query({})
    return Intake(
        database,
        BatchDraft(project_id, defaults.to_json()),
        LineReader(defaults, Catalogue(SIM)),
        slice_size=10,
        max_jobs=1000,
        claim=Claim.of(project_id, key),
    )


def silence(database: Database, silent: timedelta = CLAIM + timedelta(seconds=1)) -> None:
    """Let every upload have given its last sign of life so long ago."""
    with database.write() as session:
        session.connection().execute(update(Batch).values(touched_at=now(session) - silent))


def silent_for(database: Database) -> timedelta:
    """How long ago the one upload gave a sign of life."""
    with database.read() as session:
        return now(session) - session.exec(select(Batch.touched_at)).one()


class Sender:
    """A body of which the first part has been sent, and the rest is when the test says so."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.breaks_off = False

    async def body(self) -> AsyncIterator[bytes]:
        yield BODY[:100]
        await self.go_on.wait()
        if self.breaks_off:
            raise httpx.ReadError("the sender is gone")
        yield BODY[100:]


async def under_way(
    database: Database, client: httpx.AsyncClient
) -> tuple[Sender, asyncio.Task[httpx.Response]]:
    """Send the first part of an upload."""
    sender = Sender()
    task = asyncio.create_task(post(client, sender.body()))

    async def claimed() -> bool:
        return rows(database)["IdempotencyKey"] == 1

    await eventually_async(claimed, what="the key is claimed")
    return sender, task


def code(reply: httpx.Response) -> tuple[int, str]:
    problem: Json = reply.json()
    return reply.status_code, problem["code"]


async def test_the_same_request_again_gets_the_same_batch_and_stores_nothing(
    database: Database, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await post(client, name="night", model="sim-small")
    assert first.status_code == 202, first.text
    assert "idempotent-replayed" not in first.headers
    assert rows(database) == ONE
    monkeypatch.setattr(routes, "Intake", None)  # a replay is not read as jobs
    again = await post(client, model="sim-small", name="night")
    assert again.status_code == 202, again.text
    assert again.headers["idempotent-replayed"] == "true"
    # Meanwhile the broker, which isn't there, may have been found so.
    shown = [{**reply.json(), "waiting_for": None} for reply in (first, again)]
    assert shown[0] == shown[1]
    assert rows(database) == ONE


@pytest.mark.parametrize(
    ("body", "query"),
    [(BODY + b"\n", {}), (BODY[:-1], {}), (BODY, {"name": "day"}), (b"", {}), (b"no job", {})],
)
async def test_another_request_under_a_used_key_is_refused(
    database: Database, client: httpx.AsyncClient, body: bytes, query: dict[str, str]
) -> None:
    first = await post(client)
    refused = await post(client, body, **query)
    assert code(refused) == (422, "idempotency_key_reused")
    assert first.json()["id"] in refused.json()["detail"]
    assert rows(database) == ONE


async def test_a_packed_body_is_the_same_as_long_as_its_bytes_are(
    database: Database, client: httpx.AsyncClient
) -> None:
    headers = {"idempotency-key": KEY, "content-encoding": "gzip"}
    packed = gzip.compress(BODY, mtime=0)
    ids = set()
    for _ in range(2):
        reply = await client.post("/api/batches", content=packed, headers=headers)
        assert reply.status_code == 202, reply.text
        ids.add(reply.json()["id"])
    assert len(ids) == 1
    assert code(await post(client)) == (422, "idempotency_key_reused")
    assert rows(database) == ONE


async def test_requests_without_a_key_are_as_many_batches(
    database: Database, client: httpx.AsyncClient
) -> None:
    for _ in range(2):
        reply = await client.post("/api/batches", content=BODY)
        assert reply.status_code == 202
    assert rows(database) == {"Batch": 2, "Job": 60, "Slice": 6, "IdempotencyKey": 0}


async def test_a_key_is_its_projects(database: Database, client: httpx.AsyncClient) -> None:
    mine = await post(client)
    theirs = await client.post(
        "/api/batches",
        content=BODY,
        headers={"idempotency-key": KEY, "x-api-key": api_key(database, "other")},
    )
    assert theirs.status_code == 202
    assert theirs.json()["id"] != mine.json()["id"]


@pytest.mark.parametrize("key", [b"", b"k" * 256, "ключ".encode(), b"a\tb", b"caf\xe9"])
async def test_a_key_that_is_none_is_refused(
    database: Database, client: httpx.AsyncClient, key: bytes
) -> None:
    headers = [(b"idempotency-key", key)]
    reply = await client.post("/api/batches", content=BODY, headers=headers)
    assert code(reply) == (400, "invalid_parameter")
    assert "1 to 255 printable ASCII characters" in reply.json()["detail"]
    assert rows(database)["Batch"] == 0


@pytest.mark.parametrize("key", ["k", "k" * 255, ' !"#~ a-key_'])
async def test_a_key_may_be_any_printable_text(client: httpx.AsyncClient, key: str) -> None:
    replies = [await post(client, key=key) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [202, 202]
    assert replies[0].json()["id"] == replies[1].json()["id"]


async def test_while_the_first_request_is_in_progress_the_second_is_told_so(
    database: Database, client: httpx.AsyncClient
) -> None:
    sender, first = await under_way(database, client)
    second = await post(client)
    assert code(second) == (409, "request_in_progress")
    assert int(second.headers["retry-after"]) > 0
    assert rows(database)["Batch"] == 1
    sender.go_on.set()
    assert (await first).status_code == 202
    third = await post(client)
    assert third.json()["id"] == (await first).json()["id"]
    assert rows(database) == ONE


async def test_a_rejected_submission_may_be_corrected_under_its_key(
    database: Database, client: httpx.AsyncClient
) -> None:
    rejected = await post(client, BODY + b"no job\n")
    assert code(rejected) == (400, "invalid_jobs")
    assert set(rows(database).values()) == {0}
    assert (await post(client)).status_code == 202
    assert rows(database) == ONE


async def test_an_upload_that_broke_off_may_be_sent_again_at_once(
    database: Database, client: httpx.AsyncClient
) -> None:
    sender, first = await under_way(database, client)
    sender.breaks_off = True
    sender.go_on.set()
    with pytest.raises(httpx.ReadError):
        await first
    assert (await post(client)).status_code == 202
    assert rows(database) == ONE


async def test_the_key_of_a_killed_process_is_free_when_its_claim_has_run_out(
    database: Database, client: httpx.AsyncClient
) -> None:
    dead = intake_of(database)
    dead.take(BODY)
    silence(database, CLAIM - timedelta(seconds=5))
    assert code(await post(client)) == (409, "request_in_progress")
    silence(database)
    accepted = await post(client)
    assert accepted.status_code == 202
    assert "idempotent-replayed" not in accepted.headers
    # It was not dead after all: too late, it leaves the other's batch alone.
    with pytest.raises(IllegalTransition, match="no sign of life"):
        dead.accept()
    assert rows(database)["Batch"] == 2
    Sweep(database, make_celery(Settings())).drop_abandoned_uploads()
    assert rows(database) == ONE
    assert (await post(client)).json()["id"] == accepted.json()["id"]


async def test_a_key_is_free_when_the_sweep_has_deleted_its_dead_upload(
    database: Database, client: httpx.AsyncClient
) -> None:
    intake_of(database).take(BODY)
    silence(database, timedelta(hours=1))
    Sweep(database, make_celery(Settings())).drop_abandoned_uploads()
    assert set(rows(database).values()) == {0}
    assert (await post(client)).status_code == 202


@pytest.mark.parametrize("was_told_of_a_failure", [False, True])
async def test_an_answer_that_was_lost_after_the_commit_is_given_again(
    database: Database,
    client: httpx.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    was_told_of_a_failure: bool,
) -> None:
    accept = Intake.accept

    def die(*_: object) -> None:
        raise ConnectionError("the process is gone")

    def accept_and_fail(self: Intake, request_digest: bytes, **more: Any) -> None:
        accept(self, request_digest, **more)
        die()

    if was_told_of_a_failure:
        monkeypatch.setattr(Intake, "accept", accept_and_fail)
    else:
        monkeypatch.setattr(routes, "get_batch", die)
    with pytest.raises(ConnectionError):
        await post(client)
    monkeypatch.undo()
    again = await post(client)
    assert again.status_code == 202
    assert again.headers["idempotent-replayed"] == "true"
    assert rows(database) == ONE


async def test_of_twenty_at_once_one_is_accepted_and_the_others_are_told(
    database: Database, client: httpx.AsyncClient
) -> None:
    replies = await asyncio.gather(*(post(client) for _ in range(20)))
    accepted = [reply for reply in replies if reply.status_code == 202]
    assert len({reply.json()["id"] for reply in accepted}) == 1
    assert len([r for r in accepted if "idempotent-replayed" not in r.headers]) == 1
    others = [code(reply) for reply in replies if reply.status_code != 202]
    assert set(others) <= {(409, "request_in_progress")}
    assert rows(database) == ONE


@pytest.mark.parametrize("held_by_a_dead_one", [False, True])
def test_of_those_who_want_a_key_at_the_same_moment_one_gets_it(
    database: Database,
    held_by_a_dead_one: bool,
) -> None:
    """A lock holds them all at the moment before they decide."""
    if held_by_a_dead_one:
        intake_of(database).take(BODY)
        silence(database)
    with database.write() as session:
        ensure_project(session, "default")
    outcomes: list[Intake | Exception] = []

    def begin() -> None:
        try:
            outcomes.append(intake_of(database))
        except Exception as error:  # noqa: BLE001  (the test looks at them)
            outcomes.append(error)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    with database.write() as session:
        if held_by_a_dead_one:
            batches.lock(session, 1)
        elif not database.is_sqlite:
            session.connection().exec_driver_sql("LOCK TABLE idempotency_key IN EXCLUSIVE MODE")
        for thread in threads:
            thread.start()
        threads[-1].join(0.5)
        assert not outcomes
    for thread in threads:
        thread.join()
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Intake)]
    losers = [outcome for outcome in outcomes if outcome is not winner]
    assert [type(loser) for loser in losers] == [RequestInProgress] * 7
    winner.take(BODY)
    winner.accept()
    Sweep(database, make_celery(Settings())).drop_abandoned_uploads()
    assert rows(database) == ONE


async def test_a_slow_senders_upload_gives_signs_of_life(
    database: Database, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "SIGN_EVERY_S", 0.02)
    sender, first = await under_way(database, client)
    silence(database)

    async def lives() -> bool:
        return silent_for(database) < timedelta(seconds=5)

    await eventually_async(lives, what="a sign of life")
    assert code(await post(client)) == (409, "request_in_progress")
    sender.go_on.set()
    assert (await first).status_code == 202


async def test_a_sender_that_is_not_heard_of_any_more_loses_its_key_to_the_next(
    database: Database, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "SIGN_EVERY_S", 0.02)
    monkeypatch.setattr(signs, "SILENT_SENDER_S", 0.2)
    sender, first = await under_way(database, client)

    async def is_silent() -> bool:
        await asyncio.sleep(0.1)
        return silent_for(database) > timedelta(seconds=0.3)

    await eventually_async(is_silent, what="no more signs of life")
    silence(database)
    second = await post(client)
    assert second.status_code == 202
    sender.go_on.set()
    assert code(await first) == (409, "illegal_transition")
    assert rows(database) == ONE


def test_a_batch_keeps_its_key_however_long_ago_it_was_accepted(database: Database) -> None:
    """Whoever looked for it just before it was accepted still finds the key taken."""
    first = intake_of(database)
    first.take(BODY)
    first.accept()
    silence(database, timedelta(days=30))
    with pytest.raises(RequestInProgress):
        intake_of(database)
    assert rows(database) == ONE


async def test_a_key_is_free_from_the_beginning_of_its_uploads_deletion_on(
    database: Database, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = intake_of(database)
    refused.take_lines(BODY.splitlines())
    with monkeypatch.context() as dying:
        dying.setattr(uploads, "delete", None)
        with pytest.raises(TypeError):
            refused.abandon()
    assert (await post(client)).status_code == 202
    Sweep(database, make_celery(Settings())).drop_abandoned_uploads()
    assert rows(database) == ONE


def test_a_key_goes_with_its_batch(database: Database) -> None:
    intake = intake_of(database)
    intake.take(BODY)
    intake.accept()
    with database.write() as session:
        session.delete(session.exec(select(Batch).where(col(Batch.id) == 1)).one())
    assert rows(database)["IdempotencyKey"] == 0
