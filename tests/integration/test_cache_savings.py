"""What prompt caches save is added up where calls are booked, and proven from tokens and prices."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import Session, col, select

from jobs.exchange import Usage
from jobs.prices import Price, Rates
from jobs.states import Outcome
from jobs.store import Database
from jobs.store.attempts.reports import Correction, Journal, Settlement
from jobs.store.batches import batches
from jobs.store.leases import leases
from jobs.store.money.ledger import UsageQuery, usage
from jobs.store.money.settlement import flush, reconcile
from jobs.store.proof.attempt_faults import PRICES
from jobs.store.proof.balance import balance
from jobs.tables import LedgerDay
from tests.support.rows import batch_of, journal_of, lease_of, seed_batch
from tests.support.stories import GOOD

PRICE = Price(
    (
        (0, Rates(1_000_000, 100_000, 1_250_000, 2_000_000)),
        (10_000, Rates(2_000_001, 200_000, 2_500_003, 4_000_000)),
    )
)
"""Of a nano-dollar for a token, and of two for a long prompt, with rests to be rounded."""

WRITES, READS, LONG, PLAIN = Usage(10, 0, 2000), Usage(10, 2000), Usage(7, 20_001, 3), Usage(10)


class Calls:
    """A batch, and the calls for its jobs."""

    def __init__(self, database: Database, jobs: int = 8) -> None:
        self.database = database
        self.ref = seed_batch(database, jobs=jobs, slice_size=jobs)
        self.lease = lease_of(database, self.ref)

    def journal(self, seq: int, n: int = 1, price: Price | None = PRICE) -> Journal:
        bare = journal_of(self.lease, seq, n)
        written = None if price is None else price.to_json()
        of = (bare.lease, seq, n, bare.provider, bare.pool, bare.model)
        journal = Journal(*of, written, 0 if price is None else 10**6)
        with self.database.write() as session:
            flush(session, [journal], [])
        return journal

    def settle(self, journal: Journal, usage: Usage | None, **ending: Any) -> None:
        price = None if journal.price is None else Price.from_json(journal.price)
        cost = None if price is None or usage is None else price.cost_nanos(usage)
        made = Settlement(
            journal,
            Outcome.SUCCEEDED,
            **{"usage": usage, "cost_nanos": cost, "result": GOOD, **ending},
        )
        with self.database.write() as session:
            flush(session, [], [made])

    @property
    def saved_nanos(self) -> int | None:
        return batch_of(self.database, self.ref).cache_saved_nanos

    @property
    def booked_nanos(self) -> int:
        with self.database.read() as session:
            return sum(session.exec(select(col(LedgerDay.cache_saved_nanos))))

    def codes(self) -> set[str]:
        """Return what the proof has to say."""
        with Session(self.database.engine) as session:
            found = balance(session, batches.find(session, 1, self.ref))
        return {violation.code for violation in found.violations}


def test_it_is_what_the_lists_say_less_what_was_paid(database: Database) -> None:
    calls = Calls(database)
    calls.settle(calls.journal(0), WRITES)
    assert calls.saved_nanos == calls.booked_nanos == -500
    for seq, used in enumerate((READS, READS, LONG, PLAIN), start=1):
        calls.settle(calls.journal(seq), used)
    calls.settle(calls.journal(5, price=None), READS)
    every = (WRITES, READS, READS, LONG, PLAIN)
    saved = sum(PRICE.uncached().cost_nanos(used) - PRICE.cost_nanos(used) for used in every)
    assert calls.saved_nanos == calls.booked_nanos == saved
    assert calls.codes() == set()
    with database.read() as session:
        [row] = usage(session, UsageQuery(1, ["project"]))
    assert row["cache_saved_nanos"] == saved


def test_flushing_the_same_end_again_saves_nothing_more(database: Database) -> None:
    calls = Calls(database)
    journal = calls.journal(0)
    made = Settlement(journal, Outcome.SUCCEEDED, READS, PRICE.cost_nanos(READS), result=GOOD)
    for again in (False, True, True):
        with database.write() as session:
            flush(session, [], [made], again=again)
    assert calls.saved_nanos == calls.booked_nanos == 1800
    assert calls.codes() == set()


def test_late_answers_and_a_providers_account_tell_of_savings_too(database: Database) -> None:
    calls = Calls(database)
    late, lost = calls.journal(0), calls.journal(1)
    calls.settle(lost, None, cost_nanos=10**6)  # an answer that told no usage
    with database.write() as session:
        leases.give_back(session, calls.lease)
    assert calls.saved_nanos == 0
    calls.settle(late, READS)
    assert calls.saved_nanos == 1800
    with database.write() as session:
        # The account's own cost is another: what was saved is told by tokens and prices all the same.
        reconcile(session, calls.lease.batch_id, 1, [Correction(1, 1, READS, 777)])
    assert calls.saved_nanos == calls.booked_nanos == 3600
    assert calls.codes() == set()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE attempt SET input_tokens = input_tokens + 1000, "
        "cached_input_tokens = cached_input_tokens - 1000 WHERE seq = 1",
        "UPDATE attempt SET price = '[[0,1000000,200000,1250000,2000000]]' WHERE seq = 1",
        "UPDATE batch SET cache_saved_nanos = 0",
        "UPDATE batch SET cache_saved_nanos = -1",
    ],
)
def test_a_figure_that_tokens_and_prices_contradict_is_told(
    database: Database, damage: str
) -> None:
    calls = Calls(database)
    for seq, used in enumerate((WRITES, READS, LONG)):
        calls.settle(calls.journal(seq), used)
    with database.write() as session:
        session.connection().execute(text(damage))
    assert "drift_cache_saved" in calls.codes()


def test_a_batch_that_is_older_than_the_figure_has_none(database: Database) -> None:
    calls = Calls(database)
    calls.settle(calls.journal(0), READS)
    with database.write() as session:
        session.connection().execute(text("UPDATE batch SET cache_saved_nanos = NULL"))
        session.connection().execute(text("UPDATE ledger_day SET cache_saved_nanos = 0"))
    calls.settle(calls.journal(1), READS)
    assert calls.saved_nanos is None
    assert calls.booked_nanos == 0
    assert calls.codes() == set()


def test_of_more_prices_than_are_checked_the_figure_is_not_compared(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.store.money.cache_savings.PRICES", 2)
    assert PRICES > 2
    calls = Calls(database)
    for seq in range(3):
        price = Price(((0, Rates(1_000_000, 100_000 + seq, 1_250_000, 2_000_000)),))
        calls.settle(calls.journal(seq, price=price), READS)
    with database.write() as session:
        session.connection().execute(text("UPDATE batch SET cache_saved_nanos = 1"))
        session.connection().execute(text("UPDATE ledger_day SET cache_saved_nanos = 1"))
    assert calls.codes() == set()
