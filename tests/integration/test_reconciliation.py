"""A batch beside its provider's account: what agrees, what is learned from it, and what must not be."""

import gzip
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import text
from sqlmodel import func, select

from jobs.exchange import Usage
from jobs.money import format_usd, parse_usd
from jobs.states import Outcome
from jobs.store import Database
from jobs.store.attempts.reports import Admission, Correction
from jobs.store.batches import batches
from jobs.store.leases import leases
from jobs.store.money import budgets
from jobs.store.money.settlement import flush, reconcile
from jobs.store.proof.balance import balance
from jobs.tables import Attempt, LedgerDay, SpendDay
from tests.support.rows import batch_of, journal_of, lease_of, seed_batch
from tests.support.stories import GOOD, WORST_NANOS, Call, Story, call_of, priced


async def balance_of(client: httpx.AsyncClient, ref: str) -> dict[str, Any]:
    reply = await client.get(f"/api/batches/{ref}/reconciliation")
    found: dict[str, Any] = reply.raise_for_status().json()
    return found


async def compare(
    client: httpx.AsyncClient, ref: str, account: Sequence[Call], **query: Any
) -> dict[str, Any]:
    body = b"".join(orjson.dumps(call) + b"\n" for call in account)
    reply = await client.post(f"/api/batches/{ref}/reconciliation", params=query, content=body)
    found: dict[str, Any] = reply.raise_for_status().json()
    return found


async def attempts_of(client: httpx.AsyncClient, ref: str, **query: Any) -> list[dict[str, Any]]:
    """Read all pages."""
    found: list[dict[str, Any]] = []
    while True:
        reply = await client.get(f"/api/batches/{ref}/attempts", params=query)
        page = reply.raise_for_status().json()
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        query["cursor"] = page["next_cursor"]


def spent_three_ways(database: Database, ref: str) -> set[int]:
    """Return what the only batch of the project has spent, by each book that tells it."""
    batch = batch_of(database, ref)
    with database.read() as session:
        sums = [
            session.exec(select(func.sum(column))).one()
            for column in (Attempt.cost_nanos, LedgerDay.cost_nanos, SpendDay.spent_nanos)
        ]
        assert min(session.exec(select(LedgerDay.attempts)).all()) >= 0
    return {batch.spent_nanos, *(int(total or 0) for total in sums)}


async def test_a_batch_that_went_well_balances(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=3)
    for seq in range(3):
        story.answer(seq, Usage(10, output_tokens=seq))
    story.end()

    found = await balance_of(client, story.ref)

    assert (found["balances"], found["violations"], found["account"]) == (True, [], None)
    assert found["jobs"] == {"accepted": 3, "finished": 3, "waiting": 0, "lost": 0}
    assert found["attempts"]["succeeded"] == 3
    assert found["money"]["attempts_usd"] == found["money"]["batch_usd"] == "0.000000036"


async def test_open_jobs_and_calls_of_a_running_batch_are_waiting_and_not_lost(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=3)
    story.answer(0, Usage(1))
    story.attempt(1)
    found = await balance_of(client, story.ref)
    assert (found["jobs"]["waiting"], found["jobs"]["lost"]) == (2, 0)
    assert found["attempts"]["in_flight"] == 1
    assert found["money"]["reserved_usd"] == format_usd(WORST_NANOS)
    assert found["balances"]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("DELETE FROM result WHERE seq = 1", "lost_jobs"),
        ("DELETE FROM job WHERE seq = 1", "missing_jobs"),
        ("UPDATE batch SET succeeded = succeeded + 1", "miscounted_succeeded"),
        ("UPDATE batch SET succeeded = succeeded - 1", "miscounted_succeeded"),
        ("UPDATE batch SET spent_nanos = spent_nanos + 1", "drift_batch"),
        ("UPDATE attempt SET cost_nanos = cost_nanos + 1 WHERE seq = 1", "drift_batch"),
        ("UPDATE ledger_day SET cost_nanos = cost_nanos - 1", "drift_ledger"),
        ("UPDATE batch SET output_tokens = output_tokens + 1", "drift_output_tokens"),
        ("UPDATE batch SET reserved_nanos = 1", "reserved"),
        ("UPDATE batch SET in_flight = 1", "miscounted_in_flight"),
        ("UPDATE batch SET unknown_attempts = 1", "miscounted_unknown"),
        ("UPDATE attempt SET outcome = NULL WHERE seq = 1", "open_attempts"),
        ("UPDATE attempt SET outcome = 'failed' WHERE seq = 1", "unbacked_results"),
    ],
)
async def test_damage_to_the_books_is_seen(
    client: httpx.AsyncClient, database: Database, damage: str, code: str
) -> None:
    story = Story(database, jobs=3)
    for seq in range(3):
        story.answer(seq, Usage(10, output_tokens=5))
    story.end()
    with database.engine.begin() as connection:
        connection.execute(text(damage))
    found = await balance_of(client, story.ref)
    assert not found["balances"]
    assert code in {violation["code"] for violation in found["violations"]}


