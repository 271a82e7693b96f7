"""Deadlines over HTTP, on both databases: said at a submission, read from the batch, and refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from jobs.configuration import Configuration
from jobs.store import Database
from tests.support.rows import batch_of, set_batch

SIM = Configuration.model_validate(
    {
        "providers": {
            "sim": {"protocol": "openai", "base_url": "http://127.0.0.1:9/v1", "models": ["s-*"]},
            "deepseek": {
                "protocol": "openai",
                "base_url": "https://api.deepseek.com/v1",
                "pools": [{"limits": {"rpm": 6000}}],
            },
            "slow": {
                "protocol": "openai",
                "base_url": "http://127.0.0.1:9/v1",
                "models": ["slow-*"],
                "pools": [{"limits": {"rpm": 60}}],
            },
        }
    }
)


@pytest.fixture
def configuration() -> Configuration:
    return SIM


async def submit(
    client: httpx.AsyncClient,
    *,
    jobs: int = 3,
    key: str | None = None,
    model: str = "s-1",
    **query: str,
) -> httpx.Response:
    lines = [{"custom_id": f"j{n}", "model": model, "prompt": f"Hello {n}"} for n in range(jobs)]
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
    monkeypatch.setattr("api.routes.submissions.now", lambda _session: later)
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


def in_minutes(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


async def test_a_deadline_that_can_not_be_met_is_refused_with_what_would(
    client: httpx.AsyncClient,
) -> None:
    reply = await submit(client, jobs=300, model="slow-1", deadline=in_minutes(2))
    told = reply.json()
    assert (reply.status_code, told["code"]) == (422, "deadline_unreachable")
    assert (told["jobs"], told["limited_by"], told["limit"]) == (300, "rpm of slow/main", 60)
    assert 110 < told["most_jobs"] <= 120
    assert 150 <= told["limit_needed"] <= 160
    left = datetime.fromisoformat(told["earliest"]) - datetime.now(UTC)
    assert timedelta(minutes=4) < left <= timedelta(minutes=5)
    assert (await client.get("/api/batches")).json()["data"] == []
    for better in (
        await submit(client, jobs=told["most_jobs"] - 5, model="slow-1", deadline=in_minutes(2)),
        await submit(client, jobs=300, deadline=in_minutes(2)),  # no limit, nothing to be told
    ):
        assert better.status_code == 202, better.text


async def test_what_is_late_can_be_wanted_all_the_same(client: httpx.AsyncClient) -> None:
    late = {"model": "slow-1", "deadline": in_minutes(2), "accept_late": "true"}
    reply = await submit(client, jobs=300, **late)
    assert reply.status_code == 202, reply.text
    # It has a deadline as well, so the next one has half of the pace beside it.
    second = await submit(client, jobs=100, model="slow-1", deadline=in_minutes(3))
    assert (second.status_code, "beside 1 other batch" in second.text) == (422, True)


async def test_a_quote_tells_whether_a_deadline_can_be_met(client: httpx.AsyncClient) -> None:
    asked = {"model": "slow-1", "dry_run": "true"}
    late = (await submit(client, jobs=300, deadline=in_minutes(2), **asked)).json()
    assert late["deadline_reachable"] is False
    assert "at most" in late["would_meet_deadline"]
    good = (await submit(client, jobs=300, deadline=in_minutes(9), **asked)).json()
    assert (good["deadline_reachable"], good["would_meet_deadline"]) == (True, None)
    assert good["earliest"] < good["deadline"]
    plain = (await submit(client, jobs=300, **asked)).json()
    assert (plain["deadline"], plain["deadline_reachable"]) == (None, None)


async def test_a_batch_outside_of_its_hours_waits_from_the_beginning(
    client: httpx.AsyncClient,
) -> None:
    opens = datetime.now(UTC) + timedelta(hours=2)
    window = f"{opens:%H:%M}-{opens + timedelta(hours=1):%H:%M} UTC"
    batch = (await submit(client, run_window=window, after_deadline="expire")).json()
    assert (batch["run_window"], batch["after_deadline"]) == (window, "expire")
    assert batch["waiting_for"].startswith(f"its hours: {window}")
    refused = await submit(client, run_window="at night")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_parameter")


async def test_a_price_with_a_clock_is_known_when_a_batch_is_accepted(
    client: httpx.AsyncClient, database: Database
) -> None:
    clocked = "deepseek/deepseek-chat"
    ref = (await submit(client, model=clocked, deadline=in_minutes(900))).json()["id"]
    batch = batch_of(database, ref)
    assert batch.clocked_model == clocked
    assert batch.held_until is not None  # until the sweep has looked
    for other in (
        await submit(client, deadline=in_minutes(900)),
        await submit(client, model=clocked),
    ):
        assert batch_of(database, other.json()["id"]).clocked_model is None
