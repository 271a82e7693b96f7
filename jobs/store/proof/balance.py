"""The proof that nothing of a batch is missing: its rows counted and added up, beside its totals.

Reads one state of the database without locking anything. All adding up is the database's.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session

from jobs.states import (
    FINAL_BATCH_STATES,
    Outcome,
)
from jobs.store.money.cache_savings import saved_by_cache
from jobs.store.proof import balance_rules
from jobs.store.proof.attempt_groups import (
    AttemptGroup,
    Charged,
    charged,
    groups_of_batch,
    groups_of_others,
    skipped_numbers,
)
from jobs.store.proof.native_proof import native_counts, native_violations
from jobs.store.proof.project_books import (
    cache_savings_of_project,
    is_readable,
    money_of_project,
    project_violations,
)
from jobs.store.proof.slice_cover import (
    job_counts,
    lost_in_slices,
    slice_counts,
)
from jobs.store.proof.violations import Violation
from jobs.store.results.result_counts import result_counts
from jobs.tables import Batch


@dataclass(frozen=True, slots=True)
class Balance:
    """What a batch's rows say, and whether its totals and the ledger say the same.

    Attributes:
        state: where the batch stands.
        accepted: jobs that were accepted.
        finished: of those, how many have their result.
        lost: of those without, how many nobody will run: their slice is done, or the batch has ended.
        attempts: how many ended how; `in_flight` are those that have not.
        unknown: those charged at their worst case, as their use is not known.
        wasted: answers that were paid for and decide nothing: late ones, and second ones.
        bad: answers that were not usable.
        unpriced: billed attempts of which nobody knows the cost, so that the money leaves them out.
        attempts_nanos: what all attempts cost, added up.
        batch_nanos: what the batch says that it has spent.
        batches_nanos: what all batches of the project say.
        ledger_nanos: what the project's ledger says; it is not kept by batch.
        reserved_nanos: what the batch has set aside for calls in flight.
        is_ledger_read: whether the ledger's days were compared with all of the project's attempts; of
            a very large project they are not.
        native_batches: how many native batches were made of it.
        unexpected_lines: lines of their results that were nobody's, or came a second time.
        violations: what does not agree; none if the batch balances.
    """

    state: str
    accepted: int
    finished: int
    lost: int
    attempts: dict[str, int]
    unknown: Charged
    wasted: Charged
    bad: Charged
    unpriced: int
    attempts_nanos: int
    batch_nanos: int
    batches_nanos: int
    ledger_nanos: int
    reserved_nanos: int
    is_ledger_read: bool
    native_batches: int
    unexpected_lines: int
    violations: list[Violation]

    @property
    def waiting(self) -> int:
        """Accepted jobs that have no result yet, and will have one."""
        return self.accepted - self.finished - self.lost


def balance(session: Session, batch: Batch) -> Balance:
    """Count and add up everything of a batch, and the books of its project.

    Args:
        session: a transaction of `Database.snapshot`, in which the batch was read. It takes some
            seconds per million jobs, and a second or two per million attempts of the project.
        batch: the batch, as it was read there.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Compiling these statements takes PostgreSQL longer than it saves with a million rows.
        session.connection().execute(text("SET LOCAL jit = off"))
    results, jobs = result_counts(session, batch), job_counts(session, batch)
    slices = slice_counts(session, batch)
    cache_saved = saved_by_cache(session, batch)
    groups = groups_of_batch(session, batch, cache_saved)
    natives = native_counts(session, batch)
    finished = sum(results.by_status.values())
    is_final = batch.state in FINAL_BATCH_STATES
    lost = batch.total_jobs - finished if is_final else lost_in_slices(session, batch)
    is_ledger_read = is_readable(session, batch.project_id)
    batches_nanos, ledger_nanos = money_of_project(session, batch.project_id)
    violations = [
        *balance_rules.of_state(batch, slices, results),
        *balance_rules.of_jobs(batch, jobs, lost),
        *balance_rules.of_slices(batch, slices),
        *balance_rules.of_results(batch, results, groups),
        *balance_rules.of_attempts(groups, skipped_numbers(session, batch)),
        *balance_rules.of_totals(batch, groups),
        *(() if cache_saved is None else balance_rules.of_caches(batch, groups)),
        *native_violations(batch, natives),
        *balance_rules.of_money(ledger_nanos, batches_nanos),
        *balance_rules.of_ledgers_caches(*cache_savings_of_project(session, batch.project_id)),
    ]
    if is_ledger_read:
        everything = [*groups, *groups_of_others(session, batch)]
        violations += project_violations(session, batch.project_id, everything)
    return Balance(
        state=batch.state,
        accepted=batch.total_jobs,
        finished=finished,
        lost=lost,
        attempts=_by_outcome(groups),
        unknown=charged(groups, lambda group: group.is_unknown),
        wasted=charged(groups, lambda group: group.is_wasted),
        bad=charged(groups, lambda group: group.is_bad),
        unpriced=charged(groups, lambda group: group.is_unpriced).attempts,
        attempts_nanos=sum(group.cost_nanos for group in groups),
        batch_nanos=batch.spent_nanos,
        batches_nanos=batches_nanos,
        ledger_nanos=ledger_nanos,
        reserved_nanos=batch.reserved_nanos,
        is_ledger_read=is_ledger_read,
        native_batches=natives.batches,
        unexpected_lines=natives.unexpected,
        violations=violations,
    )


def _by_outcome(groups: Iterable[AttemptGroup]) -> dict[str, int]:
    """Return how many attempts ended how, also in a newer version's words."""
    counts = {**{outcome.value: 0 for outcome in Outcome}, "in_flight": 0}
    for group in groups:
        outcome = group.outcome or "in_flight"
        counts[outcome] = counts.get(outcome, 0) + group.attempts
    return counts
