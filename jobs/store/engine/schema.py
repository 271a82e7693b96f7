"""Bringing a database to the schema of this version, and refusing one that is ahead of it."""

import logging
import sqlite3
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from jobs.errors import SchemaMismatch, ServiceUnavailable
from jobs.store.engine.database import Database
from jobs.store.engine.patience import until

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

MIGRATION_S = 24 * 3600.0
"""How long an upgrade may take: an index of a large table takes what it takes."""

LOOK_EVERY_S = 5.0
"""How often it is looked meanwhile whether PostgreSQL still answers anybody."""

MIGRATION_LOCK = 0x7469_6465
"""Advisory lock on PostgreSQL ("tide"), so that two API processes don't migrate at once."""

LOOK_AGAIN_S = 1.0
"""Between two looks whether the database is there."""


def once_reachable(database: Database, duty: Callable[[Database], None]) -> None:
    """Do a duty that comes first, `migrate` or `check_schema`, as soon as the database answers.

    A part may be started before its database, or while that is away: nobody may be there to start it
    again. What it waits for is said in one line, and in another if that becomes something else.

    Raises:
        SchemaMismatch: see there.
    """
    reason = None
    while True:
        try:
            duty(database)
        except ServiceUnavailable as error:
            if error.message != reason:
                reason = error.message
                log.warning("waiting to begin: %s", reason)
            time.sleep(LOOK_AGAIN_S)
        else:
            if reason is not None:
                log.warning("the database can be used")
            return


def migrate(database: Database) -> None:
    """Create or upgrade the schema; harmless when there is nothing to do or somebody else does it.

    Raises:
        SchemaMismatch: the database was migrated by a newer version, or is of an encoding that
            can't hold every text; nothing was changed.
        ServiceUnavailable: the database doesn't answer, or can't be written.
    """
    with (
        until(time.monotonic() + MIGRATION_S, LOOK_EVERY_S),
        database.reachability(),
        database.engine.begin() as connection,
    ):
        _require_utf8(connection)
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        if _is_current(connection):
            return
        _upgrade(connection)


def check_schema(database: Database) -> None:
    """Return if the schema is this version's.

    Raises:
        SchemaMismatch: it is older (migrate first) or newer (upgrade Tidemill first), or of an
            encoding that can't hold every text.
        ServiceUnavailable: the database doesn't answer.
    """
    with database.read() as session:
        _require_utf8(session.connection())
        _require_writable(session.connection())
        if not _is_current(session.connection()):
            raise SchemaMismatch(
                "the database's schema is older than this version; "
                "start `tidemill api` (or `tidemill up`), which upgrades it"
            )


def is_empty(database: Database) -> bool:
    """Return whether nothing was ever made in the database, so that `migrate` makes all of it.

    Raises:
        ServiceUnavailable: the database doesn't answer.
    """
    with database.read() as session:
        return not inspect(session.connection()).get_table_names()


def _require_writable(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        return
    if connection.execute(text("SHOW transaction_read_only")).scalar_one() == "on":
        raise ServiceUnavailable("the database can't be used now: it is read-only")


def _require_utf8(connection: Connection) -> None:
    """Refuse a PostgreSQL that can't store every text: what a model says would be paid for and lost."""
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection) or driver is None:
        return
    encoding = driver.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise SchemaMismatch(
            f"the database's encoding is {encoding}; expected UTF8, as of "
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )


def _upgrade(connection: Connection) -> None:
    # Alembic takes a tenth of a process's start, and hardly any has something to upgrade.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@lru_cache(maxsize=1)
def revisions() -> tuple[str, ...]:
    """Return this version's revisions, the newest last: the numbers that its migrations' files begin with."""
    return tuple(sorted(file.name[:4] for file in (MIGRATIONS / "versions").glob("[0-9]*.py")))


def _revision(connection: Connection) -> str | None:
    """Return the revision that Alembic has noted in the database, None where it never did."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _is_current(connection: Connection) -> bool:
    known = revisions()
    head, found = known[-1], _revision(connection)
    if found is None and inspect(connection).has_table("batch"):
        raise SchemaMismatch("the database holds tables that Tidemill did not make")
    if found is not None and found not in known:
        raise SchemaMismatch(
            f"the database's schema is at revision {found}, which this version of Tidemill does "
            f"not know (its newest is {head}): it was upgraded by a newer version, use that one"
        )
    return found == head
