"""Rows as files: lines of JSON, CSV and Parquet."""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from jobs.pipelines.rows import OutputRow, Written
from jobs.sheets.cells import CellType, csv_piece, grouped, harmless, parquet_pieces
from workers.pipelines.sinks.placing import place
from workers.pipelines.sinks.tables import KEY, Table, table_of


def write_lines(path: str, rows: Iterable[OutputRow]) -> Written:
    """Write an object a line: the row's key, and its fields as they are."""
    count = 0

    def pieces() -> Iterator[bytes]:
        nonlocal count
        for row in rows:
            count += 1
            yield msgspec.json.encode({KEY: row.key, **row.fields} | {KEY: row.key}) + b"\n"

    place(path, pieces())
    return Written(count, path)


def write_csv(path: str, rows: Iterable[OutputRow]) -> Written:
    """Write a table with a header; no text of it is taken for a formula by a spreadsheet."""
    with table_of(rows) as table:
        place(path, _csv(table))
        return Written(table.size, path)


def write_parquet(path: str, rows: Iterable[OutputRow]) -> Written:
    """Write a table with typed columns."""
    with table_of(rows) as table:
        place(path, parquet_pieces(table.columns, grouped(table.rows())))
        return Written(table.size, path)


def _csv(table: Table) -> Iterator[bytes]:
    columns = table.columns
    texts = [kind is CellType.TEXT for kind in columns.values()]
    yield csv_piece([[harmless(name) for name in columns]])
    for group in grouped(table.rows()):
        yield csv_piece(
            [
                [_csv_cell(cell, is_text) for cell, is_text in zip(row, texts, strict=True)]
                for row in group
            ]
        )


def _csv_cell(cell: Any, is_text: bool) -> Any:
    if is_text:
        return harmless(cell)
    return str(cell).lower() if isinstance(cell, bool) else cell
