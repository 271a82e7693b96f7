"""What must hold of native batches in the end: the provider's own account is the judge, line by line."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from sqlmodel import select

from jobs.lanes import custom_id
from jobs.states import NativeState, Outcome
from jobs.store import Database
from jobs.store.proof.balance import balance
from jobs.tables import Attempt, Batch, NativeBatch
from tests.support.crash_judge import everything_is_done


def all_is_well(database: Database, rows: list[dict[str, Any]]) -> None:
    """Assert that every job has its one result, and every line that the provider billed its attempt."""
    everything_is_done(database)
    with database.snapshot() as session:
        for batch in session.exec(select(Batch)):
            assert balance(session, batch).violations == []
        natives = {row.id: row for row in session.exec(select(NativeBatch))}
        attempts = list(session.exec(select(Attempt)))
    for row in natives.values():
        is_nowhere = row.state == NativeState.LOST and row.remote_id is None
        assert row.state == NativeState.ENDED or is_nowhere, row
    every_line_is_booked(natives, attempts, rows)


def every_line_is_booked(
    natives: Mapping[int | None, NativeBatch],
    attempts: list[Attempt],
    rows: list[dict[str, Any]],
) -> None:
    """Assert that what was billed is what is booked, line by line, and nothing besides it."""
    booked: dict[tuple[str | None, str], Attempt] = {}
    for made in attempts:
        of = natives[made.native_id]
        booked[of.remote_id, custom_id(of.ref, made.seq, made.n)] = made
    billed_nanos: dict[tuple[str | None, str], int] = defaultdict(int)
    for row in rows:
        billed_nanos[row["batch"], row["line_id"]] += row["cost_nanos"]
    assert billed_nanos.keys() <= booked.keys(), "a line was billed that nobody knows"
    for name, made in booked.items():
        assert made.outcome != Outcome.UNKNOWN, "all that the provider has done it has told"
        assert (made.cost_nanos or 0) == billed_nanos[name], name
