"""Attempts of unknown use: no answer came, or one without a credible usage.

They are charged at their worst case, and the batch counts them, until the provider's own account
tells what it billed (`settlement.reconcile`).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select, tuple_, update
from sqlmodel import Session, col

from jobs.exchange import Usage
from jobs.states import Outcome
from jobs.store.spending import KEYS_PER_QUERY, AttemptKey
from jobs.tables import Attempt

UNKNOWN_USE: ColumnElement[bool] = or_(
    col(Attempt.outcome) == Outcome.UNKNOWN,
    and_(col(Attempt.input_tokens).is_(None), col(Attempt.cost_nanos).is_not(None)),
)
"""Whether a settled attempt's use is unknown, in SQL: what `Batch.unknown_attempts` counts.

Never null where the outcome is not.
"""


def has_unknown_use(outcome: Outcome, usage: Usage | None, cost_nanos: int | None) -> bool:
    """Return the same of an attempt that ended so."""
    return outcome == Outcome.UNKNOWN or (usage is None and cost_nanos is not None)


def is_unknown(attempt: Attempt) -> bool:
    """Return the same of a row."""
    return attempt.outcome == Outcome.UNKNOWN or (
        attempt.input_tokens is None and attempt.cost_nanos is not None
    )


def attempts_by_key(session: Session, keys: Sequence[AttemptKey]) -> dict[AttemptKey, Attempt]:
    """Return attempts by their keys; the caller holds their batches' locks."""
    key = (col(Attempt.batch_id), col(Attempt.seq), col(Attempt.n))
    found: dict[AttemptKey, Attempt] = {}
    for start in range(0, len(keys), KEYS_PER_QUERY):
        some = keys[start : start + KEYS_PER_QUERY]
        for attempt in session.execute(select(Attempt).where(tuple_(*key).in_(some))).scalars():
            found[attempt.batch_id, attempt.seq, attempt.n] = attempt
    return found


def mark_reconciled(session: Session, keys: Sequence[AttemptKey], moment: datetime) -> None:
    """Note when attempts were reconciled with the provider's account."""
    key = (col(Attempt.batch_id), col(Attempt.seq), col(Attempt.n))
    for start in range(0, len(keys), KEYS_PER_QUERY):
        some = keys[start : start + KEYS_PER_QUERY]
        session.connection().execute(
            update(Attempt).where(tuple_(*key).in_(some)).values(reconciled_at=moment)
        )