async def test_late_and_second_answers_are_told_as_wasted(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=2)
    late = story.attempt(0)
    with database.write() as session:
        leases.give_back(session, story.lease)
    story.lease = lease_of(database, story.ref)
    story.answer(0, Usage(10))
    story.answer(1, Usage(10))
    story.settle(late, Outcome.SUCCEEDED, usage=Usage(7), cost_nanos=7, result=GOOD)
    story.end()
    found = await balance_of(client, story.ref)
    assert found["wasted"] == {"attempts": 1, "cost_usd": format_usd(7)}
    assert found["balances"]


async def test_attempts_are_listed_by_the_page_and_unknown_are_those_that_the_batch_counts(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=3)
    story.lose(0, None)
    story.answer(0, Usage(10, 2, output_tokens=3))
    story.answer_without_usage(1, Usage(5))
    story.refuse(2)

    rows = await attempts_of(client, story.ref, limit=1)
    unknown = await attempts_of(client, story.ref, limit=1, outcome="unknown")

    assert [(row["custom_id"], row["n"], row["outcome"]) for row in rows] == [
        ("job-0", 1, "unknown"),
        ("job-0", 2, "succeeded"),
        ("job-1", 1, "succeeded"),
        ("job-2", 1, "limited"),
    ]
    assert [(row["seq"], row["n"]) for row in unknown] == [(0, 1), (1, 1)]
    assert len(unknown) == batch_of(database, story.ref).unknown_attempts
    assert unknown[0]["error"] == {"code": "connection_lost"}
    assert unknown[0]["cost_usd"] == unknown[0]["reserved_usd"] == format_usd(WORST_NANOS)
    assert [row["cost_is_estimate"] for row in rows] == [True, False, True, False]
    assert rows[1]["usage"]["cached_input_tokens"] == 2
    assert rows[3]["cost_usd"] is None


async def test_nobody_sees_another_projects_attempts_or_accounts(
    client: httpx.AsyncClient, database: Database
) -> None:
    ref = seed_batch(database, project="other")
    for method, path in (
        ("GET", "attempts"),
        ("GET", "reconciliation"),
        ("POST", "reconciliation"),
    ):
        reply = await client.request(method, f"/api/batches/{ref}/{path}")
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")


async def test_lost_answers_become_what_the_provider_billed_in_every_book(
    client: httpx.AsyncClient, database: Database
) -> None:
    with database.write() as session:
        budgets.set_caps(session, 1, {"daily_nanos": 1_000_000})
    story = Story(database, jobs=4)
    story.lose_worker([0, 1], [Usage(100, output_tokens=20), None])
    story.lose(2, Usage(40))
    story.answer_without_usage(3, Usage(30, output_tokens=1))
    for seq in range(3):
        story.answer(seq, Usage(10))
    story.end()
    before = await compare(client, story.ref, story.account, complete=True)
    assert before["account"]["learned"] == {"attempts": 3, "cost_usd": format_usd(3000)}
    assert before["account"]["learned_usd"] == format_usd(140 + 40 + 32)
    assert before["account"]["unseen"]["attempts"] == 1
    assert (before["account"]["corrected"], before["unknown"]["attempts"]) == (0, 4)

    found = await compare(client, story.ref, story.account, complete=True, apply=True)

    assert found["balances"], found
    assert found["account"]["corrected"] == 4
    assert found["unknown"] == {"attempts": 0, "cost_usd": format_usd(0)}
    assert spent_three_ways(database, story.ref) == {140 + 40 + 32 + 30}
    rows = {(row["seq"], row["n"]): row for row in await attempts_of(client, story.ref)}
    told = {key: (row["outcome"], row["cost_usd"]) for key, row in rows.items()}
    assert told[0, 1] == ("succeeded", format_usd(140))
    assert told[1, 1] == ("failed", None)
    assert told[2, 1] == ("succeeded", format_usd(40))
    assert {key for key, row in rows.items() if row["reconciled_at"]} == {
        (0, 1), (1, 1), (2, 1), (3, 1)
    }  # fmt: skip
    assert rows[2, 1]["error"] == {"code": "connection_lost"}

    again = await compare(client, story.ref, story.account, complete=True, apply=True)
    assert again["account"]["corrected"] == again["account"]["learned"]["attempts"] == 0
    assert again["account"]["agreed"] == 6
    assert again["account"]["provider"]["cost_usd"] == again["money"]["batch_usd"]
    assert spent_three_ways(database, story.ref) == {242}


