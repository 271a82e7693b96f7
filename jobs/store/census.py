"""How much of everything there is, over all projects: for whoever runs the whole, in few statements."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlmodel import Session, col

from jobs.states import SliceState
from jobs.store.engine.database import now
from jobs.store.workers import ALIVE
from jobs.tables import Batch, LedgerDay, Slice, Worker

UNDONE = tuple(state for state in SliceState if state is not SliceState.DONE)


@dataclass(frozen=True, slots=True)
class LedgerTotal:
    """What was booked of a pool's model with one outcome, since the beginning."""

    provider: str
    pool: str
    model: str
    outcome: str
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_nanos: int


@dataclass(frozen=True, slots=True)
class Census:
    """Sums of what is not finished, and of what was booked.

    `slices` are by queue and state, `batches` by state; the calls in flight and the reserved money
    are those of unfinished batches.
    """

    slices: Sequence[tuple[str, str, int]]
    batches: Sequence[tuple[str, int]]
    in_flight: int
    reserved_nanos: int
    workers: int
    slots: int
    ledger: Sequence[LedgerTotal]


def take_census(session: Session) -> Census:
    """Return it, from a read transaction; what is finished is not looked at, but for the ledger's days."""
    connection = session.connection()
    slices = connection.execute(
        select(col(Slice.queue), col(Slice.state), func.count())
        .where(col(Slice.state).in_(UNDONE))
        .group_by(col(Slice.queue), col(Slice.state))
    )
    batches = connection.execute(
        select(
            col(Batch.state),
            func.count(),
            func.coalesce(func.sum(Batch.in_flight), 0),
            func.coalesce(func.sum(Batch.reserved_nanos), 0),
        )
        .where(col(Batch.finished_at).is_(None))
        .group_by(col(Batch.state))
    ).all()
    workers, slots = connection.execute(
        select(func.count(), func.coalesce(func.sum(Worker.slots), 0)).where(
            col(Worker.seen_at) > now(session) - ALIVE
        )
    ).one()
    return Census(
        slices=[(queue, state, int(count)) for queue, state, count in slices],
        batches=[(row[0], int(row[1])) for row in batches],
        in_flight=sum(int(row[2]) for row in batches),
        reserved_nanos=sum(int(row[3]) for row in batches),
        workers=int(workers),
        slots=int(slots),
        ledger=_ledger(session),
    )


def _ledger(session: Session) -> list[LedgerTotal]:
    words = (LedgerDay.provider, LedgerDay.pool, LedgerDay.model, LedgerDay.outcome)
    sums = (
        LedgerDay.attempts,
        LedgerDay.input_tokens,
        LedgerDay.cached_input_tokens,
        LedgerDay.cache_write_tokens,
        LedgerDay.output_tokens,
        LedgerDay.cost_nanos,
    )
    groups = [col(word) for word in words]
    rows = session.connection().execute(
        select(*groups, *(func.sum(amount) for amount in sums)).group_by(*groups)
    )
    return [LedgerTotal(*row[:4], *map(int, row[4:])) for row in rows]
