"""Retrying a batch over HTTP, and what its slices find of the batch before, on both databases."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlmodel import col, select

from api.app import create_app
from jobs.clock import utcnow
from jobs.configuration import Configuration
from jobs.defaults import JobDefaults
from jobs.exchange import Usage
from jobs.settings import Settings
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.batches.retried import LINES_AT_ONCE, earlier_jobs, lines_after, retried
from jobs.store.leases import leases
from jobs.store.money.settlement import flush
from jobs.store.projects import create_key, ensure_project
from jobs.store.results import kept
from jobs.tables import Batch, Job, Result
from tests.support.rows import batch_of, claimed, journal_of, lease_of, set_batch
from tests.support.system import Json, ndjson
from workers.job.recheck import Recheck

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
TEMPLATE = "Say {{ word }}."
STRICT, RELAXED = '{"required":["a","b"]}', '{"required":["a"]}'


@pytest.fixture
async def client(database: Database, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The API with a provider to submit for, asked with a key of the project `default`."""
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings(
        home=tmp_path, database_url=url, broker_url="redis://127.0.0.1:9", slice_size=10
    )
    app = create_app(settings, SIM)
    with database.write() as session:
        key = create_key(session, ensure_project(session, "default"))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://tidemill",
            headers={"x-api-key": key},
        ) as client,
    ):
        yield client


async def submitted(client: httpx.AsyncClient, jobs: int = 3, **query: str) -> str:
    lines = [
        {"custom_id": f"job-{number}", "model": "sim-small", "variables": {"word": str(number)}}
        for number in range(jobs)
    ]
    given = {"template": TEMPLATE, "schema": STRICT, **query}
    reply = await client.post("/api/batches", content=ndjson(lines), params=given)
    assert reply.status_code == 202, reply.text
    ref: str = reply.json()["id"]
    return ref


GOOD = ResultDraft(ResultStatus.SUCCEEDED, output='{"a":1,"b":2}', finish_reason="complete")
LACKING = ResultDraft(
    *(ResultStatus.FAILED, '"{\\"a\\":1}"', "complete", "schema_violation", "no b")
)
REJECTED = ResultDraft(ResultStatus.FAILED, error_code="request_rejected", error_message="no")


def run(database: Database, ref: str) -> None:
    """Let one job succeed, one fail by its answer, and one be rejected."""
    lease = lease_of(database, ref)
    with database.write() as session:
        for seq, draft in enumerate((GOOD, LACKING, REJECTED)):
            journal = journal_of(lease, seq)
            flush(session, [journal], [])
            is_answer = draft.output is not None
            ended = Outcome.SUCCEEDED if is_answer else Outcome.REJECTED
            settled = Settlement(
                *(journal, ended, Usage(7) if is_answer else None, 7 if is_answer else None),
                error_code=draft.error_code,
                result=draft,
            )
            flush(session, [], [settled])
    with database.write() as session:
        leases.finish(session, lease)


async def retry(
    client: httpx.AsyncClient, ref: str, key: str | None = None, **query: str
) -> httpx.Response:
    headers = {} if key is None else {"idempotency-key": key}
    return await client.post(f"/api/batches/{ref}/retry", params=query, headers=headers)


def keep(database: Database, ref: str) -> list[tuple[int, str, str, str | None]]:
    """Open the slice of a retry as a worker does; return the results that there are then."""
    lease, cut = claimed(database, ref)
    defaults = JobDefaults.from_json(lease.defaults)
    with database.read() as session:
        recheck = Recheck.of(retried(session, lease), defaults)
        jobs = earlier_jobs(
            session, lease, cut, recheck.retried.batch_id, with_texts=recheck.is_needed
        )
    with database.write() as session:
        kept.keep(session, lease, [*recheck.keepings(jobs)])
    with database.read() as session:
        found = session.exec(
            select(Result).where(Result.batch_id == lease.batch_id).order_by(col(Result.seq))
        )
        return [(row.seq, row.status, row.source, row.error_code) for row in found]


async def test_a_retry_is_a_new_batch_of_the_same_jobs(
    database: Database, client: httpx.AsyncClient
) -> None:
    ref = await submitted(client, name="night", priority="high")
    run(database, ref)
    reply = await retry(client, ref, max_cost_usd="1.50", name="again")
    assert reply.status_code == 400  # a budget asks for a price
    assert reply.json()["errors"][0]["code"] == "unpriced_model"
    reply = await retry(client, ref, name="again")
    assert reply.status_code == 202, reply.text
    batch: Json = reply.json()
    assert (batch["retry_of"], batch["name"], batch["priority"]) == (ref, "again", "high")
    assert batch["counts"]["waiting"] == 3
    with database.read() as session:
        jobs = session.exec(select(Job).order_by(col(Job.batch_id), col(Job.seq))).all()
        assert [job.custom_id for job in jobs] == [f"job-{n}" for n in range(3)] * 2
        states = session.exec(select(Batch.state).order_by(col(Batch.id))).all()
        assert states == ["completed", "queued"]
    assert keep(database, batch["id"]) == [(0, "succeeded", "cache", None)]
    assert batch_of(database, batch["id"]).saved_nanos == 7


