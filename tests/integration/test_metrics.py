"""`/metrics`: what rows and the gate tell, in figures that Prometheus reads; nothing of anybody's jobs."""

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api import metrics
from api.routes import metrics as metrics_route
from jobs.clock import utcnow
from jobs.configuration import Configuration
from jobs.exchange import Usage
from jobs.scopes import Scope
from jobs.states import Outcome
from jobs.store import Database
from jobs.store.money.ledger import LedgerKey, LedgerSums, add_to_ledger
from jobs.store.projects import create_key, ensure_project
from tests.support.rows import seed_batch
from tests.support.stories import Story

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def configuration() -> Configuration:
    """With a pool, of which the gate would be asked."""
    provider = {"protocol": "openai", "base_url": "http://127.0.0.1:9/v1", "pools": [{}]}
    return Configuration.model_validate({"providers": {"sim": provider}})


@pytest.fixture
def client(keyless_client: httpx.AsyncClient, database: Database) -> httpx.AsyncClient:
    """With a key that may see the metrics, and nothing else."""
    with database.write() as session:
        project_id = ensure_project(session, "default")
        key = create_key(session, project_id, scopes=[Scope.METRICS])
    keyless_client.headers["x-api-key"] = key
    return keyless_client


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept."""
    monkeypatch.setattr(metrics_route, "KEPT_S", -1.0)


async def scrape(client: httpx.AsyncClient) -> Figures:
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def figure(figures: Figures, name: str, **labels: str) -> float | None:
    return figures.get((name, frozenset(labels.items())))


async def test_the_rows_are_told_as_figures(client: httpx.AsyncClient, database: Database) -> None:
    story = Story(database, jobs=4, slice_size=2)
    story.answer(0, Usage(input_tokens=3, output_tokens=2))
    story.refuse(1)
    story.attempt(1)
    seed_batch(database, jobs=30, slice_size=10, queue="other")
    figures = await scrape(client)
    pool = {"provider": "sim", "pool": "main", "model": "sim-small"}
    assert figure(figures, "tidemill_slices", queue="sim", state="leased") == 1
    assert figure(figures, "tidemill_slices", queue="sim", state="waiting") == 1
    assert figure(figures, "tidemill_slices", queue="other", state="waiting") == 3
    assert figure(figures, "tidemill_batches", state="queued") == 1
    assert figure(figures, "tidemill_in_flight_jobs") == 1
    assert figure(figures, "tidemill_attempts_total", **pool, outcome="succeeded") == 1
    assert figure(figures, "tidemill_attempts_total", **pool, outcome="limited") == 1
    assert figure(figures, "tidemill_tokens_total", **pool, kind="output") == 2
    assert figure(figures, "tidemill_cost_usd_total", **pool) == pytest.approx(7e-9)
    assert figure(figures, "tidemill_reserved_usd") == pytest.approx(1e-6)
    assert figure(figures, "tidemill_workers") == 0
    assert figure(figures, "tidemill_gate_up") == 0, "there is no Redis here"


async def test_answers_are_counted_by_route_and_never_by_what_was_asked_for(
    client: httpx.AsyncClient,
) -> None:
    for path in (
        "/api/batches/bat_1",
        "/api/batches/bat_2",
        "/nowhere/1",
        "/nowhere/2",
        "/healthz",
    ):
        await client.get(path)
    figures = await scrape(client)
    name = "tidemill_http_requests_total"
    batch = "/api/batches/{batch_id}"
    assert figure(figures, name, route=batch, method="GET", status="403") == 2
    assert figure(figures, name, route="other", method="GET", status="404") == 2
    assert figure(figures, name, route="/healthz", method="GET", status="200") == 1
    assert figure(figures, "tidemill_http_request_seconds_count", route=batch) == 2


async def test_names_that_anybody_makes_up_have_no_labels_of_their_own(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "MOST_MODELS", 2)
    with database.write() as session:
        project_id = ensure_project(session, "default")
        for number in range(5):
            key = LedgerKey(
                utcnow().date(), project_id, "sim", "main", f"m{number}", Outcome.SUCCEEDED
            )
            add_to_ledger(session, {key: LedgerSums(attempts=10 - number)})
    figures = await scrape(client)
    told = {
        dict(labels)["model"]: value
        for (name, labels), value in figures.items()
        if name == "tidemill_attempts_total"
    }
    assert told == {"m0": 10, "m1": 9, "other": 21}


async def test_only_who_is_given_the_scope_by_name_sees_the_figures(
    client: httpx.AsyncClient, database: Database
) -> None:
    with database.write() as session:
        usual = create_key(session, ensure_project(session, "default"))
    assert (await client.get("/metrics", headers={"x-api-key": usual})).status_code == 403
    assert (await client.get("/metrics", headers={"x-api-key": ""})).status_code == 401
    assert (await client.get("/api/batches")).status_code == 403


async def test_however_many_scrape_the_rows_are_asked_once(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_route, "KEPT_S", 60.0)
    before = await scrape(client)
    seed_batch(database)
    after = await scrape(client)
    assert figure(before, "tidemill_batches", state="queued") is None
    assert figure(after, "tidemill_batches", state="queued") is None
