"""Rows as those of a table of somebody's database: inserted, or changed where their key is there already."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Float,
    MetaData,
    Table,
    Text,
    create_engine,
    inspect,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from jobs.errors import UnwritableSink
from jobs.pipelines.ends import SinkSection
from jobs.pipelines.rows import OutputRow, Written
from jobs.sheets.cells import CellType
from workers.pipelines.secrets import database_address
from workers.pipelines.sinks import tables
from workers.pipelines.sinks.tables import table_of

ROWS_AT_ONCE = 500

DIALECTS = {"sqlite": sqlite, "postgresql": postgresql}

_TYPES = {
    CellType.TEXT: Text,
    CellType.INTEGER: BigInteger,
    CellType.NUMBER: Float,
    CellType.BOOLEAN: Boolean,
}


def upsert(sink: SinkSection, rows: Iterable[OutputRow]) -> Written:
    """Write all rows in one transaction; the table is made if there is none of its name.

    Raises:
        UnwritableSink: the database can't be reached, or the table doesn't take the rows.
    """
    assert sink.sql is not None  # its section says so
    assert sink.database is not None
    schema, _, name = sink.sql.rpartition(".")
    try:
        engine = create_engine(database_address(sink.database), poolclass=NullPool)
        if engine.dialect.name not in DIALECTS:
            raise UnwritableSink(
                f"a table of {engine.dialect.name} can't be written; expected {' or '.join(DIALECTS)}"
            )
        with table_of(rows, separator="_") as found, engine.begin() as connection:
            target = _target(connection, name, schema or None, found)
            cells = found.rows()
            while some := list(islice(cells, ROWS_AT_ONCE)):
                _write(connection, target, list(found.columns), some)
            return Written(found.size, f"table {sink.sql}")
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
        raise UnwritableSink(f"table {sink.sql}: {reason[:300]}") from error


def _target(connection: Connection, name: str, schema: str | None, found: tables.Table) -> Table:
    """Return the table as it is, or make it."""
    if inspect(connection).has_table(name, schema=schema):
        target = Table(name, MetaData(), schema=schema, autoload_with=connection)
        lacking = [column for column in found.columns if column not in target.columns]
        if lacking:
            raise UnwritableSink(
                f"table {name} has no column {', '.join(lacking)}: add it, or choose with `columns`"
            )
        return target
    columns = [
        Column(column, _TYPES[kind](), primary_key=column == tables.KEY)
        for column, kind in found.columns.items()
    ]
    target = Table(name, MetaData(), *columns, schema=schema)
    target.create(connection)
    return target


def _write(
    connection: Connection, target: Table, columns: list[str], rows: Iterable[list[Any]]
) -> None:
    statement = DIALECTS[connection.dialect.name].insert(target)
    changed = {name: statement.excluded[name] for name in columns if name != tables.KEY}
    values = [dict(zip(columns, row, strict=True)) for row in _stored(target, columns, rows)]
    if changed:
        statement = statement.on_conflict_do_update(index_elements=[tables.KEY], set_=changed)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=[tables.KEY])
    connection.execute(statement, values)


def _stored(target: Table, columns: list[str], rows: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """Yield rows as the table takes them: what is JSON there is no text of it."""
    in_json = [isinstance(target.columns[name].type, JSON) for name in columns]
    for row in rows:
        yield [
            msgspec.json.decode(cell)
            if is_json and isinstance(cell, str) and cell[:1] in "[{"
            else cell
            for cell, is_json in zip(row, in_json, strict=True)
        ]
