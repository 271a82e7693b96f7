"""The proof that nothing of a batch is missing: its rows counted and added up, beside its totals.

Reads one state of the database without locking anything. All adding up is the database's.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, case, func, or_, select
from sqlmodel import Session, col

from jobs.exchange import Usage
from jobs.states import BILLED_OUTCOMES, FINAL_BATCH_STATES, Outcome, ResultStatus
from jobs.store.unknown import UNKNOWN_USE
from jobs.tables import Attempt, Batch, Job, LedgerDay, Result

TOKENS = Usage.__struct_fields__


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that must never be. `count` is how often, or by how much."""

    code: str
    count: int
    message: str


@dataclass(frozen=True, slots=True)
class Charged:
    """Some attempts and what they are charged."""

    attempts: int
    cost_nanos: int


@dataclass(frozen=True, slots=True)
class Balance:
    """What a batch's rows say, and whether its totals and the ledger say the same.

    Attributes:
        state: where the batch stands.
        accepted: jobs that were accepted.
        finished: of those, how many have their result.
        doubled: results that the batch counts more than there are.
        attempts: how many ended how; `in_flight` are those that have not.
        unknown: those charged at their worst case, as their use is not known.
        wasted: answers that were paid for and decide nothing: late ones, and second ones.
        unpriced: billed attempts of which nobody knows the cost, so that the money leaves them out.
        attempts_nanos: what all attempts cost, added up.
        batch_nanos: what the batch says that it has spent.
        batches_nanos: what all batches of the project say.
        ledger_nanos: what the project's ledger says; it is not kept by batch.
        reserved_nanos: what the batch has set aside for calls in flight.
        violations: what does not agree; none if the batch balances.
    """

    state: str
    accepted: int
    finished: int
    doubled: int
    attempts: dict[str, int]
    unknown: Charged
    wasted: Charged
    unpriced: int
    attempts_nanos: int
    batch_nanos: int
    batches_nanos: int
    ledger_nanos: int
    reserved_nanos: int
    violations: list[Violation]

    @property
    def is_final(self) -> bool:
        """Whether the batch has ended, so that nothing may be open."""
        return self.state in FINAL_BATCH_STATES

    @property
    def open_jobs(self) -> int:
        """Accepted jobs without a result: waiting while the batch is at work, lost when it ended."""
        return self.accepted - self.finished


def balance(session: Session, batch: Batch) -> Balance:
    """Count and add up everything of a batch.

    Args:
        session: a transaction of `Database.snapshot`, in which the batch was read. It takes about a
            second per million attempts.
        batch: the batch, as it was read there.
    """
    results = _results(session, batch)
    jobs = _execute(session, select(func.count()).where(col(Job.batch_id) == batch.id))[0][0]
    attempts = _Attempts(session, batch)
    batches_nanos, ledger_nanos = _project(session, batch)
    finished = sum(results.values())
    found = Balance(
        state=batch.state,
        accepted=batch.total_jobs,
        finished=finished,
        doubled=max(0, batch.finished_jobs - finished),
        attempts=attempts.by_outcome,
        unknown=attempts.unknown,
        wasted=attempts.wasted,
        unpriced=attempts.unpriced,
        attempts_nanos=attempts.cost_nanos,
        batch_nanos=batch.spent_nanos,
        batches_nanos=batches_nanos,
        ledger_nanos=ledger_nanos,
        reserved_nanos=batch.reserved_nanos,
        violations=[],
    )
    found.violations.extend(_violations(batch, found, jobs, results, attempts))
    return found


def _violations(
    batch: Batch, found: Balance, jobs: int, results: dict[str, int], attempts: "_Attempts"
) -> list[Violation]:
    """Compare every total with what it is the total of."""
    differences = {
        "missing_jobs": (found.accepted - jobs, "{:,} accepted jobs are not there"),
        "doubled_results": (found.doubled, "{:,} results are counted more than once"),
        **{
            f"miscounted_{status}": (
                getattr(batch, status) - results[status],
                f"the batch counts {{:+,}} {status} jobs beside its results",
            )
            for status in ResultStatus
        },
        "unbacked_results": (attempts.unbacked, "{:,} answers have no call that gave them"),
        "miscounted_unknown": (
            batch.unknown_attempts - attempts.unknown.attempts,
            "the batch counts {:+,} unknown attempts beside its attempts",
        ),
        "miscounted_in_flight": (
            batch.in_flight - attempts.by_outcome["in_flight"],
            "the batch counts {:+,} calls in flight beside its attempts",
        ),
        **{
            f"drift_{name}": (
                getattr(batch, name) - attempts.tokens[name],
                f"the batch has {{:+,}} {name} beside its attempts",
            )
            for name in TOKENS
        },
        "drift_batch": (
            found.batch_nanos - found.attempts_nanos,
            "the batch has spent {:+,} nano-dollars beside its attempts",
        ),
        "drift_ledger": (
            found.ledger_nanos - found.batches_nanos,
            "the project's ledger has {:+,} nano-dollars beside its batches",
        ),
        "drift_reserved": (
            found.reserved_nanos - attempts.reserved_nanos,
            "the batch has reserved {:+,} nano-dollars beside its calls in flight",
        ),
    }
    if found.is_final:
        differences |= {
            "lost_jobs": (found.open_jobs, "{:,} jobs have no result, and the batch has ended"),
            "open_attempts": (
                attempts.by_outcome["in_flight"],
                "{:,} calls are open, and the batch has ended",
            ),
            "reserved": (
                found.reserved_nanos,
                "{:,} nano-dollars are reserved, and the batch has ended",
            ),
        }
    return [
        Violation(code, count, sentence.format(count))
        for code, (count, sentence) in differences.items()
        if count
    ]