async def test_answers_are_judged_again_under_what_was_changed(
    database: Database, client: httpx.AsyncClient
) -> None:
    ref = await submitted(client)
    run(database, ref)
    reply = await retry(client, ref, schema=RELAXED, code="schema_violation")
    assert keep(database, reply.json()["id"]) == [
        (0, "succeeded", "cache", None),
        (1, "succeeded", "cache", None),
        (2, "failed", "cache", "request_rejected"),
    ]


async def test_a_batch_that_has_not_ended_or_is_not_there_is_not_retried(
    client: httpx.AsyncClient,
) -> None:
    ref = await submitted(client)
    reply = await retry(client, ref)
    assert (reply.status_code, reply.json()["code"]) == (409, "illegal_transition")
    assert (await retry(client, "bat_none")).status_code == 404


@pytest.mark.parametrize(
    ("query", "code", "said"),
    [
        ({"template": "Say {{ other }}."}, "invalid_jobs", "3 of 3 lines"),
        ({"code": "truncated"}, "invalid_parameter", "request_rejected, schema_violation"),
        ({"kind": "extraction"}, "invalid_parameter", "`kind`"),
        ({"dry_run": "true"}, "invalid_parameter", "`dry_run`"),
        ({"schema": "["}, "invalid_parameter", "schema"),
        ({"colour": "red"}, "invalid_parameter", "colour"),
    ],
)
async def test_what_can_not_be_leaves_nothing_behind(
    database: Database, client: httpx.AsyncClient, query: dict[str, str], code: str, said: str
) -> None:
    ref = await submitted(client)
    run(database, ref)
    reply = await retry(client, ref, **query)
    assert (reply.status_code, reply.json()["code"]) == (400, code)
    assert said in reply.text
    with database.read() as session:
        assert session.exec(select(Batch.ref)).all() == [ref]
        assert len(session.exec(select(Job.seq)).all()) == 3


async def test_one_key_makes_one_retry_of_one_batch(
    database: Database, client: httpx.AsyncClient
) -> None:
    first, other = await submitted(client), await submitted(client)
    run(database, first)
    run(database, other)
    made = await retry(client, first, key="again")
    replayed = await retry(client, first, key="again")
    assert replayed.headers["idempotent-replayed"] == "true"
    assert replayed.json()["id"] == made.json()["id"]
    reused = await retry(client, other, key="again")
    assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused")


async def test_lines_are_read_some_at_a_time(
    database: Database, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await submitted(client, jobs=7)
    batch_id = batch_of(database, ref).id
    assert batch_id is not None
    with database.read() as session:
        everything = lines_after(session, batch_id, -1)
        assert len(everything) == 7 < LINES_AT_ONCE
        size = len(everything[0])
        monkeypatch.setattr("jobs.store.batches.retried.CHARACTERS_AT_ONCE", 2 * size)
        assert lines_after(session, batch_id, 1) == everything[2:4]
        monkeypatch.setattr("jobs.store.batches.retried.CHARACTERS_AT_ONCE", 1)
        assert lines_after(session, batch_id, 5) == everything[6:]
        assert lines_after(session, batch_id, 6) == []


async def test_a_retry_keeps_the_lane_or_says_another_and_has_a_deadline_if_it_says_one(
    client: httpx.AsyncClient, database: Database
) -> None:
    first = await submitted(client, lane="auto", deadline="06:00 Europe/Paris")
    (await client.post(f"/api/batches/{first}/cancel")).raise_for_status()
    set_batch(database, first, state="cancelled", finished_at=utcnow())
    seen = []
    for query in ({}, {"lane": "batch", "deadline": "07:00 Europe/Paris"}, {"lane": "live"}):
        reply = await client.post(f"/api/batches/{first}/retry", params=query)
        batch = batch_of(database, reply.raise_for_status().json()["id"])
        seen.append((batch.lane, batch.deadline is not None, batch.lane_due_at is not None))
    assert seen == [("auto", False, True), ("batch", True, True), ("live", False, False)]
