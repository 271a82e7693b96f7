"""Who cancelled my batch, and who guesses keys? The log tells, and a flood of guesses doesn't fill it."""

import logging

import httpx
import pytest

from api.access.audit import REFUSALS_PER_MINUTE, Refusals
from jobs.store import Database
from tests.support.rows import seed_batch


async def test_what_steers_is_noted_with_the_keys_prefix_and_no_more_of_it(
    client: httpx.AsyncClient, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tidemill.audit")
    ref = seed_batch(database)
    for change in ("pause", "resume", "cancel"):
        (await client.post(f"/api/batches/{ref}/{change}")).raise_for_status()
    (await client.patch("/api/budget", json={"daily_usd": "5"})).raise_for_status()
    said = [record.message for record in caplog.records if record.name == "tidemill.audit"]
    assert [line.split()[0] for line in said] == ["batch_steered"] * 3 + ["budget_changed"]
    assert said[2].endswith(f"batch={ref} to=cancelling")
    assert all(" key=tm_" in line for line in said)
    assert client.headers["x-api-key"] not in caplog.text


async def test_guessed_keys_are_told_once_with_their_address(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(30):
        headers = {"authorization": f"Bearer tm_guess{number}-of-a-secret"}
        assert (await client.get("/api/batches", headers=headers)).status_code in {401, 429}
    said = [record.message for record in caplog.records if record.name == "tidemill.audit"]
    assert [line.split()[1] for line in said] == ["unauthorised", "too_many_guesses"]
    assert all("source=127.0.0.1" in line and "key=tm_guess" in line for line in said)
    assert "secret" not in caplog.text


def test_a_flood_from_many_addresses_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals()
    for number in range(10 * REFUSALS_PER_MINUTE):
        refusals.note("unauthorised", f"10.0.0.{number}", "a password that is no key")
    assert len(caplog.records) <= 2 * REFUSALS_PER_MINUTE + 1  # the minute may turn meanwhile
    assert "password" not in caplog.text
