"""Looking attempts up by their keys, some hundred to a statement."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, and_, tuple_
from sqlmodel import col

from jobs.tables import Attempt

AttemptKey = tuple[int, int, int]
"""batch_id, seq, n"""

KEY = (col(Attempt.batch_id), col(Attempt.seq), col(Attempt.n))

KEYS_PER_STATEMENT = 300


def by_key(keys: Sequence[AttemptKey]) -> Iterator[ColumnElement[bool]]:
    """Yield conditions, each for a statement of its own, that together find the attempts of `keys`.

    Of one batch each, and with the jobs by themselves: of keys alone SQLite reads the whole table.
    """
    by_batch: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for batch_id, seq, n in keys:
        by_batch[batch_id].append((seq, n))
    for batch_id, calls in by_batch.items():
        for start in range(0, len(calls), KEYS_PER_STATEMENT):
            some = calls[start : start + KEYS_PER_STATEMENT]
            yield and_(
                col(Attempt.batch_id) == batch_id,
                col(Attempt.seq).in_({seq for seq, _ in some}),
                tuple_(col(Attempt.seq), col(Attempt.n)).in_(some),
            )
