"""Rows as a table: read once into a file, and with it what columns there are and what each of them holds.

A value that is an object becomes a column for each of its fields, called `facts.title`; what is nested
deeper, and a list, is JSON text.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import msgspec

from jobs.pipelines.rows import OutputRow
from jobs.sheets.cells import CellType

KEY = "key"
"""What the column of keys is called; a field of that name gives way."""

MEMORY_BYTES = 8 << 20
"""Of rows that are kept in memory; more of them are on the disk."""

LARGEST_INTEGER = (1 << 63) - 1


class Table:
    """The rows of a sink, to be read as often as it takes."""

    def __init__(self, file: IO[bytes], separator: str) -> None:
        self._file = file
        self._separator = separator
        self._kinds: dict[str, CellType | None] = {KEY: CellType.TEXT}
        self.size = 0

    @property
    def columns(self) -> dict[str, CellType]:
        """The columns in the order in which they were seen; of one without any value, text."""
        return {name: kind or CellType.TEXT for name, kind in self._kinds.items()}

    def take(self, row: OutputRow) -> None:
        """Keep a row."""
        cells = {KEY: row.key, **flat(row.fields, self._separator)} | {KEY: row.key}
        for name, cell in cells.items():
            known = self._kinds.setdefault(name, None)
            if cell is not None and known is not CellType.TEXT:
                self._kinds[name] = _common(known, cell)
        self._file.write(msgspec.json.encode(cells) + b"\n")
        self.size += 1

    def rows(self) -> Iterator[list[Any]]:
        """Yield the rows' cells, in the order of `columns`: texts, numbers, booleans or None."""
        self._file.seek(0)
        columns = self.columns
        for line in self._file:
            cells = msgspec.json.decode(line)
            yield [_cell(cells.get(name), kind) for name, kind in columns.items()]


@contextmanager
def table_of(rows: Iterable[OutputRow], *, separator: str = ".") -> Iterator[Table]:
    """Read all rows and yield them as a table, whose file goes with it."""
    with tempfile.SpooledTemporaryFile(MEMORY_BYTES) as file:
        table = Table(file, separator)
        for row in rows:
            table.take(row)
        yield table


def flat(fields: Mapping[str, Any], separator: str) -> dict[str, Any]:
    """Return the cells of a row: the fields of objects among its values are cells of their own."""
    cells: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            for inner, cell in value.items():
                cells.setdefault(f"{name}{separator}{inner}", cell)
        else:
            cells[name] = value
    return cells


def _common(known: CellType | None, cell: Any) -> CellType:
    """Return the narrowest type that holds what a column has had, and this cell."""
    kind = _type_of(cell)
    if known is None or known is kind:
        return kind
    numbers = {CellType.INTEGER, CellType.NUMBER}
    return CellType.NUMBER if {known, kind} == numbers else CellType.TEXT


def _type_of(cell: Any) -> CellType:
    match cell:
        case bool():
            return CellType.BOOLEAN
        case int() if abs(cell) <= LARGEST_INTEGER:
            return CellType.INTEGER
        case float():
            return CellType.NUMBER
        case _:
            return CellType.TEXT


def _cell(value: Any, kind: CellType) -> Any:
    """Return a value as it is in its column."""
    if value is None or kind is not CellType.TEXT or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
