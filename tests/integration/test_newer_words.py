"""Rows that a newer worker wrote while the API is still this version: its words are read as they are."""

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlmodel import SQLModel

from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.money.settlement import flush
from jobs.store.surfaces import file_batches, file_claims
from jobs.store.surfaces.file_batches import FileBatchDraft
from tests.support.rows import journal_of, lease_of, seed_batch

WORDS = {
    ("batch", "state"): "archiving",
    ("batch", "priority"): "urgent",
    ("batch", "pause_cause"): "holiday",
    ("slice", "state"): "parked",
    ("attempt", "outcome"): "deferred",
    ("result", "status"): "skipped",
    ("result", "source"): "archive",
    ("ledger_day", "outcome"): "deferred",
}

ALSO = {"slice": {"owner": None, "lease_until": None}}
"""What the other rules of a table ask for then."""


@pytest.fixture
def ref(database: Database) -> str:
    """A batch of ten jobs with one result, all of whose words are newer ones; it came of a file."""
    ref = seed_batch(database)
    _of_a_file(database)
    lease = lease_of(database, ref)
    journals = [journal_of(lease, seq) for seq in range(2)]
    good = ResultDraft(ResultStatus.SUCCEEDED, output='"x"')
    with database.write() as session:
        flush(session, journals, [])
    with database.write() as session:
        flush(session, [], [Settlement(journals[0], Outcome.SUCCEEDED, result=good)])
    with database.engine.begin() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("PRAGMA ignore_check_constraints=ON")
        else:
            checks = connection.execute(
                text(
                    "SELECT conrelid::regclass, conname FROM pg_constraint "
                    "WHERE contype = 'c' AND conname LIKE '%is_known'"
                )
            )
            for table, name in checks.all():
                connection.execute(text(f"ALTER TABLE {table} DROP CONSTRAINT {name}"))
        for (table, column), word in WORDS.items():
            values = {column: word, **ALSO.get(table, {})}
            connection.execute(SQLModel.metadata.tables[table].update().values(values))
        if database.is_sqlite:
            connection.exec_driver_sql("PRAGMA ignore_check_constraints=OFF")
    return ref


def _of_a_file(database: Database) -> None:
    """Say of the one batch that there is that it was made under `/v1`."""
    draft = FileBatchDraft(1, "file-1", "/v1/chat/completions", "24h", "{}", b"")
    with database.write() as session:
        file_batches.begin(session, draft)
    with database.write() as session:
        claim = file_claims.claim_next(session)
        assert claim is not None
        file_claims.accept(session, claim, 1)


OTHERWISE = {
    *("/api/pools", "/v1/models/{model}", "/anthropic/v1/models/{model}"),  # know nothing of rows
    "/metrics",  # has a scope of its own
    "/api/batches/{batch_id}/events",  # has no end
    # The batch wasn't made there.
    "/anthropic/v1/messages/batches/{batch_id}",
    "/anthropic/v1/messages/batches/{batch_id}/results",
    # It wasn't made by a run.
    *(f"/api/runs/{{run_id}}{what}" for what in ("", "/failures", "/diff", "/receipt")),
}


async def test_every_route_that_reads_answers(
    app: FastAPI, client: httpx.AsyncClient, ref: str
) -> None:
    (made,) = (await client.get("/v1/batches")).json()["data"]
    (output,) = (await client.get("/v1/files")).json()["data"]
    found = {"{batch_id}": ref, "{file_id}": output["id"]}
    for path, methods in app.openapi()["paths"].items():
        if "get" in methods and path not in OTHERWISE:
            named = path.replace("{batch_id}", made["id"]) if path.startswith("/v1") else path
            for what, name in found.items():
                named = named.replace(what, name)
            reply = await client.get(named)
            assert reply.status_code == 200, (path, reply.text)


async def test_its_words_are_passed_on_as_they_are(client: httpx.AsyncClient, ref: str) -> None:
    batch = (await client.get(f"/api/batches/{ref}")).json()
    assert (batch["state"], batch["priority"]) == ("archiving", "urgent")
    assert (await client.get("/api/batches")).json()["data"][0]["state"] == "archiving"
    attempts = (await client.get(f"/api/batches/{ref}/attempts")).json()["data"]
    assert [attempt["outcome"] for attempt in attempts] == ["deferred", "deferred"]
    result = (await client.get(f"/api/batches/{ref}/results")).json()
    assert (result["status"], result["source"]) == ("skipped", "archive")
    assert result["cost_usd"] is None  # nobody here knows whether it was billed
    proof = (await client.get(f"/api/batches/{ref}/reconciliation")).json()
    assert (proof["state"], proof["attempts"]["deferred"]) == ("archiving", 2)
    usage = (await client.get("/api/usage", params={"by": "outcome"})).json()["data"]
    assert [row["outcome"] for row in usage] == ["deferred"]


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
async def test_a_batch_in_a_state_that_is_not_known_is_not_moved(
    client: httpx.AsyncClient, ref: str, verb: str
) -> None:
    reply = await client.post(f"/api/batches/{ref}/{verb}")
    assert (reply.status_code, reply.json()["code"]) == (409, "illegal_transition")
    assert "archiving" in reply.json()["detail"]


async def test_its_account_can_be_compared(client: httpx.AsyncClient, ref: str) -> None:
    line = b'{"custom_id":"job-0","model":"sim-small","input_tokens":1,"output_tokens":1}\n'
    reply = await client.post(f"/api/batches/{ref}/reconciliation?apply=true", content=line)
    assert reply.status_code == 200, reply.text
