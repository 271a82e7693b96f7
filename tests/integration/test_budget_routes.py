"""Budgets over HTTP: shown, changed, refused; and submissions that a budget could not hold."""

from typing import Any

import httpx
import pytest

from jobs.configuration import Configuration
from jobs.store import Database
from jobs.store.batches import batches
from jobs.store.projects import create_key, ensure_project
from tests.support.rows import seed_batch

CONFIGURATION = Configuration.model_validate(
    {
        "providers": {
            "sim": {"protocol": "openai", "base_url": "http://127.0.0.1:9/v1", "models": ["s-*"]}
        },
        "routes": {"cheap": {"targets": ["sim/s-priced", "sim/s-mystery"]}},
        "prices": {"sim/s-priced": {"input": "1.00", "output": "2.00"}},
    }
)
NONE_USED = {"spent_usd": "0.000000000", "reserved_usd": "0.000000000"}


@pytest.fixture
def configuration() -> Configuration:
    return CONFIGURATION


def used(period: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in period.items() if name != "resets_at"}


async def test_caps_are_set_shown_and_lifted_one_by_one(client: httpx.AsyncClient) -> None:
    shown = (await client.get("/api/budget")).json()
    assert (shown["project"], shown["daily_usd"], shown["monthly_usd"]) == ("default", None, None)
    assert used(shown["day"]) == used(shown["month"]) == NONE_USED
    assert shown["day"]["resets_at"].endswith("T00:00:00+00:00")
    assert shown["month"]["resets_at"].endswith("-01T00:00:00+00:00")
    for change, caps in (
        ({"daily_usd": "5.00"}, ("5.000000000", None)),
        ({"monthly_usd": "100"}, ("5.000000000", "100.000000000")),
        ({"daily_usd": None}, (None, "100.000000000")),
        ({"monthly_usd": None, "daily_usd": None}, (None, None)),
    ):
        answered = await client.patch("/api/budget", json=change)
        assert answered.status_code == 200, answered.text
        for body in (answered.json(), (await client.get("/api/budget")).json()):
            assert (body["daily_usd"], body["monthly_usd"]) == caps


@pytest.mark.parametrize("path", ["/api/budget", "/api/batches/{ref}"])
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"daily_usd": 5},
        {"max_cost_usd": 12.5},
        {"max_cost_usd": True},
        {"daily_usd": "-1", "max_cost_usd": "-1"},
        {"daily_usd": "lots", "max_cost_usd": "lots"},
        {"daily_usd": "0.0000000001", "max_cost_usd": "1e99"},
        {"daily_usd": "1", "max_cost_usd": "1", "weekly_usd": "1"},
        ["1"],
        "1",
        None,
    ],
)
async def test_a_change_that_is_none_is_refused_with_a_problem_and_changes_nothing(
    client: httpx.AsyncClient, database: Database, path: str, body: Any
) -> None:
    ref = seed_batch(database)
    reply = await client.patch(path.format(ref=ref), json=body)
    assert reply.status_code == 400, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["code"] == "invalid_parameter"
    assert (await client.get(f"/api/batches/{ref}")).json()["max_cost_usd"] is None
    assert (await client.get("/api/budget")).json()["daily_usd"] is None


async def test_a_batchs_budget_is_changed_and_lifted(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database)
    for amount, shown in (("12.50", "12.500000000"), ("0", "0.000000000"), (None, None)):
        reply = await client.patch(f"/api/batches/{ref}", json={"max_cost_usd": amount})
        assert (reply.status_code, reply.json()["max_cost_usd"]) == (200, shown)


async def test_a_batch_that_has_ended_or_is_anothers_has_no_budget_to_change(
    client: httpx.AsyncClient, database: Database
) -> None:
    with database.write() as session:
        foreign = create_key(session, ensure_project(session, "another"))
    ref = seed_batch(database, jobs=0)
    change = {"max_cost_usd": "1"}
    reply = await client.patch(f"/api/batches/{ref}", json=change, headers={"x-api-key": foreign})
    assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
    await client.post(f"/api/batches/{ref}/cancel")
    with database.write() as session:
        batches.finish_if_complete(session, batches.lock(session, 1))
    reply = await client.patch(f"/api/batches/{ref}", json=change)
    assert (reply.status_code, reply.json()["code"]) == (409, "illegal_transition")


def lines(*models: str) -> bytes:
    return b"".join(
        b'{"custom_id":"%d","model":"%s","prompt":"Hi"}\n' % (number, model.encode())
        for number, model in enumerate(models)
    )


@pytest.mark.parametrize("model", ["s-mystery", "sim/s-mystery", "cheap"])
@pytest.mark.parametrize("is_projects", [False, True])
async def test_under_a_budget_a_model_without_a_price_is_refused_with_line_model_and_fix(
    client: httpx.AsyncClient, model: str, is_projects: bool
) -> None:
    assert (await client.post("/api/batches", content=lines(model))).status_code == 202
    params = {} if is_projects else {"max_cost_usd": "1"}
    if is_projects:
        await client.patch("/api/budget", json={"monthly_usd": "1"})
    reply = await client.post("/api/batches", content=lines("s-priced", model), params=params)
    assert reply.status_code == 400, reply.text
    (fault,) = reply.json()["errors"]
    assert (fault["line"], fault["field"], fault["code"]) == (2, "model", "unpriced_model")
    assert '[prices."sim/s-mystery"]' in fault["message"]
    reply = await client.post("/api/batches", content=lines("s-priced"), params=params)
    assert reply.status_code == 202
