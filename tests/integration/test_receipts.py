"""Receipts on both databases: their sums are those of the rows, of the batches and of the ledger."""

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from jobs.exchange import Usage
from jobs.prices import Price, Rates
from jobs.receipt import Receipt
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import Journal, ResultDraft, Settlement
from jobs.store.leases.leases import Lease, finish
from jobs.store.money import receipts
from jobs.store.money.settlement import flush
from jobs.store.proof.project_books import money_of_project
from tests.support.rows import batch_of, lease_of, seed_batch, set_batch

LIVE = Price(((0, Rates(2_000_000_000, 1_000_000_000, 2_000_000_000, 8_000_000_000)),))
HALF = Price(((0, Rates(1_000_000_000, 500_000_000, 1_000_000_000, 4_000_000_000)),))
USAGE = Usage(input_tokens=900, cached_input_tokens=100, output_tokens=50)
WORST_NANOS = 5_000_000


def journal(lease: Lease, seq: int, model: str, native: bool = False) -> Journal:
    return Journal(
        lease,
        seq,
        1,
        "sim",
        "main",
        model,
        (HALF if native else LIVE).to_json(),
        WORST_NANOS,
        native_id=7 if native else None,
        live_price=LIVE.to_json() if native else None,
    )


def ended_batch(database: Database) -> str:
    """A batch of four jobs: one live, one of a native batch, one bad answer, one of unknown use."""
    ref = seed_batch(database, jobs=4)
    lease = lease_of(database, ref)
    good = ResultDraft(ResultStatus.SUCCEEDED, output='"yes"')
    bad = ResultDraft(ResultStatus.FAILED, error_code="invalid_json", error_message="no")
    lost = ResultDraft(ResultStatus.FAILED, error_code="timed_out", error_message="no")
    calls = [
        journal(lease, 0, "small"),
        journal(lease, 1, "small", native=True),
        journal(lease, 2, "large"),
        journal(lease, 3, "large"),
    ]
    full, half = LIVE.cost_nanos(USAGE), HALF.cost_nanos(USAGE)
    ends = [
        Settlement(calls[0], Outcome.SUCCEEDED, USAGE, full, 10, None, good),
        Settlement(calls[1], Outcome.SUCCEEDED, USAGE, half, 10, None, good),
        Settlement(calls[2], Outcome.SUCCEEDED, USAGE, full, 10, "invalid_json", bad),
        Settlement(calls[3], Outcome.UNKNOWN, None, WORST_NANOS, None, "timed_out", lost),
    ]
    with database.write() as session:
        flush(session, calls, [])
    with database.write() as session:
        flush(session, [], ends)
        finish(session, lease)
    return ref


def of_batch(database: Database, ref: str) -> Receipt:
    with database.read() as session:
        return receipts.of_batches(session, [batch_of(database, ref).id or 0])


def test_a_batchs_receipt_is_what_its_rows_say(database: Database) -> None:
    ref = ended_batch(database)
    batch, found = batch_of(database, ref), of_batch(database, ref)
    full, half = LIVE.cost_nanos(USAGE), HALF.cost_nanos(USAGE)
    assert found.paid_nanos == batch.spent_nanos == 2 * full + half + WORST_NANOS
    assert found.lane_saved_nanos == batch.lane_saved_nanos == full - half
    assert found.cache_saved_nanos == batch.cache_saved_nanos
    assert found.list_nanos == found.paid_nanos + full - half + (batch.cache_saved_nanos or 0)
    assert (found.bad_answers, found.bad_nanos) == (1, full)
    assert (found.unknown_calls, found.unknown_nanos) == (1, WORST_NANOS)
    lanes = {(part.model, part.lane): (part.calls, part.cost_nanos) for part in found.parts}
    assert lanes == {
        ("small", "live"): (1, full),
        ("small", "batch"): (1, half),
        ("large", "live"): (2, full + WORST_NANOS),
    }


def test_a_months_receipt_is_what_the_ledger_says(database: Database) -> None:
    refs = [ended_batch(database) for _ in range(3)]
    set_batch(database, refs[0], deadline=datetime.now(UTC) + timedelta(hours=1))
    set_batch(database, refs[1], deadline=datetime.now(UTC) - timedelta(hours=1))
    first_day = datetime.now(UTC).date().replace(day=1)
    with database.read() as session:
        found = receipts.of_month(session, 1, first_day)
        of_batches, of_ledger = money_of_project(session, 1)
        other = receipts.of_month(session, 1, first_day.replace(year=first_day.year - 1))
    assert found.paid_nanos == of_ledger == of_batches
    assert found.list_nanos - found.saved_nanos == of_ledger
    together = [of_batch(database, ref) for ref in refs]
    for name in ("lane_saved_nanos", "cache_saved_nanos", "wasted_nanos", "jobs", "bad_answers"):
        assert getattr(found, name) == sum(getattr(each, name) for each in together)
    assert (found.batches, found.deadlines.kept, found.deadlines.missed) == (3, 1, 1)
    assert (other.paid_nanos, other.batches) == (0, 0)


async def test_receipts_over_http(client: httpx.AsyncClient, database: Database) -> None:
    ref = ended_batch(database)
    found = (await client.get(f"/api/batches/{ref}/receipt")).json()
    assert (found["id"], found["is_final"], found["parts"][0]["model"]) == (ref, True, "large")
    assert found["wasted"]["unknown_calls_usd"] == "0.005000000"
    month = f"{datetime.now(UTC):%Y-%m}"
    of_month = (await client.get("/api/receipts", params={"month": month})).json()
    assert (of_month["month"], of_month["paid_usd"]) == (month, found["paid_usd"])
    assert (await client.get("/api/batches/bat_none/receipt")).status_code == 404


@pytest.mark.parametrize("month", ["2026", "2026-13", "2026-11-01", "11-2026", "2026-1\0"])
async def test_what_is_no_month_is_refused(client: httpx.AsyncClient, month: str) -> None:
    reply = await client.get("/api/receipts", params={"month": month})
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_parameter")
