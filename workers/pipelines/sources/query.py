"""Rows of a query of somebody's database: read as they come, in a transaction that may only read."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from jobs.errors import UnreadableSource
from jobs.pipelines.ends import SourceSection
from jobs.pipelines.rows import RunFacts
from workers.pipelines.secrets import database_address

ROWS_AT_ONCE = 1000

Value = Any


def query_rows(source: SourceSection, run: RunFacts) -> Iterator[dict[str, Any]]:
    """Yield the rows. `:date`, `:due_at` and `:run` in the query are the run's.

    Raises:
        UnreadableSource: the database can't be reached, or refuses the query, or a value has no form in JSON.
    """
    assert source.sql is not None  # its section says so
    assert source.database is not None
    statement = text(source.sql)
    known = {"date": run.day, "due_at": run.due_at, "run": run.ref}
    given = {name: known[name] for name in statement.compile().params if name in known}
    try:
        engine = create_engine(database_address(source.database), poolclass=NullPool)
        with engine.connect() as connection:
            _only_reading(connection)
            rows = connection.execution_options(
                stream_results=True, yield_per=ROWS_AT_ONCE
            ).execute(statement, given)
            names = list(rows.keys())
            for number, row in enumerate(rows, start=1):
                yield {
                    name: _json(value, f"row {number:,}, column {name!r}")
                    for name, value in zip(names, row, strict=True)
                }
            connection.rollback()
    except SQLAlchemyError as error:
        # Its words have the statement and its values in them, but not the address.
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise UnreadableSource(f"the query failed: {reason[:300]}") from error


def _only_reading(connection: Connection) -> None:
    """Let the query change nothing, where the database knows how; elsewhere nothing of it is committed."""
    match connection.dialect.name:
        case "postgresql":
            connection.execution_options(postgresql_readonly=True)
        case "sqlite":
            connection.execute(text("PRAGMA query_only = ON"))
        case _:
            return


def _json(value: Value, where: str) -> Value:
    match value:
        case None | bool() | int() | float() | str() | list() | dict():
            return value
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case UUID():
            return str(value)
        case _:
            raise UnreadableSource(
                f"{where}: a {type(value).__name__} has no form in JSON; cast it in the query"
            )
