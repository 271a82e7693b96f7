"""The totals of batches, while a transaction holds their locks: read, added to, and written back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import bindparam, select, update
from sqlmodel import Session, col

from jobs.tables import Batch


@dataclass(slots=True)
class Tally:
    """What a flush reads of a batch and adds to: plain numbers, written back at the end."""

    state: str
    pause_cause: str | None
    waiting_for: str | None
    needed_nanos: int | None
    no_room_since: datetime | None
    in_flight: int
    reserved_nanos: int
    spent_nanos: int
    unknown_attempts: int
    unpriced_jobs: int
    bad_answers: int
    bad_nanos: int
    cache_saved_nanos: int | None
    lane_saved_nanos: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    max_cost_nanos: int | None
    is_live: bool

    @property
    def finished_jobs(self) -> int:
        """How many results there are: also the position of the newest."""
        return self.succeeded + self.failed + self.cancelled + self.expired


_TALLIED = tuple(field.name for field in fields(Tally))
_WRITTEN_BACK = tuple(name for name in _TALLIED if name not in {"max_cost_nanos", "is_live"})

# Built once: putting a statement together costs more than running it.
_LOCK_BATCHES = (
    select(col(Batch.id), *(getattr(Batch, name) for name in _TALLIED))
    .where(col(Batch.id).in_(bindparam("ids", expanding=True)))
    .order_by(col(Batch.id))
    .with_for_update()
)
_WRITE_BATCH = (
    update(Batch)
    .where(col(Batch.id) == bindparam("batch_id"))
    .values({name: bindparam(f"new_{name}") for name in _WRITTEN_BACK})
)


def lock_tallies(session: Session, batch_ids: Iterable[int]) -> dict[int, Tally]:
    """Lock batches in the order of their ids, so that two of us can't deadlock; return their totals."""
    rows = session.connection().execute(_LOCK_BATCHES, {"ids": list(batch_ids)})
    return {row[0]: Tally(*row[1:]) for row in rows}


def write_tallies(session: Session, tallies: Mapping[int, Tally]) -> None:
    """Write the totals of locked batches, by their ids; at least one."""
    session.connection().execute(
        _WRITE_BATCH,
        [
            {"batch_id": batch_id} | {f"new_{name}": getattr(tally, name) for name in _WRITTEN_BACK}
            for batch_id, tally in tallies.items()
        ],
    )
