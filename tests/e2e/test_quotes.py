"""Quotes of the API: what a submission would take, and no row of it.

The API runs alone, without a worker and without a broker: a quote needs neither.
"""

import gzip
from collections.abc import Iterator
from decimal import Decimal

import pytest
from sqlmodel import func, select

from jobs.errors import REPORTED_FAULTS
from jobs.reading import CHUNK_JOBS
from jobs.scopes import Scope
from jobs.store.projects import create_key, ensure_project
from jobs.tables import (
    Attempt,
    Batch,
    IdempotencyKey,
    Job,
    LedgerDay,
    ProjectBudget,
    Result,
    Slice,
)
from tests.support.lone_api import lone_api
from tests.support.system import PRICES, SMALL, Json, System, lines, ndjson

LIMITS = """
[[providers.openai.pools]]
limits = { rpm = 600, concurrency = 50 }

[routes.both]
targets = ["openai/sim-small", "openai/sim-large"]

[providers.slow]
protocol = "openai"
base_url = "http://127.0.0.1:9/v1"

[[providers.slow.pools]]
limits = { concurrency = 5 }
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """The API alone, on each database; its pool takes ten calls a second."""
    folder = tmp_path_factory.mktemp("quotes")
    with lone_api(request, folder, more=LIMITS) as system:
        yield system


def rows(system: System) -> dict[str, int]:
    """How many rows there are of each table that a submission could leave something in."""
    tables = (Batch, IdempotencyKey, Job, Slice, Attempt, Result, LedgerDay, ProjectBudget)
    with system.database() as database, database.read() as session:
        return {
            table.__name__: session.exec(select(func.count()).select_from(table)).one()
            for table in tables
        }


def quoted(system: System, body: bytes, query: Json | None = None, **headers: str) -> Json:
    """Ask for a quote, assert that nothing was stored, and return it."""
    before = rows(system)
    reply = system.http.post(
        "/api/batches",
        params={"dry_run": "true", **(query or {})},
        content=body,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
    )
    assert reply.status_code == 200, reply.text
    assert rows(system) == before
    quote: Json = reply.json()
    return quote


def dollars(quote: Json) -> tuple[Decimal, Decimal, Decimal]:
    cost = quote["cost_usd"]
    return Decimal(cost["low"]), Decimal(cost["high"]), Decimal(quote["worst_cost_usd"])


def test_a_quote_tells_jobs_calls_tokens_money_and_time(system: System) -> None:
    quote = quoted(system, ndjson(lines(120, max_tokens=100)))
    assert (quote["jobs"], quote["calls"], quote["fault_count"]) == (120, 120, 0)
    assert quote["output_tokens"] == {"low": 120, "high": 12_000}
    low_in, high_in = quote["input_tokens"]["low"], quote["input_tokens"]["high"]
    assert low_in < quote["estimated_input_tokens"] < high_in
    paid_in, paid_out = map(Decimal, PRICES[SMALL])
    low, high, worst = dollars(quote)
    assert abs(low - (low_in * paid_in + 120 * paid_out) / 10**6) < Decimal("0.000001")
    assert abs(high - (high_in * paid_in + 12_000 * paid_out) / 10**6) < Decimal("0.000001")
    assert worst > 5 * high  # three calls of 100, 200 and 200 tokens out, every byte a token in
    assert quote["eta"] == {"low": 12.0, "high": 12.0}
    assert quote["limited_by"] == "rpm of openai/main (600)"
    (target,) = quote["targets"]
    assert (target["model"], target["target"], target["jobs"]) == (SMALL, "openai/sim-small", 120)
    assert target["cost_usd"] == quote["cost_usd"]


def test_jobs_that_ask_for_the_same_are_not_called_for(system: System) -> None:
    same = ({**job, "prompt": "the same"} for job in lines(40, prefix="same"))
    jobs = [*lines(60), *same]
    quote = quoted(system, ndjson(jobs))
    assert (quote["jobs"], quote["collapsed_jobs"], quote["calls"]) == (100, 39, 61)
    accepted = system.batch(system.submit(jobs))
    assert accepted["counts"]["total"] == quote["jobs"]
    assert accepted["collapsed_jobs"] == quote["collapsed_jobs"]


def test_the_bad_lines_are_those_of_a_submission(system: System) -> None:
    """Among them ids that stand twice, one of them beyond the first chunk."""
    good = list(lines(CHUNK_JOBS + 500))
    bad = [
        b"no json",
        b'{"custom_id":"x","prompt":"p"}',
        b'{"custom_id":"y","model":"none","prompt":"p"}',
    ]
    body = ndjson([*good, *good[:3]]) + b"\n".join(bad)
    quote = quoted(system, body)
    reply = system.http.post("/api/batches", content=body)
    assert reply.status_code == 400
    problem = reply.json()
    assert quote["fault_count"] == problem["error_count"] == 6
    assert [fault["code"] for fault in quote["faults"]] == [
        *["duplicate_custom_id"] * 3,
        "invalid_json",
        "missing_model",
        "unknown_model",
    ]
    without_column = [
        {name: fault[name] for name in fault if fault[name] != 0} for fault in quote["faults"]
    ]
    assert without_column == problem["errors"]
    assert quote["jobs"] == quote["calls"] == CHUNK_JOBS + 500


def test_ids_that_stand_twice_are_found_also_after_a_bad_line(system: System) -> None:
    """A submission that is refused anyway stores nothing more, so it finds fewer of them."""
    quote = quoted(system, ndjson([{}, *lines(CHUNK_JOBS + 10), *lines(2)]))
    assert [fault["line"] for fault in quote["faults"]] == [1, CHUNK_JOBS + 12, CHUNK_JOBS + 13]


def test_bad_lines_alone_are_a_quote_of_nothing(system: System) -> None:
    quote = quoted(system, b"no json\n" * (REPORTED_FAULTS + 20))
    assert (quote["jobs"], quote["fault_count"]) == (0, REPORTED_FAULTS + 20)
    assert len(quote["faults"]) == REPORTED_FAULTS
    assert (quote["targets"], quote["eta"]) == ([], {"low": 0.0, "high": 0.0})


@pytest.mark.parametrize("body", [b"", b"\n \n"])
def test_nothing_is_refused_as_a_submission_is(system: System, body: bytes) -> None:
    reply = system.http.post("/api/batches", params={"dry_run": "true"}, content=body)
    assert (reply.status_code, reply.json()["code"]) == (400, "empty_body")


def test_a_quote_needs_a_key_that_may_submit(system: System) -> None:
    with system.database() as database, database.write() as session:
        project_id = ensure_project(session, "default")
        reader = create_key(session, project_id, scopes={Scope.READ})
    for key, status in (("tm_wrong", 401), (reader, 403)):
        headers = {"authorization": f"Bearer {key}"}
        query = {"dry_run": "true"}
        reply = system.http.post("/api/batches", params=query, headers=headers, content=b"{}")
        assert reply.status_code == status


@pytest.mark.parametrize("word", ["yes", "1", "True", ""])
def test_a_dry_run_is_true_or_false(system: System, word: str) -> None:
    reply = system.http.post("/api/batches", params={"dry_run": word}, content=b"{}")
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_parameter")


def test_packed_bodies_and_documents_are_quoted_too(system: System) -> None:
    jobs = list(lines(30))
    packed = quoted(system, gzip.compress(ndjson(jobs)), content_encoding="gzip")
    assert packed == quoted(system, ndjson(jobs))
    document = b'{"jobs": [%s]}' % ndjson(jobs).replace(b"\n", b",").rstrip(b",")
    assert packed == quoted(system, document, content_type="application/json")


def test_a_route_is_at_worst_its_dearest_target(system: System) -> None:
    alone = quoted(system, ndjson(lines(10)))
    both = quoted(system, ndjson(lines(10, model="both")))
    assert both["cost_usd"] == alone["cost_usd"]
    assert both["targets"][0]["target"] == "openai/sim-small"
    # Ten times the price, and twice as many turns.
    assert dollars(both)[2] > 10 * dollars(alone)[2]


def test_a_model_without_a_price_is_named(system: System) -> None:
    quote = quoted(system, ndjson([*lines(3, model="openai/sim-free", prefix="f"), *lines(7)]))
    assert (quote["unpriced_models"], quote["unpriced_jobs"]) == (["openai/sim-free"], 3)
    assert quote["cost_usd"] == quoted(system, ndjson(lines(7)))["cost_usd"]
    assert quote["worst_cost_usd"] is None
    alone = quoted(system, ndjson(lines(3, model="openai/sim-free")))
    assert (alone["cost_usd"], alone["worst_cost_usd"]) == (None, None)


def test_under_a_budget_it_is_a_bad_line_as_at_submission(system: System) -> None:
    quote = quoted(system, ndjson(lines(3, model="openai/sim-free")), {"max_cost_usd": "5"})
    assert [fault["code"] for fault in quote["faults"]] == ["unpriced_model"] * 3


def test_it_is_told_whether_the_budget_suffices(system: System) -> None:
    body = ndjson(lines(100, max_tokens=500))
    low, high, worst = dollars(quoted(system, body))
    for amount, expected in (
        (worst, "surely"),
        (high, "probably"),
        ((low + high) / 2, "perhaps"),
        (low / 2, "no"),
    ):
        given = f"{amount:.9f}"
        quote = quoted(system, body, {"max_cost_usd": given})
        assert (quote["max_cost_usd"], quote["max_cost_suffices"]) == (given, expected)


def test_the_time_is_unknown_where_nothing_tells_it(system: System) -> None:
    quote = quoted(system, ndjson(lines(5, model="slow/sim-small")))
    assert quote["eta"] is None
    assert quote["eta_unknown_because"].startswith("no limit of slow/main tells")


def test_an_idempotency_key_is_not_taken(system: System) -> None:
    body, key = ndjson(lines(2)), "a-quote-first"
    quoted(system, body, idempotency_key=key)
    reply = system.http.post("/api/batches", content=body, headers={"idempotency-key": key})
    assert reply.status_code == 202
    assert "idempotent-replayed" not in reply.headers
