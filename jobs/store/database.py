"""Connections: how a transaction begins and ends on SQLite and on PostgreSQL.

A writer on SQLite begins immediate: a deferred one that reads before it writes fails with "database
is locked" as soon as two of them meet, however long the time-out. Writers of one process also queue
on a lock of our own, because SQLite lets waiters sleep and poll.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from jobs.clock import UTC, utcnow
from jobs.errors import ConfigurationError, ServiceUnavailable

BUSY_TIMEOUT_S = 30
"""How long a SQLite writer waits for writers of other processes; their transactions take ms."""

LOOK_AGAIN_S = 0.001
"""Between two looks whether a writer of another process has ended."""

POSTGRES_GUARDS = (
    "-c lock_timeout=10s -c statement_timeout=60s -c idle_in_transaction_session_timeout=8s"
    " -c synchronous_commit=on"
)
"""Nobody's forgotten lock may stop the fleet; the caller tries again. A transaction of ours is idle for
milliseconds: one that isn't belongs to a process that is frozen or cut off, and its locks are free
before its leases run out. And what was committed is on the disk, whatever the server, the database
or the role is set to."""

_LIMIT_EXCEEDED = "54"
"""The class of PostgreSQL's codes for what is too large for it, such as a value for its index."""


class Database:
    """One process's way to the rows: short transactions, read or write."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._reader = engine.execution_options(read_only=True)
        self._sqlite_writer = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that may write; commits at the end, rolls back on any exception.

        Raises:
            ServiceUnavailable: the database doesn't answer, is locked for too long, or its disk is
                full. If that happened at the commit, it is not known whether it took place.
        """
        with self._sqlite_writer if self.is_sqlite else nullcontext():
            yield from self._transact(self.engine)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that only reads; on SQLite it never waits for a writer. Raises alike."""
        yield from self._transact(self._reader)

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Open a transaction that only reads, all its statements one state. Nobody waits for it."""
        engine = self._reader  # SQLite's every transaction is one
        if not self.is_sqlite:
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        yield from self._transact(engine)

    def _transact(self, engine: Engine) -> Iterator[Session]:
        with (
            self.reachability(),
            Session(engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def reachability(self) -> Iterator[None]:
        """Raise ServiceUnavailable for what the driver raises of a database that does not work."""
        try:
            yield
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            driver_error = getattr(error, "orig", None)
            if str(getattr(driver_error, "sqlstate", "")).startswith(_LIMIT_EXCEEDED):
                raise  # it works, and will never take this row
            # The rest of it is hints for people who look at the server's own machine.
            reason = str(error.args[0]).partition("\n")[0]
            where = f" ({self.engine.url.database})" if self.is_sqlite else ""
            raise ServiceUnavailable(f"the database can't be used now: {reason}{where}") from error

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def open_database(url: str, *, connections: int = 10) -> Database:
    """Return the database at a SQLAlchemy address; no connection is made yet.

    Raises:
        ConfigurationError: the address is malformed or its driver is not installed.
    """
    try:
        sqlite = make_url(url).get_backend_name() == "sqlite"
        arguments: dict[str, Any] = (
            {"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False}
            if sqlite
            else {"options": POSTGRES_GUARDS, "connect_timeout": 5, "keepalives_idle": 15}
        )
        engine = create_engine(
            url,
            connect_args=arguments,
            pool_size=connections,
            max_overflow=connections,
            pool_pre_ping=not sqlite,
            insertmanyvalues_page_size=500,
            hide_parameters=True,  # an error's text goes to the log, the rows must not
        )
    except Exception as error:
        raise ConfigurationError(f"the database address can't be used: {error}") from error
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return Database(engine)


def now(session: Session) -> datetime:
    """Return the time by the database's clock, which every lease goes by.

    SQLite has no clock of its own: its file and this process share the machine's.
    """
    if session.get_bind().dialect.name == "sqlite":
        return utcnow()
    moment: datetime = session.connection().execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment.astimezone(UTC)


def _prepare_sqlite(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    for pragma in (
        # Job rows are 1 KB and more; with pages of 4 KB a quarter of each page stays empty.
        "page_size=16384",
        "journal_mode=WAL",
        "synchronous=FULL",
        "temp_store=MEMORY",
        # Some 64 MB of log before it is folded in: with 4 MB every chunk of an upload pays for that.
        "wal_autocheckpoint=4000",
        "cache_size=-8192",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("read_only", False):
        connection.exec_driver_sql("BEGIN")
        return
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while (obstacle := _obstacle_to_begin(driver)) == sqlite3.SQLITE_BUSY:
            if time.monotonic() >= deadline:
                break
            time.sleep(LOOK_AGAIN_S)
        if obstacle is not None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # raises it as SQLAlchemy's own error
    finally:
        driver.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")


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