async def test_what_an_account_does_not_have_stays_charged_unless_it_is_complete(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=1)
    story.lose(0, None)
    story.give_up(0)
    story.end()
    found = await compare(client, story.ref, [], apply=True)
    assert found["account"]["unseen"]["attempts"] == found["unknown"]["attempts"] == 1
    assert found["balances"]


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (lambda calls: calls[0].update(output_tokens=9), "drifted"),
        (lambda calls: calls[0].update(cost_nanos=9), "drifted"),
        (lambda calls: calls.append(calls[0]), "unrecorded"),
        (lambda calls: calls.pop(0), "overcharged"),
    ],
)
async def test_a_tampered_account_does_not_agree(
    client: httpx.AsyncClient, database: Database, tamper: Any, code: str
) -> None:
    story = Story(database, jobs=2)
    for seq in range(2):
        story.answer(seq, Usage(10, output_tokens=5))
    story.end()
    assert (await compare(client, story.ref, story.account))["balances"]
    tamper(story.account)
    found = await compare(client, story.ref, story.account)
    assert not found["balances"]
    assert found["violations"] == []
    assert [(f["code"], f["custom_id"]) for f in found["account"]["findings"]] == [(code, "job-0")]


async def test_calls_of_other_batches_and_unbilled_ones_are_told_and_no_violation(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=1)
    story.refuse(0)
    story.answer(0, Usage(10))
    stranger = call_of(0, Usage(5), job_id="of-another-batch")
    found = await compare(client, story.ref, [*story.account, stranger])
    assert found["balances"]
    assert found["account"]["foreign"] == {"attempts": 1, "cost_usd": format_usd(5)}
    assert found["account"]["unbilled"] == 1


async def test_another_providers_attempts_are_not_compared(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=2)
    story.answer(0, Usage(10))
    story.refuse(1)
    with database.write() as session:
        for table in ("attempt", "ledger_day"):
            renamed = f"UPDATE {table} SET provider = 'another' WHERE outcome = 'limited'"  # noqa: S608  (a test's own words)
            session.connection().execute(text(renamed))
    assert not (await compare(client, story.ref, [], provider="sim"))["balances"]
    assert (await compare(client, story.ref, [], provider="another"))["balances"]


async def test_a_complete_account_of_one_of_two_providers_frees_nothing_of_the_other(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=2)
    story.lose(0, None)
    story.lose(1, None)
    with database.write() as session:
        session.connection().execute(text("UPDATE attempt SET provider = 'other' WHERE seq = 1"))
    path = f"/api/batches/{story.ref}/reconciliation"
    query = {"complete": True, "apply": True}
    reply = await client.post(path, params=query, content=b"")
    assert (reply.status_code, reply.json()["code"]) == (400, "invalid_parameter")
    assert "other, sim" in reply.json()["detail"]
    assert batch_of(database, story.ref).unknown_attempts == 2
    foreign = call_of(7, Usage(1), job_id="of-another-batch")
    await compare(client, story.ref, [foreign], **query, provider="sim")
    assert batch_of(database, story.ref).unknown_attempts == 1


