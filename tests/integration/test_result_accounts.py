"""What a result, a batch and a usage row say of attempts and cost; null means unknown only."""

from typing import Any

import httpx
import msgspec
import orjson
import pytest

from jobs.exchange import Usage
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import Journal, ResultDraft, Settlement, Unattempted
from jobs.store.leases import leases
from jobs.store.money.settlement import flush
from tests.support.rows import journal_of, lease_of, seed_batch

USED = Usage(input_tokens=7, output_tokens=3)
GOOD = ResultDraft(ResultStatus.SUCCEEDED, output='"fine"', finish_reason="complete")
BAD = ResultDraft(ResultStatus.FAILED, error_code="request_rejected", error_message="no")
EXHAUSTED = ResultDraft(ResultStatus.FAILED, error_code="attempts_exhausted", error_message="no")


def made(
    journal: Journal,
    cost_nanos: int | None,
    outcome: Outcome = Outcome.SUCCEEDED,
    usage: Usage | None = USED,
    result: ResultDraft | None = GOOD,
) -> Settlement:
    return Settlement(
        journal=journal, outcome=outcome, usage=usage, cost_nanos=cost_nanos, result=result
    )


def settle(database: Database, *settlements: Settlement) -> None:
    for settlement in settlements:
        with database.write() as session:
            flush(session, [settlement.journal], [])
        with database.write() as session:
            flush(session, [], [settlement])


def lose(database: Database, ref: str, seq: int, n: int, *, is_priced: bool = True) -> None:
    """Make an attempt whose worker dies: its slice is taken from it."""
    lease = lease_of(database, ref)
    journal = journal_of(lease, seq, n)
    if not is_priced:
        journal = msgspec.structs.replace(journal, price=None, reserved_nanos=0)
    with database.write() as session:
        flush(session, [journal], [])
    with database.write() as session:
        leases.give_back(session, lease)


async def results_of(client: httpx.AsyncClient, ref: str, **query: Any) -> list[dict[str, Any]]:
    reply = await client.get(f"/api/batches/{ref}/results", params={"order": "input", **query})
    return [orjson.loads(line) for line in reply.raise_for_status().content.splitlines()]


async def batch_of(client: httpx.AsyncClient, ref: str) -> dict[str, Any]:
    reply = await client.get(f"/api/batches/{ref}")
    found: dict[str, Any] = reply.raise_for_status().json()
    return found


async def test_a_job_whose_attempts_were_lost_tells_them_and_what_they_are_charged(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database, jobs=1)
    lose(database, ref, 0, 1)
    lose(database, ref, 0, 2)
    lease = lease_of(database, ref)
    with database.write() as session:
        flush(session, [], [], [Unattempted(lease, 0, EXHAUSTED)])

    (result,) = await results_of(client, ref)

    assert result["error"]["code"] == "attempts_exhausted"
    assert (result["attempts"], result["cost_usd"]) == (2, "0.000000200")
    assert (result["provider"], result["pool"], result["model"]) == ("sim", "main", "sim-small")
    assert result["cost_is_estimate"] is True
    assert (await batch_of(client, ref))["cost_usd"] == "0.000000200"


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.FAILED])
async def test_a_result_whose_call_was_not_billed_costs_nothing_and_not_null(
    client: httpx.AsyncClient, database: Database, outcome: Outcome
) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    settle(database, made(journal_of(lease, 0), None, outcome, None, BAD))
    (result,) = await results_of(client, ref)
    assert (result["attempts"], result["cost_usd"]) == (1, "0.000000000")
    assert result["cost_is_estimate"] is False
    assert (await batch_of(client, ref))["cost_usd"] == "0.000000000"


async def test_a_result_without_any_attempt_costs_nothing(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    with database.write() as session:
        flush(session, [], [], [Unattempted(lease, 0, EXHAUSTED)])
    (result,) = await results_of(client, ref)
    assert (result["attempts"], result["cost_usd"], result["provider"]) == (0, "0.000000000", None)


async def test_the_costs_of_results_add_up_to_their_batchs_and_a_page_counts_results(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database, jobs=3)
    lose(database, ref, 0, 1)
    lose(database, ref, 2, 1)
    lease = lease_of(database, ref)
    settle(
        database,
        made(journal_of(lease, 0, 2), 40),
        made(journal_of(lease, 1, 1), 30),
        made(journal_of(lease, 2, 2), None, Outcome.LIMITED, None, None),
        made(journal_of(lease, 2, 3), 20),
    )

    first, second = await results_of(client, ref, limit=2)
    (third,) = await results_of(client, ref, after=1)

    told = [(row["seq"], row["attempts"], row["cost_usd"]) for row in (first, second, third)]
    assert told == [(0, 2, "0.000000140"), (1, 1, "0.000000030"), (2, 3, "0.000000120")]
    assert [row["cost_is_estimate"] for row in (first, second, third)] == [True, False, True]
    assert first["usage"]["input_tokens"] == USED.input_tokens
    assert (await batch_of(client, ref))["cost_usd"] == "0.000000290"
    arrived = await results_of(client, ref, order="finished")
    assert [row["seq"] for row in arrived] == [0, 1, 2]


async def test_what_has_no_price_is_null_in_result_batch_and_usage(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    settle(database, made(journal_of(lease, 0), None))

    (result,) = await results_of(client, ref)
    batch = await batch_of(client, ref)
    usage = (await client.get("/api/usage", params={"by": "model"})).json()

    assert result["cost_usd"] is None
    assert (batch["cost_usd"], batch["unpriced_jobs"]) == (None, 1)
    for row in (*usage["data"], usage["total"]):
        assert (row["cost_usd"], row["unpriced_attempts"]) == (None, 1)


async def test_what_is_known_beside_what_is_not_is_summed(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    settle(database, made(journal_of(lease, 0), None), made(journal_of(lease, 1), 40))
    batch = await batch_of(client, ref)
    usage = (await client.get("/api/usage", params={"by": "model"})).json()
    assert (batch["cost_usd"], batch["unpriced_jobs"]) == ("0.000000040", 1)
    assert (usage["total"]["cost_usd"], usage["total"]["unpriced_attempts"]) == ("0.000000040", 1)


async def test_a_lost_call_of_a_model_without_a_price_is_no_zero(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database)
    lose(database, ref, 0, 1, is_priced=False)
    assert (await batch_of(client, ref))["cost_usd"] is None


async def test_an_answer_without_usage_is_marked_in_its_result_and_counted_by_its_batch(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    settle(database, made(journal_of(lease, 0), 100, usage=None), made(journal_of(lease, 1), 40))
    without, exact = await results_of(client, ref)
    assert (without["cost_usd"], without["cost_is_estimate"]) == ("0.000000100", True)
    assert exact["cost_is_estimate"] is False
    assert (await batch_of(client, ref))["unknown_attempts"] == 1
