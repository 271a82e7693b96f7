"""Attempts, read by the page: for people, and by ranges of jobs for comparing them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, tuple_
from sqlmodel import Session, col

from jobs.exchange import Usage
from jobs.states import Outcome
from jobs.store.attempts.unknown import UNKNOWN_USE, has_unknown_use
from jobs.tables import Attempt, Job


@dataclass(frozen=True, slots=True)
class AttemptDetail:
    """An attempt with its job's name. `cost_nanos` and the rest as in `jobs.tables.Attempt`."""

    seq: int
    n: int
    custom_id: str
    provider: str
    pool: str
    model: str
    price: str | None
    sent_at: datetime
    outcome: str | None
    reserved_nanos: int
    cost_nanos: int | None
    latency_ms: int | None
    error_code: str | None
    reconciled_at: datetime | None
    usage: Usage | None

    @property
    def is_unknown(self) -> bool:
        """Whether its use is not known, so that it is charged at its worst case."""
        return self.outcome is not None and has_unknown_use(
            self.outcome, self.cost_nanos, has_usage=self.usage is not None
        )


_PLAIN = (
    "seq",
    "n",
    "provider",
    "pool",
    "model",
    "price",
    "sent_at",
    "outcome",
    "reserved_nanos",
    "cost_nanos",
    "latency_ms",
    "error_code",
    "reconciled_at",
)


def attempt_page(
    session: Session,
    batch_id: int,
    *,
    outcome: Outcome | None,
    after: tuple[int, int],
    limit: int,
) -> list[AttemptDetail]:
    """Return attempts after a cursor, by job and number.

    Args:
        session: a read transaction.
        batch_id: a batch that the caller may see.
        outcome: only those that ended so; `unknown` are all whose use is not known, the answers
            without a credible usage among them, as the batch counts them.
        after: seq and n of the last that was seen; (-1, 0) to begin.
        limit: rows at most.
    """
    conditions: list[ColumnElement[bool]] = [tuple_(col(Attempt.seq), col(Attempt.n)) > after]
    if outcome is Outcome.UNKNOWN:
        conditions.append(UNKNOWN_USE)
    elif outcome is not None:
        conditions.append(col(Attempt.outcome) == outcome)
    return _read(session, _select(batch_id, conditions).limit(limit))


def attempts_of_jobs(
    session: Session, batch_id: int, first_seq: int, last_seq: int
) -> list[AttemptDetail]:
    """Return all attempts of a range of jobs, by job and number."""
    return _read(session, _select(batch_id, [col(Attempt.seq).between(first_seq, last_seq)]))


def providers_of(session: Session, batch_id: int) -> list[str]:
    """Return the providers that a batch's attempts were made at, by name."""
    called = select(col(Attempt.provider)).where(col(Attempt.batch_id) == batch_id).distinct()
    return sorted(session.connection().execute(called).scalars())


def _select(batch_id: int, conditions: Sequence[ColumnElement[bool]]) -> Any:
    # Asked for each row that is returned: of a join PostgreSQL makes all before it takes the first hundred.
    custom_id = (
        select(col(Job.custom_id))
        .where(col(Job.batch_id) == batch_id, col(Job.seq) == col(Attempt.seq))
        .scalar_subquery()
    )
    return (
        select(
            custom_id,
            *(col(getattr(Attempt, name)) for name in (*_PLAIN, *Usage.__struct_fields__)),
        )
        .where(col(Attempt.batch_id) == batch_id, *conditions)
        .order_by(col(Attempt.seq), col(Attempt.n))
    )


def _read(session: Session, statement: Any) -> list[AttemptDetail]:
    return [
        AttemptDetail(
            custom_id=custom_id,
            usage=None if rest[len(_PLAIN)] is None else Usage(*rest[len(_PLAIN) :]),
            **dict(zip(_PLAIN, rest[: len(_PLAIN)], strict=True)),
        )
        for custom_id, *rest in session.connection().execute(statement)
    ]
