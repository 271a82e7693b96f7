"""How connections to SQLite are made, and how their transactions begin.

A writer begins immediate: a deferred one that reads before it writes fails with "database is locked"
as soon as two of them meet, however long the time-out.
"""

import shutil
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from jobs.store.engine.patience import left_s

BUSY_TIMEOUT_S = 30
"""How long a SQLite writer waits for writers of other processes; their transactions take ms."""

LOOK_AGAIN_S = 0.001
"""Between two looks whether a writer of another process has ended."""

PAGE_BYTES = 16384
"""Job rows are 1 KB and more; of pages of 4 KB a quarter would stay empty."""

FEWEST_LOG_PAGES, MOST_LOG_PAGES = 100, 4000
"""Some 64 MB of log before it is folded in: with 4 MB every chunk of an upload pays for that."""

FOLD_WAITS_S = 0.2
"""How long readers are waited for before SQLite's log is folded into its file."""


def connect_arguments(patience_s: float) -> dict[str, Any]:
    """Return what the driver is told of every connection; transactions are begun by `prepare`'s hooks."""
    return {
        "timeout": min(BUSY_TIMEOUT_S, patience_s),
        "isolation_level": None,
        "check_same_thread": False,
    }


def prepare(engine: Engine) -> None:
    """Let every connection of an engine have our settings, and every transaction begin as it should."""
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)


def fold_log(engine: Engine) -> None:
    """Fold the log into the file, as far as there is room, and cut it to nothing.

    The log may be most of what fills the disk, and nobody folds it in while no commit succeeds.
    """
    with suppress(SQLAlchemyError, sqlite3.Error), engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.execute(_busy_timeout(FOLD_WAITS_S))
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _set_up(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    for pragma in (
        f"page_size={PAGE_BYTES}",
        "journal_mode=WAL",
        "synchronous=FULL",
        "temp_store=MEMORY",
        f"wal_autocheckpoint={_most_log_pages(connection)}",
        "cache_size=-8192",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _most_log_pages(connection: sqlite3.Connection) -> int:
    """Return after how many pages the log is folded into the file: it may take a 64th of the disk."""
    path = connection.execute("PRAGMA database_list").fetchone()[2]
    total_bytes = shutil.disk_usage(Path(path).parent).total if path else 0
    return max(FEWEST_LOG_PAGES, min(total_bytes // 64 // PAGE_BYTES, MOST_LOG_PAGES))


def _begin(connection: Connection) -> None:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    left = left_s()
    busy_s = BUSY_TIMEOUT_S if left is None else min(BUSY_TIMEOUT_S, left)
    deadline = time.monotonic() + busy_s
    if connection.get_execution_options().get("read_only", False):
        driver.execute(_busy_timeout(busy_s))
        connection.exec_driver_sql("BEGIN")
        return
    driver.execute(_busy_timeout(0))
    try:
        while (obstacle := _obstacle_to_begin(driver)) == sqlite3.SQLITE_BUSY:
            if time.monotonic() >= deadline:
                break
            time.sleep(LOOK_AGAIN_S)
        if obstacle is not None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises it as SQLAlchemy's own error
    finally:
        driver.execute(_busy_timeout(busy_s))


def _busy_timeout(wait_s: float) -> str:
    return f"PRAGMA busy_timeout={round(wait_s * 1000)}"


def _obstacle_to_begin(driver: sqlite3.Connection) -> int | None:
    """Begin to write and return None, or SQLite's code of what is in the way: mostly another process.

    SQLite's own waiting sleeps up to 100 ms between two looks. Meanwhile the other process gets its
    turn a dozen times, and the calls of this one run dry.
    """
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF
    return None
