"""Looking attempts up by their keys, some hundred to a statement."""

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, tuple_
from sqlmodel import col

from jobs.tables import Attempt

AttemptKey = tuple[int, int, int]
"""batch_id, seq, n"""

KEY = (col(Attempt.batch_id), col(Attempt.seq), col(Attempt.n))

KEYS_PER_STATEMENT = 300


def by_key(keys: Sequence[AttemptKey]) -> Iterator[ColumnElement[bool]]:
    """Yield conditions, each for a statement of its own, that together find the attempts of `keys`."""
    for start in range(0, len(keys), KEYS_PER_STATEMENT):
        yield tuple_(*KEY).in_(keys[start : start + KEYS_PER_STATEMENT])
