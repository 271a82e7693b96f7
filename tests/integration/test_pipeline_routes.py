"""Pipelines and runs over HTTP: what files say, runs that are asked for once, and a backfill."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from jobs.clock import utcnow
from jobs.configuration import Configuration, Provider
from jobs.store import Database
from jobs.store.projects import create_key, ensure_project
from jobs.tables import Run

NIGHTLY = """
name = "nightly"
model = "sim/small"
deadline = "06:00"
budget_usd = "20.00"
schedule = { cron = "0 22 * * *", zone = "Europe/Paris" }
source = { files = "in/{date}/*.jsonl" }
[[stages]]
name = "summary"
kind = "generation"
template = "{{ row.text }}"
[[stages]]
name = "french"
kind = "translation"
text = "{{ summary }}"
target = "fr"
[[sinks]]
parquet = "out/{date}.parquet"
"""


@pytest.fixture
def configuration() -> Configuration:
    provider = Provider.model_validate({"protocol": "openai", "base_url": "http://127.0.0.1:9"})
    return Configuration(providers={"sim": provider})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pipelines"
    path.mkdir()
    (path / "nightly.toml").write_text(NIGHTLY)
    monkeypatch.setenv("TIDEMILL_PIPELINES", str(path))
    return path


async def get(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_pipelines_are_told_with_what_is_wrong(
    client: httpx.AsyncClient, folder: Path
) -> None:
    (folder / "broken.toml").write_text(NIGHTLY.replace("kind =", "kinds ="))
    (folder / "other.toml").write_text('project = "other"\n' + NIGHTLY.replace("nightly", "theirs"))
    broken, nightly = (await get(client, "/api/pipelines"))["data"]
    assert broken["name"] == "broken"
    assert broken["trouble"].startswith("broken.toml, line ")
    assert nightly["trouble"] is None
    assert nightly["stages"] == ["summary", "french"]
    assert nightly["schedule"]["next_due_at"].endswith(("T20:00:00+00:00", "T21:00:00+00:00"))
    assert nightly["last_run"] is None


async def test_a_run_that_is_asked_for_twice_under_a_key_is_one(client: httpx.AsyncClient) -> None:
    answers = [
        await client.post(
            "/api/pipelines/nightly/runs",
            params={"date": "2026-11-20"},
            headers={"idempotency-key": "a"},
        )
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    first, second = (answer.json() for answer in answers)
    assert first["id"] == second["id"]
    assert first["date"] == "2026-11-20"
    assert [stage["after"] for stage in first["stages"]] == [[], ["summary"]]
    assert first["sinks"][0]["state"] == "waiting"
    assert first["receipt"]["cost_usd"] == "0.000000000"
    assert await get(client, f"/api/runs/{first['id']}") == second
    receipt = await get(client, f"/api/runs/{first['id']}/receipt")
    assert (receipt["id"], receipt["is_final"], receipt["paid_usd"]) == (
        first["id"],
        False,
        "0.000000000",
    )
    assert (receipt["deadlines"]["open"], receipt["deadlines"]["unreachable"]) == (1, None)
    listed = (await get(client, "/api/pipelines"))["data"][0]
    assert listed["last_run"]["id"] == first["id"]


async def test_runs_are_listed_newest_first_by_the_page(client: httpx.AsyncClient) -> None:
    body = {"first": "2026-11-01", "last": "2026-11-03", "at_once": 2}
    answer = await client.post("/api/pipelines/nightly/backfill", json=body)
    assert answer.status_code == 202, answer.text
    made = answer.json()["data"]
    assert [run["date"] for run in made] == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert len({run["backfill"] for run in made}) == 1
    first = await get(client, "/api/runs?pipeline=nightly&limit=2")
    assert [run["date"] for run in first["data"]] == ["2026-11-03", "2026-11-02"]
    second = await get(client, f"/api/runs?limit=2&cursor={first['next_cursor']}")
    assert [run["date"] for run in second["data"]] == ["2026-11-01"]
    assert second["next_cursor"] is None


async def test_a_run_is_cancelled_and_taken_up_again(client: httpx.AsyncClient) -> None:
    run = f"/api/runs/{(await client.post('/api/pipelines/nightly/runs')).json()['id']}"
    assert (await client.post(f"{run}/retry")).status_code == 409
    cancelled = (await client.post(f"{run}/cancel")).json()
    assert (cancelled["state"], cancelled["trouble"]) == ("cancelled", "it was cancelled")
    assert (await get(client, f"{run}/failures")) == {"data": []}
    assert (await client.get(f"{run}/diff")).status_code == 404
    assert (await get(client, f"{run}/diff?against={run.rpartition('/')[2]}"))["same"] == 0
    assert (await client.post(f"{run}/retry?from=nowhere")).status_code == 409
    again = await client.post(f"{run}/retry?from=french&as_now=true")
    assert again.status_code == 200, again.text
    assert (again.json()["state"], again.json()["retries"]) == ("running", 1)


async def test_another_project_sees_and_begins_none_of_them(
    client: httpx.AsyncClient, database: Database
) -> None:
    run = (await client.post("/api/pipelines/nightly/runs")).json()
    with database.write() as session:
        client.headers["x-api-key"] = create_key(session, ensure_project(session, "stranger"))
    assert (await get(client, "/api/pipelines"))["data"] == []
    assert (await get(client, "/api/runs"))["data"] == []
    body = {"first": "2026-11-01", "last": "2026-11-01"}
    for answer in (
        await client.get(f"/api/runs/{run['id']}"),
        await client.get(f"/api/runs/{run['id']}/receipt"),
        await client.get(f"/api/runs/{run['id']}/failures"),
        await client.post(f"/api/runs/{run['id']}/cancel"),
        await client.post(f"/api/runs/{run['id']}/retry"),
        await client.post("/api/pipelines/nightly/runs"),
        await client.post("/api/pipelines/nightly/backfill", json=body),
    ):
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/api/pipelines/unknown/runs", None, 404),
        ("POST", "/api/pipelines/broken/runs", None, 409),
        ("POST", "/api/pipelines/nightly/runs?date=yesterday", None, 400),
        ("POST", "/api/pipelines/nightly/backfill", {"first": "2026-11-02"}, 400),
        (
            "POST",
            "/api/pipelines/nightly/backfill",
            {"first": "2026-11-02", "last": "2026-11-01"},
            400,
        ),
        (
            "POST",
            "/api/pipelines/nightly/backfill",
            {"first": "2020-01-01", "last": "2026-11-01"},
            400,
        ),
        ("GET", "/api/runs/run_0", None, 404),
        ("GET", "/api/runs?cursor=run_0", None, 400),
        ("GET", "/api/runs/run_0/diff", None, 404),
    ],
)
async def test_what_can_t_be_is_refused(
    client: httpx.AsyncClient, folder: Path, method: str, path: str, body: Any, status: int
) -> None:
    (folder / "broken.toml").write_text("name")
    answer = await client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_pages_show_pipelines_and_a_run(client: httpx.AsyncClient, folder: Path) -> None:
    (folder / "broken.toml").write_text(NIGHTLY.replace("kind =", "kinds ="))
    run = (await client.post("/api/pipelines/nightly/runs")).json()
    login = await client.post("/login", data={"key": client.headers.pop("x-api-key")})
    assert login.status_code == 303, login.text
    page = (await client.get("/pipelines")).text
    for words in ("summary → french", "broken.toml, line ", "1 can't be run", run["id"]):
        assert words in page
    page = (await client.get(f"/runs/{run['id']}")).text
    for words in ("It is waiting: 0 rows.", "after summary", "parquet", "$20.00"):
        assert words in page
    assert (await client.get("/runs/run_0")).status_code == 404


async def test_the_first_page_tells_of_runs_and_the_buttons_of_a_run_steer_it(
    client: httpx.AsyncClient, database: Database
) -> None:
    made = (await client.post("/api/pipelines/nightly/runs", params={"date": "2026-11-20"})).json()
    page = f"/runs/{made['id']}"
    await client.post("/login", data={"key": client.headers.pop("x-api-key")})

    async def shown(path: str) -> str:
        return (await client.get(path)).text

    async def press(verb: str) -> int:
        token = (await shown(page)).partition('name="form_token" value="')[2].partition('"')[0]
        return (await client.post(f"{page}/{verb}", data={"form_token": token})).status_code

    first = await shown("/")
    assert "1 run at work." in first
    assert f'href="{page}"' in first
    assert "Cancel this run" in await shown(page)
    assert await press("cancel") == 303
    stopped = await shown(page)
    assert "It is cancelled" in stopped
    assert "Cancel this run" not in stopped
    assert await press("cancel") == 303  # a second click
    assert await press("retry") == 303
    assert "Cancel this run" in await shown(page)
    assert await press("explode") == 404
    deadline = utcnow() - timedelta(minutes=20)
    with database.write() as session:
        session.execute(
            update(Run).values(
                state="completed", finished_at=deadline + timedelta(minutes=12), deadline=deadline
            )
        )
    late = await shown("/")
    assert "1 run done (1 after its deadline)" in late
    assert "nightly, 2026-11-20</a> missed its deadline by 12 min" in late
    assert 'class="headline bad"' in late
    assert "Cancel this run" not in await shown(page)
