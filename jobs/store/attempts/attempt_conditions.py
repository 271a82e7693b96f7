"""What is said of an attempt by its columns, in SQL."""

from sqlalchemy import func
from sqlmodel import col

from jobs.states import BLAMELESS, COUNTED_OUTCOMES, USAGE_MISSING, Outcome
from jobs.tables import Attempt

_CODE = func.coalesce(col(Attempt.error_code), "")
_ANSWERED = col(Attempt.outcome) == Outcome.SUCCEEDED
_IS_LEARNED = col(Attempt.reconciled_at).is_not(None)

COUNTS = (col(Attempt.outcome).in_(COUNTED_OUTCOMES) | (_ANSWERED & _IS_LEARNED)) & _CODE.not_in(
    BLAMELESS
)
"""It uses up one of its job's. One whose answer was lost does so even if it is known by now what it cost."""

IS_BAD = _ANSWERED & ~_IS_LEARNED & _CODE.not_in({"", USAGE_MISSING})
"""It was answered, and the answer was not usable: `jobs.states.is_bad_answer`, in SQL."""
