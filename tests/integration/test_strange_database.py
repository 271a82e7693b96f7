"""A PostgreSQL that works, and not as it did: read-only after a failover, or without statistics."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import event, text

from jobs.errors import ServiceUnavailable
from jobs.states import Outcome, ResultStatus
from jobs.store import Database, check_schema, open_database
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.batches.jobs import SliceRange, has_open_jobs, open_jobs
from jobs.store.leases import leases
from jobs.store.money.settlement import flush
from tests.support.rows import batch_of, journal_of, lease_of, migrated, seed_batch

JOBS, SLICE = 4000, 100


@pytest.fixture
def database(migrated_postgres_url: str) -> Iterator[Database]:
    with migrated(migrated_postgres_url) as database:
        yield database


def test_a_database_that_has_become_read_only_is_away_and_refuses_no_row(
    database: Database, migrated_postgres_url: str
) -> None:
    ref = seed_batch(database)
    lease = lease_of(database, ref)
    name = database.engine.url.database
    with database.engine.begin() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    with ExitStack() as stack:
        reopened = open_database(migrated_postgres_url)
        stack.callback(reopened.close)
        with pytest.raises(ServiceUnavailable, match="read-only"), reopened.write() as session:
            flush(session, [journal_of(lease, 0)], [])
        with pytest.raises(ServiceUnavailable, match="read-only"):
            check_schema(reopened)
    with database.write() as session:
        assert flush(session, [journal_of(lease, 0)], [])


class RowsRead:
    """Counts what PostgreSQL reads for the statements of a block, by its own account."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.rows: dict[str, int] = {}

    def __enter__(self) -> "RowsRead":
        event.listen(self._database.engine, "before_cursor_execute", self._explain)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._database.engine, "before_cursor_execute", self._explain)

    def _explain(
        self, _connection: Any, cursor: Any, statement: str, values: Any, *_: object
    ) -> None:
        if statement.startswith("SELECT") and "job" in statement and "FOR UPDATE" not in statement:
            with cursor.connection.cursor() as explaining:
                explaining.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
                (plan,) = explaining.fetchone()[0]
            self.rows[statement] = read_by(plan["Plan"])


def read_by(node: dict[str, Any]) -> int:
    """Return how many rows a node of a plan and all below have looked at."""
    seen: float = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    seen += node.get("Rows Removed by Join Filter", 0)
    return int(seen * node["Actual Loops"]) + sum(map(read_by, node.get("Plans", ())))


def run_slices(database: Database, ref: str, numbers: range) -> None:
    """Answer all jobs of some slices."""
    good = ResultDraft(ResultStatus.SUCCEEDED, output='"x"')
    for number in numbers:
        lease = lease_of(database, ref, number)
        journals = [journal_of(lease, seq) for seq in range(number * SLICE, (number + 1) * SLICE)]
        with database.write() as session:
            flush(session, journals, [])
            flush(session, [], [Settlement(j, Outcome.SUCCEEDED, result=good) for j in journals])


def test_a_slice_of_a_batch_that_the_planner_does_not_know_costs_what_a_slice_has(
    database: Database,
) -> None:
    """The planner knows the tables and an older batch, so it expects next to nothing of the new one."""
    older = seed_batch(database, jobs=JOBS, slice_size=SLICE)
    run_slices(database, older, range(JOBS // SLICE))
    with database.engine.begin() as connection:
        for table in ("job", "result", "attempt", "part"):
            connection.execute(text(f"ALTER TABLE {table} SET (autovacuum_enabled = off)"))
            connection.execute(text(f"ANALYZE {table}"))
    ref, last = seed_batch(database, jobs=JOBS, slice_size=SLICE), JOBS // SLICE - 1
    run_slices(database, ref, range(last))
    lease, batch_id = lease_of(database, ref, last), batch_of(database, ref).id
    assert batch_id is not None
    cut = SliceRange(last, "sim", last * SLICE, JOBS - 1, SLICE)
    with RowsRead(database) as read, database.write() as session:
        assert len(open_jobs(session, batch_id, cut, is_first_lease=False)) == SLICE
        leases.finish(session, lease)
    assert len(read.rows) >= 3
    assert max(read.rows.values()) < 10 * SLICE, read.rows


def test_no_plan_is_kept_from_when_the_tables_were_empty(database: Database) -> None:
    """Of two indexes that are as good then, it may have the one that holds the whole batch."""
    ref = seed_batch(database, jobs=SLICE, slice_size=SLICE)
    lease = lease_of(database, ref)
    cut = SliceRange(0, lease.queue, 0, SLICE - 1, SLICE)
    with database.read() as session:
        for _look in range(20):
            assert has_open_jobs(session, lease.batch_id, cut)
        kept = session.connection().execute(
            text("SELECT sum(generic_plans), sum(custom_plans) FROM pg_prepared_statements")
        )
        generic, custom = kept.one()
    assert (generic, custom > 0) == (0, True)