def _results(session: Session, batch: Batch) -> dict[str, int]:
    """Return how many accepted jobs have a result of each status."""
    rows = _execute(
        session,
        select(col(Result.status), func.count())
        .join(Job, (col(Job.batch_id) == batch.id) & (col(Job.seq) == col(Result.seq)))
        .where(col(Result.batch_id) == batch.id)
        .group_by(col(Result.status)),
    )
    return dict.fromkeys(ResultStatus, 0) | {status: int(count) for status, count in rows}


class _Attempts:
    """A batch's attempts, added up."""

    def __init__(self, session: Session, batch: Batch) -> None:
        rows = [row._mapping for row in _execute(session, _sums(batch))]

        def total(name: str) -> int:
            return sum(int(row[name] or 0) for row in rows)

        counts = {row["outcome"]: int(row["attempts"]) for row in rows}
        self.by_outcome = {outcome.value: counts.get(outcome, 0) for outcome in Outcome}
        self.by_outcome["in_flight"] = counts.get(None, 0)
        self.unknown = Charged(total("unknown"), total("unknown_nanos"))
        self.wasted = Charged(total("wasted"), total("wasted_nanos"))
        self.unpriced = total("unpriced")
        self.cost_nanos = total("cost_nanos")
        self.reserved_nanos = total("reserved_nanos")
        self.tokens = {name: total(name) for name in TOKENS}
        answers = _execute(
            session,
            select(func.count()).where(
                col(Result.batch_id) == batch.id,
                col(Result.status) == ResultStatus.SUCCEEDED,
                col(Result.source) == "live",
            ),
        )
        self.unbacked = int(answers[0][0]) - total("deciding")


def _sums(batch: Batch) -> Any:
    """Return the statement that adds up a batch's attempts by their outcome, in one pass."""
    outcome, cost = col(Attempt.outcome), func.coalesce(Attempt.cost_nanos, 0)
    decided = col(Result.attempt) == col(Attempt.n)
    succeeded = outcome == Outcome.SUCCEEDED
    is_wasted = and_(
        succeeded, or_(col(Result.seq).is_(None), func.coalesce(decided, False).is_(False))
    )
    is_unknown = and_(outcome.is_not(None), UNKNOWN_USE)
    is_unpriced = and_(
        col(Attempt.cost_nanos).is_(None),
        or_(outcome.in_(BILLED_OUTCOMES), col(Attempt.input_tokens).is_not(None)),
    )
    gave_answer = and_(succeeded, decided, col(Result.status) == ResultStatus.SUCCEEDED)
    figures = {
        "attempts": func.count(),
        "cost_nanos": func.sum(cost),
        "reserved_nanos": _total(outcome.is_(None), col(Attempt.reserved_nanos)),
        "unknown": _total(is_unknown, 1),
        "unknown_nanos": _total(is_unknown, cost),
        "wasted": _total(is_wasted, 1),
        "wasted_nanos": _total(is_wasted, cost),
        "unpriced": _total(is_unpriced, 1),
        "deciding": _total(gave_answer, 1),
        **{name: func.sum(func.coalesce(getattr(Attempt, name), 0)) for name in TOKENS},
    }
    return (
        select(outcome.label("outcome"), *(figure.label(name) for name, figure in figures.items()))
        .select_from(Attempt)
        .outerjoin(
            Result, (col(Result.batch_id) == batch.id) & (col(Result.seq) == col(Attempt.seq))
        )
        .where(col(Attempt.batch_id) == batch.id)
        .group_by(outcome)
    )


def _total(condition: Any, value: Any) -> Any:
    return func.sum(case((condition, value), else_=0))


def _project(session: Session, batch: Batch) -> tuple[int, int]:
    """Return what the batches of a batch's project have spent, and what its ledger says."""
    spent = select(func.sum(Batch.spent_nanos)).where(col(Batch.project_id) == batch.project_id)
    booked = select(func.sum(LedgerDay.cost_nanos)).where(
        col(LedgerDay.project_id) == batch.project_id
    )
    return int(_execute(session, spent)[0][0] or 0), int(_execute(session, booked)[0][0] or 0)


def _execute(session: Session, statement: Any) -> Any:
    return session.connection().execute(statement).all()
