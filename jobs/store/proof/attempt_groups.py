"""A batch's and a project's attempts, added up by what the proof of completeness tells apart.

One pass over the attempts of the batch, and one over those of the project's other batches: whatever is
asked of attempts is answered from these sums.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import case, false, func, literal, select
from sqlmodel import Session, col

from jobs.states import BILLED_OUTCOMES, Outcome, ResultStatus
from jobs.store.attempts.attempt_conditions import IS_BAD
from jobs.store.engine.wide_sums import sum_of_possible
from jobs.store.proof.attempt_faults import (
    HAS_COST,
    HAS_USAGE,
    IS_RECONCILED,
    TOKENS,
    Fault,
    fault_of,
)
from jobs.tables import Attempt, Batch, BigInt, Part, Result

_STATUSES = tuple(ResultStatus)


@dataclass(frozen=True, slots=True)
class Charged:
    """Some attempts and what they are charged."""

    attempts: int
    cost_nanos: int


@dataclass(frozen=True, slots=True)
class AttemptGroup:
    """Attempts that are alike, and their sums.

    Attributes:
        sent_on: the (UTC) day on which they were journaled.
        provider: and `pool` and `model`: whom they called.
        outcome: how they ended, an `Outcome` or a newer version's word; None while in flight.
        has_usage: whether their use is known.
        has_cost: whether they are charged anything.
        is_reconciled: whether the provider's account has told how they ended.
        is_bad: whether they brought answers that were not usable.
        is_part: whether they brought the outputs of parts.
        decides: the status of their jobs' results, of attempts that decided these.
        fault: what is wrong with the rows themselves.
        attempts: how many there are.
        reserved_nanos: what was set aside for them.
        cost_nanos: what they are charged.
        tokens: their five counts, in the order of `Usage`.
        cache_saved_nanos: what prompt caches saved of them, where that is added up.
    """

    sent_on: date
    provider: str
    pool: str
    model: str
    outcome: str | None
    has_usage: bool
    has_cost: bool
    is_reconciled: bool
    is_bad: bool
    is_part: bool
    decides: ResultStatus | None
    fault: Fault
    attempts: int
    reserved_nanos: int
    cost_nanos: int
    tokens: tuple[int, ...]
    cache_saved_nanos: int = 0

    @property
    def is_unknown(self) -> bool:
        """Whether they are charged at their worst case, as `unknown.has_unknown_use` says."""
        return self.outcome == Outcome.UNKNOWN or (
            self.outcome is not None and self.has_cost and not self.has_usage
        )

    @property
    def is_unpriced(self) -> bool:
        """Whether they were billed, or may be, and nobody knows what."""
        return not self.has_cost and (self.outcome in BILLED_OUTCOMES or self.has_usage)

    @property
    def is_wasted(self) -> bool:
        """Whether they were paid for and decide nothing: late answers, and second ones."""
        is_used = self.decides is not None or self.is_bad or self.is_part
        return self.outcome == Outcome.SUCCEEDED and not is_used


def groups_of_batch(
    session: Session, batch: Batch, cache_saved: Any | None = None
) -> list[AttemptGroup]:
    """Return a batch's attempts, added up; each row has been looked at for faults.

    `cache_saved` is the expression of what prompt caches saved of one (`cache_savings`).
    """
    decides = case(
        *(
            ((col(Result.attempt) == col(Attempt.n)) & (col(Result.status) == status), number)
            for number, status in enumerate(_STATUSES, start=1)
        ),
        else_=0,
    )
    joined = (
        _sums(session, decides, fault_of(session, batch), col(Part.no).is_not(None), cache_saved)
        .outerjoin(
            Part,
            (col(Part.batch_id) == batch.id)
            & (col(Part.seq) == col(Attempt.seq))
            & (col(Part.attempt) == col(Attempt.n)),
        )
        .outerjoin(
            Result, (col(Result.batch_id) == batch.id) & (col(Result.seq) == col(Attempt.seq))
        )
        .where(col(Attempt.batch_id) == batch.id)
    )
    return list(_read(session, joined))


def groups_of_others(session: Session, batch: Batch) -> list[AttemptGroup]:
    """Return the attempts of the other batches of a batch's project, added up and not looked at."""
    others = select(col(Batch.id)).where(
        col(Batch.project_id) == batch.project_id, col(Batch.id) != batch.id
    )
    statement = _sums(session, literal(0), literal(Fault.NONE.value), false())
    return list(_read(session, statement.where(col(Attempt.batch_id).in_(others))))


