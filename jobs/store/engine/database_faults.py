"""Which of a driver's errors say that the database is away, or its disk full, and no row is to blame."""

import sqlite3

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

_DISK_FULL = "53100"

_OF_THE_ROW = ("22", "23", "54")
"""The classes of PostgreSQL's codes for what it will never take: data that can't be, a key that is there
already, a value that is too large for an index. Whatever else it says is no row's fault: read-only
after a failover, out of room or memory, being shut down, rights or tables that are gone."""


def is_away(error: Exception, driver_error: object) -> bool:
    """Whether the database doesn't work, as opposed to not taking what it was asked to take."""
    sqlstate = getattr(driver_error, "sqlstate", None)
    if sqlstate is not None:
        return not str(sqlstate).startswith(_OF_THE_ROW)
    return isinstance(error, (OperationalError, InterfaceError, PoolTimeout))


def is_full(driver_error: object) -> bool:
    """Whether there was no room on the database's disk, or on SQLite none for its shared memory."""
    if isinstance(driver_error, sqlite3.Error):
        return driver_error.sqlite_errorcode in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
    return getattr(driver_error, "sqlstate", None) == _DISK_FULL
