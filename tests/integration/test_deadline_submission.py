"""Deadlines over HTTP, on both databases: said at a submission, read from the batch, and refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from jobs.configuration import Configuration
from jobs.store import Database
from tests.support.rows import set_batch

SIM = Configuration.model_validate(
    {
        "providers": {
            "sim": {"protocol": "openai", "base_url": "http://127.0.0.1:9/v1", "models": ["s-*"]}
        }
    }
)


@pytest.fixture
def configuration() -> Configuration:
    return SIM


async def submit(
    client: httpx.AsyncClient, *, jobs: int = 3, key: str | None = None, **query: str
) -> httpx.Response:
    lines = [{"custom_id": f"j{n}", "model": "s-1", "prompt": "Hello"} for n in range(jobs)]
    return await client.post(
        "/api/batches",
        params=query,
        content="\n".join(map(json.dumps, lines)),
        headers={"content-type": "application/x-ndjson"}
        | ({} if key is None else {"idempotency-key": key}),
    )


async def read(client: httpx.AsyncClient, ref: str) -> dict[str, Any]:
    reply = await client.get(f"/api/batches/{ref}")
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def test_a_batch_says_by_when_it_is_wanted(client: httpx.AsyncClient) -> None:
    reply = await submit(client, deadline="06:00 Europe/Paris")
    assert reply.status_code == 202, reply.text
    said = datetime.fromisoformat(reply.json()["deadline"])
    assert timedelta(0) < said - datetime.now(UTC) <= timedelta(hours=25)
    assert (await read(client, reply.json()["id"]))["deadline"] == said.isoformat()
    assert (await submit(client)).json()["deadline"] is None


@pytest.mark.parametrize("deadline", ["soon", "2026-01-01T06:00:00Z", "2026-01-01T06:00:00"])
@pytest.mark.parametrize("dry_run", ["true", "false"])
async def test_a_deadline_that_is_none_is_refused(
    client: httpx.AsyncClient, deadline: str, dry_run: str
) -> None:
    reply = await submit(client, deadline=deadline, dry_run=dry_run)
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_parameter")
    assert "deadline" in reply.text
    assert (await client.get("/api/batches")).json()["data"] == []


async def test_a_request_that_is_sent_again_later_finds_its_batch(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    first = await submit(client, key="nightly", deadline=soon)
    assert first.status_code == 202, first.text
    later = datetime.now(UTC) + timedelta(hours=1)
    monkeypatch.setattr("api.routes.batches.now", lambda _session: later)
    again = await submit(client, key="nightly", deadline=soon)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert (await submit(client, deadline=soon)).status_code == 400


async def test_a_retry_has_a_deadline_of_its_own(
    client: httpx.AsyncClient, database: Database
) -> None:
    first = (await submit(client, deadline="06:00 Europe/Paris")).json()["id"]
    set_batch(database, first, state="completed", finished_at=datetime.now(UTC))
    plain = await client.post(f"/api/batches/{first}/retry")
    assert (plain.status_code, plain.json()["deadline"]) == (202, None)
    later = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    timed = await client.post(f"/api/batches/{first}/retry", params={"deadline": later})
    assert timed.json()["deadline"] == later
    over = await client.post(
        f"/api/batches/{first}/retry", params={"deadline": "2026-01-01T06:00:00Z"}
    )
    assert (over.status_code, over.json()["code"]) == (400, "invalid_parameter")