async def test_an_account_with_a_gap_is_not_taken_as_complete(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=2)
    story.lose(0, None)
    story.answer(1, Usage(10))
    path = f"/api/batches/{story.ref}/reconciliation"
    answered = story.account[-1]
    empty, cut_off = b"", orjson.dumps({**answered, "job_id": "of-another-batch"})
    for body, said in ((empty, "no line"), (cut_off, "1 calls that were answered are not in it")):
        reply = await client.post(path, params={"complete": True, "apply": True}, content=body)
        assert (reply.status_code, reply.json()["code"]) == (400, "invalid_parameter")
        assert said in reply.json()["detail"]
        assert batch_of(database, story.ref).unknown_attempts == 1
    found = await compare(client, story.ref, [answered], complete=True, apply=True)
    assert found["account"]["corrected"] == found["account"]["agreed"] == 1
    assert batch_of(database, story.ref).unknown_attempts == 0


async def test_one_bad_line_keeps_everything_from_being_booked_and_is_named(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=1)
    story.lose(0, Usage(10))
    lines = [
        orjson.dumps(story.account[0]),
        b"",
        b'{"custom_id": "job-0", "input_tokens": 1, "output_tokens": -1}',
        b'{"input_tokens": 1, "output_tokens": 1}',
        b'{"custom_id": "job-0", "input_tokens": 1, "output_tokens": 1, "cached_tokens": 2}',
        b'{"custom_id": "job-0", "input_tokens": 1, "output_tokens": 1, "cost_usd": "x"}',
        b"\xff",
    ]
    reply = await client.post(
        f"/api/batches/{story.ref}/reconciliation",
        params={"apply": True},
        content=b"\n".join(lines),
    )
    assert reply.status_code == 400
    assert [fault["line"] for fault in reply.json()["errors"]] == [3, 4, 5, 6, 7]
    assert batch_of(database, story.ref).unknown_attempts == 1


async def test_an_account_may_be_packed_as_its_header_says(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=2)
    for seq in range(2):
        story.answer(seq, Usage(10))
    story.end()
    plain = b"".join(orjson.dumps(call) + b"\n" for call in story.account)
    path = f"/api/batches/{story.ref}/reconciliation"
    headers = {"content-encoding": "gzip"}
    reply = await client.post(path, content=gzip.compress(plain), headers=headers)
    assert reply.raise_for_status().json()["account"]["agreed"] == 2
    broken = await client.post(path, content=plain, headers=headers)
    assert (broken.status_code, broken.json()["code"]) == (400, "invalid_gzip")


async def test_a_late_answer_after_the_account_changes_nothing(
    client: httpx.AsyncClient, database: Database
) -> None:
    story = Story(database, jobs=1)
    late = story.attempt(0)
    with database.write() as session:
        leases.give_back(session, story.lease)
    story.lease = lease_of(database, story.ref)
    story.answer(0, Usage(10))
    call = call_of(0, Usage(20))
    await compare(client, story.ref, [*story.account, call], apply=True)
    story.settle(late, Outcome.SUCCEEDED, usage=Usage(20), cost_nanos=20, result=GOOD)
    assert batch_of(database, story.ref).spent_nanos == 30
    assert (await balance_of(client, story.ref))["balances"]