def skipped_numbers(session: Session, batch: Batch) -> int:
    """Return how many attempts come after one that their job doesn't have: numbers have no gaps."""
    earlier = Attempt.__table__.alias("earlier")  # type: ignore[attr-defined]  # SQLModel sets it, untyped
    skipped = select(func.count()).where(
        col(Attempt.batch_id) == batch.id,
        col(Attempt.n) > 1,
        ~select(literal(1))
        .where(
            earlier.c.batch_id == col(Attempt.batch_id),
            earlier.c.seq == col(Attempt.seq),
            earlier.c.n == col(Attempt.n) - 1,
        )
        .exists(),
    )
    return int(session.connection().execute(skipped).scalar_one())


def _sums(
    session: Session, decides: Any, fault: Any, is_part: Any, cache_saved: Any | None = None
) -> Any:
    """Return the statement that adds attempts up, to be narrowed to some of them.

    What is told apart by an expression is one number: of several PostgreSQL expects so many groups
    that it sorts all attempts instead of keeping the sums in a table.
    """
    keys = (
        _day_sent(session),
        col(Attempt.provider),
        col(Attempt.pool),
        col(Attempt.model),
        col(Attempt.outcome),
        _as_bit(HAS_USAGE, 1)
        + _as_bit(HAS_COST, 2)
        + _as_bit(IS_RECONCILED, 4)
        + _as_bit(IS_BAD, 8)
        + _as_bit(is_part, 16)
        + decides * literal(32)
        + fault * literal(256),
    )
    named = [key.label(f"key_{number}") for number, key in enumerate(keys)]
    figures = (
        col(Attempt.reserved_nanos),
        col(Attempt.cost_nanos),
        literal(0, BigInt) if cache_saved is None else cache_saved,
        *TOKENS,
    )
    totals = map(sum_of_possible, figures)
    return (
        select(*named, func.count(), *totals)
        .select_from(Attempt)
        .group_by(*(key.name for key in named))
    )


def _as_bit(condition: Any, bit: int) -> Any:
    return case((condition, bit), else_=0)


def _day_sent(session: Session) -> Any:
    """Return the day (UTC) of an attempt, as ISO 8601 writes it."""
    if session.get_bind().dialect.name == "sqlite":
        return func.substr(col(Attempt.sent_at), 1, 10)
    return func.date(func.timezone("UTC", col(Attempt.sent_at)))


def _read(session: Session, statement: Any) -> Iterator[AttemptGroup]:
    for row in session.connection().execute(statement):
        sent_on, provider, pool, model, outcome, facts, attempts = row[:7]
        reserved_nanos, cost_nanos, cache_saved_nanos, *tokens = row[7:]
        decides = facts // 32 % 8
        yield AttemptGroup(
            sent_on=date.fromisoformat(str(sent_on)),
            provider=provider,
            pool=pool,
            model=model,
            outcome=outcome,
            has_usage=bool(facts & 1),
            has_cost=bool(facts & 2),
            is_reconciled=bool(facts & 4),
            is_bad=bool(facts & 8),
            is_part=bool(facts & 16),
            decides=_STATUSES[decides - 1] if decides else None,
            fault=Fault(facts // 256),
            attempts=int(attempts),
            reserved_nanos=int(reserved_nanos),
            cost_nanos=int(cost_nanos),
            tokens=tuple(map(int, tokens)),
            cache_saved_nanos=int(cache_saved_nanos),
        )


def charged(groups: Iterable[AttemptGroup], condition: Callable[[AttemptGroup], bool]) -> Charged:
    """Return those attempts that a condition holds of."""
    some = [group for group in groups if condition(group)]
    attempts = sum(group.attempts for group in some)
    return Charged(attempts, sum(group.cost_nanos for group in some))
