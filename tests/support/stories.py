"""Batches whose attempts end as a test says, beside what their provider has billed for them."""

from collections.abc import Sequence
from typing import Any

from jobs.exchange import Usage
from jobs.prices import Price, Rates
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import Journal, PartDraft, ResultDraft, Settlement, Unattempted
from jobs.store.leases import leases
from jobs.store.money.settlement import flush
from tests.support.rows import batch_of, journal_of, lease_of, seed_batch

GOOD = ResultDraft(ResultStatus.SUCCEEDED, output='"fine"', finish_reason="complete")
EXHAUSTED = ResultDraft(ResultStatus.FAILED, error_code="attempts_exhausted", error_message="no")
PRICE = Price(((0, Rates(1_000_000, 1_000_000, 1_000_000, 2_000_000)),))
"""A nano-dollar for a token in, two for a token out."""

WORST_NANOS = 1000
Call = dict[str, Any]


def priced(journal: Journal) -> Journal:
    return Journal(
        journal.lease,
        journal.seq,
        journal.n,
        journal.provider,
        journal.pool,
        journal.model,
        PRICE.to_json(),
        WORST_NANOS,
    )


def call_of(seq: int, usage: Usage, **changes: Any) -> Call:
    """Return the provider's line of a call for a job, with more in it than is read."""
    return {
        "job_id": f"job-{seq}",
        "protocol": "openai",
        "model": "sim-small",
        "status": 200,
        "answered": True,
        "input_tokens": usage.total_input_tokens,
        "cached_tokens": usage.cached_input_tokens,
        "output_tokens": usage.output_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "cost_nanos": PRICE.cost_nanos(usage),
        **changes,
    }


class Story:
    """A batch whose attempts end as the test says, beside what the provider billed for them."""

    def __init__(self, database: Database, jobs: int, slice_size: int | None = None) -> None:
        self.database = database
        self.ref = seed_batch(database, jobs=jobs, slice_size=slice_size or jobs)
        self.lease = lease_of(database, self.ref)
        self.account: list[Call] = []
        self.numbers: dict[int, int] = {}

    def attempt(self, seq: int) -> Journal:
        n = self.numbers[seq] = self.numbers.get(seq, 0) + 1
        journal = priced(journal_of(self.lease, seq, n))
        with self.database.write() as session:
            assert flush(session, [journal], [])
        return journal

    def settle(self, journal: Journal, outcome: Outcome, **ending: Any) -> None:
        with self.database.write() as session:
            flush(session, [], [Settlement(journal, outcome, **ending)])

    def answer(self, seq: int, usage: Usage) -> None:
        journal = self.attempt(seq)
        cost = PRICE.cost_nanos(usage)
        self.settle(journal, Outcome.SUCCEEDED, usage=usage, cost_nanos=cost, result=GOOD)
        self.account.append(call_of(seq, usage))

    def answer_badly(self, seq: int, usage: Usage) -> None:
        """Answer in a way that is not usable, so that another answer is asked for."""
        journal = self.attempt(seq)
        cost = PRICE.cost_nanos(usage)
        bad = "invalid_json"
        self.settle(journal, Outcome.SUCCEEDED, usage=usage, cost_nanos=cost, error_code=bad)
        self.account.append(call_of(seq, usage))

    def answer_part(self, seq: int, no: int, usage: Usage) -> None:
        """Answer one of several parts of a job."""
        journal = self.attempt(seq)
        cost, part = PRICE.cost_nanos(usage), PartDraft(no, '"fine"')
        self.settle(journal, Outcome.SUCCEEDED, usage=usage, cost_nanos=cost, part=part)
        self.account.append(call_of(seq, usage))

    def answer_without_usage(self, seq: int, usage: Usage) -> None:
        journal = self.attempt(seq)
        self.settle(journal, Outcome.SUCCEEDED, cost_nanos=WORST_NANOS, result=GOOD)
        self.account.append(call_of(seq, usage))

    def lose(self, seq: int, usage: Usage | None) -> None:
        """Lose an answer; `usage` is what the provider billed all the same."""
        journal = self.attempt(seq)
        self.settle(journal, Outcome.UNKNOWN, cost_nanos=WORST_NANOS, error_code="connection_lost")
        if usage is not None:
            self.account.append(call_of(seq, usage, answered=False))

    def refuse(self, seq: int) -> None:
        self.settle(self.attempt(seq), Outcome.LIMITED, error_code="rate_limited")
        nothing = {"input_tokens": 0, "output_tokens": 0, "cost_nanos": 0, "status": 429}
        self.account.append(call_of(seq, Usage(), **nothing, answered=False))

    def lose_worker(self, seqs: Sequence[int], usages: Sequence[Usage | None]) -> None:
        """Kill the worker with calls in flight; another goes on."""
        for seq, usage in zip(seqs, usages, strict=True):
            self.attempt(seq)
            if usage is not None:
                self.account.append(call_of(seq, usage))
        with self.database.write() as session:
            leases.give_back(session, self.lease)
        self.lease = lease_of(self.database, self.ref)

    def give_up(self, seq: int) -> None:
        with self.database.write() as session:
            flush(session, [], [], [Unattempted(self.lease, seq, EXHAUSTED)])

    def next_slice(self) -> None:
        """End the slice whose jobs are all answered, and lease the one after it."""
        with self.database.write() as session:
            leases.finish(session, self.lease)
        self.lease = lease_of(self.database, self.ref, self.lease.slice_no + 1)

    def end(self) -> None:
        with self.database.write() as session:
            leases.finish(session, self.lease)
        assert batch_of(self.database, self.ref).state == "completed"
