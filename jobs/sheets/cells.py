"""Cells on their way out: their types, and how a table of them is written as CSV and as Parquet."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from jobs.errors import UnsupportedMedia

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How what a spreadsheet would calculate, or call, begins (OWASP, CSV Injection, read 2026-11-27)."""

BYTE_ORDER_MARK = "\ufeff".encode()
"""Without it Excel takes UTF-8 for the characters of its country."""

GROUP_ROWS = 10_000
"""Of a row group: readers skip and share out work by these, and each costs a few kilobytes."""

GROUP_CHARACTERS = 4 << 20
"""Of the texts of one, which is in memory until it is full: a few times that."""


class CellType(StrEnum):
    """What the values of a column are."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DOLLARS = "dollars"
    MOMENT = "moment"


def csv_piece(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows of cells as CSV (RFC 4180)."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def harmless(cell: object) -> object:
    """Return a cell; before a text that begins like a formula a `'`, as spreadsheets write what is none."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULAS) else cell


def grouped(rows: Iterable[list[Any]]) -> Iterator[list[list[Any]]]:
    """Yield rows of cells as row groups, of `GROUP_ROWS` and some `GROUP_CHARACTERS` at most."""
    group: list[list[Any]] = []
    characters = 0
    for row in rows:
        group.append(row)
        characters += sum(len(cell) for cell in row if isinstance(cell, str))
        if len(group) >= GROUP_ROWS or characters >= GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def parquet_pieces(
    columns: Mapping[str, CellType], groups: Iterable[Sequence[Sequence[Any]]]
) -> Iterator[bytes]:
    """Return an iterator of a Parquet file's bytes; each group of rows is a row group.

    Raises:
        UnsupportedMedia: pyarrow is not installed here.
    """
    try:
        # Here, as it takes 40 MB of memory, and most processes never need it.
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet  # noqa: PLC0415
    except ImportError:
        raise UnsupportedMedia(
            "Parquet needs pyarrow, which is not installed beside this server (the extra `parquet`); "
            "ask for CSV, or for one result a line"
        ) from None
    pa.set_memory_pool(pa.system_memory_pool())
    return _pieces(pa, columns, groups)


def _pieces(
    pa: Any, columns: Mapping[str, CellType], groups: Iterable[Sequence[Sequence[Any]]]
) -> Iterator[bytes]:
    schema = pa.schema([(name, _type(pa, kind)) for name, kind in columns.items()])
    sink = _Sink()
    with pa.parquet.ParquetWriter(
        pa.PythonFile(sink, mode="w"), schema, compression="zstd"
    ) as writer:
        for rows in groups:
            cells = [
                [_value(kind, row[place]) for row in rows]
                for place, kind in enumerate(columns.values())
            ]
            arrays = [
                pa.array(column, kind) for column, kind in zip(cells, schema.types, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            yield sink.taken()
    yield sink.taken()


class _Sink:
    """A file of which what was written is taken away again and again."""

    closed = False

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def flush(self) -> None:
        return

    def close(self) -> None:
        return

    def taken(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


def _type(pa: Any, kind: CellType) -> Any:
    match kind:
        case CellType.TEXT:
            return pa.string()
        case CellType.INTEGER:
            return pa.int64()
        case CellType.NUMBER:
            return pa.float64()
        case CellType.BOOLEAN:
            return pa.bool_()
        case CellType.DOLLARS:
            return pa.decimal128(28, 9)
        case CellType.MOMENT:
            return pa.timestamp("us", "UTC")


def _value(kind: CellType, cell: Any) -> Any:
    if cell is None:
        return None
    match kind:
        case CellType.DOLLARS:
            return Decimal(cell)
        case CellType.MOMENT:
            return datetime.fromisoformat(cell)
        case CellType.TEXT:
            return str(cell)
        case CellType.NUMBER:
            return float(cell)
        case CellType.INTEGER:
            return int(cell)
        case CellType.BOOLEAN:
            return bool(cell)
