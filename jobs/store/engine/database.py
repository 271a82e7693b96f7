"""The database: opened, and how a transaction begins, waits and ends, on SQLite and on PostgreSQL alike.

What only one of them needs is in `sqlite` and `postgres`. SQLite's writers of one process queue on a
lock of our own, because SQLite lets waiters sleep and poll.
"""

import copy
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import Self

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import Session

from jobs.clock import UTC, utcnow
from jobs.errors import ConfigurationError, ServiceUnavailable, StorageFull
from jobs.store.engine import postgres, sqlite
from jobs.store.engine.database_faults import is_away, is_full
from jobs.store.engine.patience import Reach, left_s, until

PATIENCE_S = 80.0
"""How long a transaction may take, of a process that has nothing better to do than to wait."""

BACKENDS = ("sqlite", "postgresql")

POOL_TIMEOUT_S = 30.0
"""How long a connection is waited for that others use, at most."""


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
                sqlite.fold_log(self._reader)
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
                session.connection()
            if not self.is_sqlite and self._patience_s != self._usual_s:
                postgres.allow_longer(session, self._patience_s)
            yield session

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
            if not is_away(error, driver_error):
                raise
            where = f" ({self.engine.url.database})" if self.is_sqlite else ""
            if is_full(driver_error):
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
        is_sqlite = backend == "sqlite"
        connect_arguments = sqlite.connect_arguments if is_sqlite else postgres.connect_arguments
        engine = create_engine(
            url,
            connect_args=connect_arguments(patience_s),
            pool_size=connections,
            max_overflow=connections,
            pool_timeout=min(POOL_TIMEOUT_S, patience_s),
            pool_pre_ping=not is_sqlite,
            insertmanyvalues_page_size=500,
            hide_parameters=True,  # an error's text goes to the log, the rows must not
        )
    except Exception as error:
        raise ConfigurationError(f"the database address can't be used: {error}") from error
    prepare = sqlite.prepare if is_sqlite else postgres.prepare
    prepare(engine)
    return Database(engine, patience_s)


def now(session: Session) -> datetime:
    """Return the time by the database's clock, which every lease goes by.

    SQLite has no clock of its own: its file and this process share the machine's.
    """
    if session.get_bind().dialect.name == "sqlite":
        return utcnow()
    moment: datetime = session.connection().execute(text("SELECT clock_timestamp()")).scalar_one()
    return moment.astimezone(UTC)
