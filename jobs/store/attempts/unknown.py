"""Attempts of unknown use: no answer came, or one without a credible usage.

They are charged at their worst case, and the batch counts them, until the provider's own account
tells what it billed (`settlement.reconcile`).
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlmodel import Session, col

from jobs.states import Outcome
from jobs.store.attempts.attempt_keys import AttemptKey, by_key
from jobs.tables import Attempt

UNKNOWN_USE: ColumnElement[bool] = or_(
    col(Attempt.outcome) == Outcome.UNKNOWN,
    and_(col(Attempt.input_tokens).is_(None), col(Attempt.cost_nanos).is_not(None)),
)
"""Whether a settled attempt's use is unknown, in SQL: what `Batch.unknown_attempts` counts.

Never null where the outcome is not.
"""


def has_unknown_use(outcome: str, cost_nanos: int | None, *, has_usage: bool) -> bool:
    """Return the same of an attempt that ended so, also by a word of a newer version's."""
    return outcome == Outcome.UNKNOWN or (not has_usage and cost_nanos is not None)


def attempts_by_key(session: Session, keys: Sequence[AttemptKey]) -> dict[AttemptKey, Attempt]:
    """Return attempts by their keys; the caller holds their batches' locks."""
    return {
        (attempt.batch_id, attempt.seq, attempt.n): attempt
        for are_those in by_key(keys)
        for attempt in session.execute(select(Attempt).where(are_those)).scalars()
    }


def mark_reconciled(session: Session, keys: Sequence[AttemptKey], moment: datetime) -> None:
    """Note when attempts were reconciled with the provider's account."""
    for are_those in by_key(keys):
        session.connection().execute(update(Attempt).where(are_those).values(reconciled_at=moment))
