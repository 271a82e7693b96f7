"""Connections: how a transaction begins and ends on SQLite and on PostgreSQL.

A writer on SQLite begins immediate: a deferred one that reads before it writes fails with "database
is locked" as soon as two of them meet, however long the time-out. Writers of one process also queue
on a lock of our own, because SQLite lets waiters sleep and poll.
"""

import copy
import math
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Dialect, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from jobs.clock import UTC, utcnow
from jobs.errors import ConfigurationError, ServiceUnavailable, StorageFull
from jobs.store.patience import Reach, left_s, until

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

PATIENCE_S = 80.0
"""How long a transaction may take, of a process that has nothing better to do than to wait."""

SERVER_SHARE = 0.75
"""Of the patience that the server has for a statement: where it is alive it says no itself, and the
connection lives on."""

LOCK_TIMEOUT_MS = 10_000
"""Nobody's forgotten lock may stop the fleet; the caller tries again."""

CONNECT_TIMEOUT_S = 5
"""How long a new connection may take to be made, at most; libpq knows no less than 2."""

BACKENDS = ("sqlite", "postgresql")

POSTGRES_GUARDS = (
    "-c idle_in_transaction_session_timeout=8s -c synchronous_commit=on"
    " -c plan_cache_mode=force_custom_plan"
)
"""A transaction of ours is idle for milliseconds: one that isn't belongs to a process that is frozen
or cut off, and its locks are free before its leases run out. And what was committed is on the disk,
whatever the server, the database or the role is set to. A plan is made for each statement anew, which
costs less than can be measured: one that was kept from when a table was empty reads all of a batch for
each slice, until somebody analyses the table."""

POSTGRES_NETWORK = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # ms
}
"""A server whose machine is gone, or behind a cut, is noticed after half a minute at most."""

POOL_TIMEOUT_S = 30.0
"""How long a connection is waited for that others use, at most."""

_ALLOW = text("SELECT set_config('statement_timeout', :statement_ms, true)")
"""Longer statements in this transaction. Locks are waited for no longer than in others."""

_DISK_FULL = "53100"

_OF_THE_ROW = ("22", "23", "54")
"""The classes of PostgreSQL's codes for what it will never take: data that can't be, a key that is there
already, a value that is too large for an index. Whatever else it says is no row's fault: read-only
after a failover, out of room or memory, being shut down, rights or tables that are gone."""


