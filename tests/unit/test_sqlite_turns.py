"""Writers of several processes on one SQLite file: each gets its turn, and says so if it doesn't."""

import sqlite3
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from jobs.errors import ServiceUnavailable
from jobs.store import Database, open_database
from jobs.store.engine import sqlite


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.db"


@pytest.fixture
def ours(file: Path) -> Database:
    opened = open_database(f"sqlite:///{file}")
    with opened.write() as session:
        session.connection().execute(text("CREATE TABLE t (n INTEGER)"))
    return opened


@pytest.fixture
def other(file: Path) -> sqlite3.Connection:
    """A connection as another process has it: our own lock doesn't know of it."""
    return sqlite3.connect(file, isolation_level=None, check_same_thread=False)


def insert(ours: Database) -> None:
    with ours.write() as session:
        session.connection().execute(text("INSERT INTO t VALUES (1)"))


def test_a_writer_waits_for_another_processs_transaction(
    ours: Database, other: sqlite3.Connection
) -> None:
    other.execute("BEGIN IMMEDIATE")
    writing = threading.Thread(target=insert, args=(ours,))
    writing.start()
    time.sleep(0.1)
    assert writing.is_alive()
    other.execute("COMMIT")
    writing.join(5.0)
    assert other.execute("SELECT count(*) FROM t").fetchone() == (1,)


def test_a_lock_that_nobody_lets_go_of_is_an_unavailable_database(
    ours: Database, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.1)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ServiceUnavailable, match="database is locked"):
        insert(ours)
    other.execute("ROLLBACK")
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 30)
    insert(ours)


def test_a_read_waits_for_no_writer(ours: Database, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    with ours.read() as session:
        assert session.connection().execute(text("SELECT count(*) FROM t")).scalar_one() == 0
