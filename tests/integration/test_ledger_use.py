"""What the gate is told of a day when its own counts are lost, on both databases."""

from datetime import date, timedelta

from jobs.clock import utcnow
from jobs.exchange import Usage
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.money.ledger import (
    LedgerKey,
    LedgerSums,
    UsageQuery,
    add_to_ledger,
    usage,
    used_since,
)
from jobs.store.money.settlement import flush
from jobs.store.projects import ensure_project
from tests.support.rows import journal_of, lease_of, seed_batch

POOL = ("sim", "main")
AN_HOUR_AGO = utcnow() - timedelta(hours=1)


def journal_and_settle(database: Database) -> None:
    """An answer of 10 tokens, a call in flight with 10 estimated, one that never left, one limited."""
    lease = lease_of(database, seed_batch(database))
    journals = [journal_of(lease, seq) for seq in range(4)]
    with database.write() as session:
        flush(session, journals, [])
    endings = [
        Settlement(
            journal=journals[0],
            outcome=Outcome.SUCCEEDED,
            usage=Usage(
                input_tokens=4, cached_input_tokens=1, cache_write_tokens=2, output_tokens=3
            ),
            cost_nanos=40,
            latency_ms=5,
            result=ResultDraft(ResultStatus.SUCCEEDED, output='"fine"', finish_reason="complete"),
        ),
        Settlement(journal=journals[2], outcome=Outcome.UNSENT),
        Settlement(journal=journals[3], outcome=Outcome.LIMITED),
    ]
    with database.write() as session:
        flush(session, [], endings)


def test_what_was_sent_counts_and_calls_in_flight_do_with_their_estimate(
    database: Database,
) -> None:
    journal_and_settle(database)
    with database.read() as session:
        assert used_since(session, POOL, ("*",), AN_HOUR_AGO) == (3, 20)


def test_only_the_models_and_the_pool_that_were_asked_for_count(database: Database) -> None:
    journal_and_settle(database)
    with database.read() as session:
        assert used_since(session, POOL, ("sim-*",), AN_HOUR_AGO) == (3, 20)
        assert used_since(session, POOL, ("gpt-*",), AN_HOUR_AGO) == (0, 0)
        assert used_since(session, ("sim", "other"), ("*",), AN_HOUR_AGO) == (0, 0)


def test_what_was_sent_before_the_day_began_does_not_count(database: Database) -> None:
    journal_and_settle(database)
    with database.read() as session:
        later = utcnow() + timedelta(hours=1)
        assert used_since(session, POOL, ("*",), later) == (0, 0)


def test_days_that_are_told_together_have_the_sums_of_each_of_them(database: Database) -> None:
    first = date(2026, 2, 26)  # a month ends within its first week
    with database.write() as session:
        project_id = ensure_project(session, "default")
        for passed in range(16):
            key = LedgerKey(
                first + timedelta(days=passed), project_id, *POOL, "m", Outcome.SUCCEEDED
            )
            add_to_ledger(session, {key: LedgerSums(attempts=1, cost_nanos=10**passed)})
    last = first + timedelta(days=14)
    with database.read() as session:
        weeks = usage(session, UsageQuery(project_id, ("day", "model"), first, last, 7))
        days = usage(session, UsageQuery(project_id, ("day", "model"), first, last))
    assert [(row["day"], row["attempts"], row["cost_nanos"]) for row in weeks] == [
        (first, 7, 1_111_111),
        (first + timedelta(days=7), 7, 11_111_110_000_000),
        (last, 1, 10**14),
    ]
    assert [row["day"] for row in days] == [first + timedelta(days=n) for n in range(15)]