async def test_a_call_that_was_lost_over_midnight_is_corrected_on_the_day_that_has_it(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer was lost before midnight, and that was noted after it."""
    clock = [datetime(2026, 5, 1, 23, 59, 59, tzinfo=UTC)]
    for module in ("money.settlement", "attempts.attempts", "leases.leases"):
        monkeypatch.setattr(f"jobs.store.{module}.now", lambda _session: clock[0])
    story = Story(database, jobs=1)
    journal = story.attempt(0)
    clock[0] = datetime(2026, 5, 2, tzinfo=UTC)
    ending = {"cost_nanos": WORST_NANOS, "error_code": "connection_lost", "latency_ms": 900}
    story.settle(journal, Outcome.UNKNOWN, **ending)
    assert (await balance_of(client, story.ref))["balances"]
    found = await compare(client, story.ref, [call_of(0, Usage(10))], apply=True)
    assert found["account"]["corrected"] == 1
    assert found["violations"] == []


def usage_by_chance(random: Random) -> Usage:
    reasoning = random.randrange(5)
    return Usage(random.randrange(1, 300), random.randrange(20), 0, reasoning + 1, reasoning)


def run_by_chance(story: Story, random: Random, seq: int) -> None:
    """Make up to three attempts in vain, and one that may end the job well."""
    for _ in range(random.randrange(4)):
        match random.randrange(3):
            case 0:
                story.refuse(seq)
            case 1:
                story.lose(seq, usage_by_chance(random))
            case _:
                story.lose(seq, None)
    match random.randrange(4):
        case 0:
            story.answer_without_usage(seq, usage_by_chance(random))
        case 1:
            story.give_up(seq)
        case _:
            story.answer(seq, usage_by_chance(random))


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happened_every_book_says_what_the_provider_billed(
    client: httpx.AsyncClient, database: Database, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random stories over midnight, of a project with a cap; files of a few jobs each."""
    monkeypatch.setattr("jobs.account_files.FEWEST_JOBS_PER_FILE", 1)
    monkeypatch.setattr("jobs.reconcile.CORRECTED_PER_COMMIT", 3)
    random = Random(seed)  # noqa: S311 - repeatable on purpose
    clock = [datetime(2026, 5, 1, 23, 59, tzinfo=UTC)]
    for module in ("money.settlement", "attempts.attempts", "leases.leases"):
        monkeypatch.setattr(f"jobs.store.{module}.now", lambda _session: clock[0])
    with database.write() as session:
        budgets.set_caps(session, 1, {"daily_nanos": 10**9})
    story = Story(database, jobs=40)
    for seq in range(20):
        run_by_chance(story, random, seq)
    story.lose_worker([20, 21, 22], [usage_by_chance(random), None, usage_by_chance(random)])
    clock[0] = datetime(2026, 5, 2, 0, 1, tzinfo=UTC)
    for seq in range(20, 40):
        run_by_chance(story, random, seq)
    story.end()
    random.shuffle(story.account)
    assert (await balance_of(client, story.ref))["balances"]
    await compare(client, story.ref, story.account[: len(story.account) // 2], apply=True)

    found = await compare(client, story.ref, story.account, apply=True, complete=True)

    truth = sum(call["cost_nanos"] for call in story.account)
    assert found["balances"], found
    assert found["unknown"]["attempts"] == batch_of(database, story.ref).unknown_attempts == 0
    assert spent_three_ways(database, story.ref) == {truth}
    assert parse_usd(found["account"]["provider"]["cost_usd"]) == truth
    with database.read() as session:
        tokens = session.exec(select(func.sum(LedgerDay.output_tokens))).one()
    assert tokens == sum(call["output_tokens"] for call in story.account)


def test_the_balance_is_of_one_state_and_nobody_waits_for_it(database: Database) -> None:
    story = Story(database, jobs=2)
    story.answer(0, Usage(10))
    with database.snapshot() as session:
        batch = batches.find(session, 1, story.ref)
        story.answer(1, Usage(10))
        found = balance(session, batch)
    assert (found.finished, found.attempts_nanos, found.violations) == (1, 10, [])


def test_an_attempt_that_was_answered_after_the_comparison_is_left_alone(
    database: Database,
) -> None:
    story = Story(database, jobs=2)
    story.answer(0, Usage(10))
    story.lose(1, None)
    corrections = [Correction(seq, 1, Usage(99), 99) for seq in (0, 1)]
    corrected = []
    for _ in range(2):
        with database.write() as session:
            corrected.append(reconcile(session, story.lease.batch_id, 1, corrections))
    assert corrected == [1, 0]
    assert batch_of(database, story.ref).spent_nanos == 10 + 99


async def test_a_batch_that_its_budget_has_paused_goes_on_when_a_lost_call_was_cheaper(
    client: httpx.AsyncClient, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.store.money.admission.LAST_ROUND", timedelta())
    story = Story(database, jobs=2)
    with database.write() as session:
        budgets.set_max_cost(session, 1, story.ref, WORST_NANOS + WORST_NANOS // 2)
    story.lose(0, Usage(10))
    with database.write() as session:
        wish = priced(journal_of(story.lease, 1))
        assert flush(session, [wish], []) == [Admission.RESTING]
    assert batch_of(database, story.ref).state == "paused"

    await compare(client, story.ref, story.account, apply=True)

    with database.write() as session:
        assert budgets.reconsider(session, story.lease.batch_id)  # as the sweep does
    assert batch_of(database, story.ref).state == "running"