class Database:
    """One process's way to the rows: short transactions, read or write.

    `patience_s` is how long a transaction may take, the wait for a connection included. Whatever the
    server does, or doesn't do, the thread is free again after that.
    """

    def __init__(self, engine: Engine, patience_s: float = PATIENCE_S) -> None:
        self.engine = engine
        self.is_sqlite = engine.dialect.name == "sqlite"
        self._reader = engine.execution_options(read_only=True)
        self._sqlite_writer = threading.Lock()
        self._usual_s = self._reach_s = self._patience_s = patience_s
        self._look_every_s: float | None = None
        self._to_write = Reach()
        # On SQLite only writers wait, for each other.
        self._to_read = Reach() if self.is_sqlite else self._to_write

    def with_patience(self, patience_s: float, *, insists: bool = False) -> Self:
        """Return the same database for transactions that may take so long once it is reached.

        PostgreSQL may be busy with a statement for so long, but not silent to everybody: whoever waits
        longer than is usual looks whether it still answers, and is told if it doesn't.

        Who insists also waits so long for a connection, or for its turn to write, whatever others
        have met: there is much to lose.
        """
        patient = copy.copy(self)
        patient._patience_s = patience_s
        patient._look_every_s = None if insists else self._usual_s
        if insists:
            patient._reach_s = patience_s
            patient._to_write = patient._to_read = Reach()
        return patient

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that may write; commits at the end, rolls back on any exception.

        Raises:
            ServiceUnavailable: the database doesn't answer, is locked for too long, or its disk is
                full. If that happened at the commit, it is not known whether it took place.
        """
        try:
            with ExitStack() as turn:
                yield from self._transact(self.engine, self._to_write, turn)
        except StorageFull:
            if self.is_sqlite:
                self._fold_log()
            raise

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a transaction that only reads; on SQLite it never waits for a writer. Raises alike."""
        yield from self._transact(self._reader, self._to_read)

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Open a transaction that only reads, all its statements one state. Nobody waits for it."""
        engine = self._reader  # SQLite's every transaction is one
        if not self.is_sqlite:
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        yield from self._transact(engine, self._to_read)

    def _transact(
        self, engine: Engine, reach: Reach, turn: ExitStack | None = None
    ) -> Iterator[Session]:
        began_s = time.monotonic()
        with (
            until(began_s + self._patience_s, self._look_every_s),
            reach.noted(),
            self.reachability(),
            Session(engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            with until(began_s + self._reach_s), reach.tried(), self.reachability():
                if turn is not None and self.is_sqlite:
                    self._take_turn(turn)
                connection = session.connection()
            if not self.is_sqlite and self._patience_s != self._usual_s:
                connection.execute(_ALLOW, {"statement_ms": str(_statement_ms(self._patience_s))})
            yield session

    def _fold_log(self) -> None:
        """Fold SQLite's log into its file, as far as there is room, and cut it to nothing.

        The log may be most of what fills the disk, and nobody folds it in while no commit succeeds.
        """
        with suppress(SQLAlchemyError, sqlite3.Error), self._reader.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            driver.execute(_busy_timeout(FOLD_WAITS_S))
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _take_turn(self, turn: ExitStack) -> None:
        """Let no other thread of this process write until the end of `turn`."""
        if not self._sqlite_writer.acquire(timeout=left_s() or 0.0):
            raise ServiceUnavailable("the database can't be used now: others write for too long")
        turn.callback(self._sqlite_writer.release)

    @contextmanager
    def reachability(self) -> Iterator[None]:
        """Raise ServiceUnavailable for what the driver raises of a database that does not work."""
        try:
            yield
        except (DBAPIError, PoolTimeout) as error:
            driver_error = getattr(error, "orig", None)
            if not _is_away(error, driver_error):
                raise
            where = f" ({self.engine.url.database})" if self.is_sqlite else ""
            if _is_full(driver_error):
                raise StorageFull(f"the database's disk is full{where}") from error
            # The rest of it is hints for people who look at the server's own machine.
            reason = str(error.args[0]).partition("\n")[0]
            raise ServiceUnavailable(f"the database can't be used now: {reason}{where}") from error

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def open_database(url: str, *, connections: int = 10, patience_s: float = PATIENCE_S) -> Database:
    """Return the database at a SQLAlchemy address; no connection is made yet.

    `patience_s` is how long a transaction may take, unless it is opened with another patience.

    Raises:
        ConfigurationError: the address is malformed, or one of another kind of database.
    """
    try:
        backend = make_url(url).get_backend_name()
        if backend not in BACKENDS:
            raise ValueError(f"expected postgresql://, got {backend}://")
        sqlite = backend == "sqlite"
        arguments: dict[str, Any] = (
            {
                "timeout": min(BUSY_TIMEOUT_S, patience_s),
                "isolation_level": None,
                "check_same_thread": False,
            }
            if sqlite
            else _postgres_arguments(patience_s)
        )
        engine = create_engine(
            url,
            connect_args=arguments,
            pool_size=connections,
            max_overflow=connections,
            pool_timeout=min(POOL_TIMEOUT_S, patience_s),
            pool_pre_ping=not sqlite,
            insertmanyvalues_page_size=500,
            hide_parameters=True,  # an error's text goes to the log, the rows must not
        )
    except Exception as error:
        raise ConfigurationError(f"the database address can't be used: {error}") from error
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "do_connect", _connect_postgres)
    return Database(engine, patience_s)


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


def _begin_sqlite(connection: Connection) -> None:
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


def _is_away(error: Exception, driver_error: object) -> bool:
    """Whether the database doesn't work, as opposed to not taking what it was asked to take."""
    sqlstate = getattr(driver_error, "sqlstate", None)
    if sqlstate is not None:
        return not str(sqlstate).startswith(_OF_THE_ROW)
    return isinstance(error, (OperationalError, InterfaceError, PoolTimeout))


def _is_full(driver_error: object) -> bool:
    if isinstance(driver_error, sqlite3.Error):
        return driver_error.sqlite_errorcode in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
    return getattr(driver_error, "sqlstate", None) == _DISK_FULL


def _postgres_arguments(patience_s: float) -> dict[str, Any]:
    statement_ms = _statement_ms(patience_s)
    lock_ms = min(LOCK_TIMEOUT_MS, statement_ms)
    limits = f"-c statement_timeout={statement_ms} -c lock_timeout={lock_ms}"
    return {
        "options": f"{POSTGRES_GUARDS} {limits}",
        "client_encoding": "UTF8",  # an ASCII database would have psycopg answer in bytes
        "connect_timeout": min(CONNECT_TIMEOUT_S, math.ceil(patience_s)),
        **POSTGRES_NETWORK,
    }


def _statement_ms(patience_s: float) -> int:
    return round(SERVER_SHARE * patience_s * 1000)


def _connect_postgres(
    _dialect: Dialect, _entry: ConnectionPoolEntry, arguments: list[Any], options: dict[str, Any]
) -> Any:
    from jobs.store.postgres import PatientConnection  # noqa: PLC0415  (an extra)

    return PatientConnection.connect(*arguments, **options)
