"""Attempts are found by their keys without looking at others."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import sqlite
from sqlmodel import col, select

from jobs.store import Database
from jobs.store.attempts.attempt_keys import KEY, KEYS_PER_STATEMENT, AttemptKey, by_key
from jobs.store.money.settlement import flush
from jobs.tables import Attempt
from tests.support.rows import journal_of, lease_of, migrated, seed_batch


def test_those_of_the_keys_are_found_and_no_others(database: Database) -> None:
    keys: set[AttemptKey] = set()
    for _ in range(2):
        lease = lease_of(database, seed_batch(database, jobs=4))
        journals = [journal_of(lease, seq, n) for seq in range(4) for n in (1, 2)]
        with database.write() as session:
            flush(session, journals, [])
        keys |= {(lease.batch_id, made.seq, made.n) for made in journals}
    asked = sorted(keys)[::3]
    with database.read() as session:
        found = [
            tuple(row)
            for are_those in by_key([*asked, (asked[0][0], 99, 1)])
            for row in session.connection().execute(select(*KEY).where(are_those))
        ]
    assert sorted(found) == asked


def test_every_key_is_in_one_statement() -> None:
    keys = [(1, seq, 1) for seq in range(KEYS_PER_STATEMENT + 1)]
    assert len(list(by_key(keys))) == 2
    assert not list(by_key([]))


@pytest.mark.parametrize("jobs", [1, 2, 100])
def test_sqlite_does_not_read_the_whole_table(tmp_path: Path, jobs: int) -> None:
    (are_those,) = by_key([(1, seq, 1) for seq in range(jobs)])
    wanted = select(col(Attempt.outcome)).where(are_those)
    statement = wanted.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with migrated(f"sqlite:///{tmp_path}/rows.db") as database, database.read() as session:
        plan = session.execute(text(f"EXPLAIN QUERY PLAN {statement}")).all()
    assert any("SEARCH attempt" in step[3] for step in plan)
    assert not any("SCAN attempt" in step[3] for step in plan)
