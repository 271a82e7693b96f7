"""Results as Parquet, with typed columns: written row group by row group, and sent on as it is written."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from api.results.tables import CellType, Joined, cells_of, columns_with
from jobs.errors import UnsupportedMedia
from jobs.store.results import ResultRow

GROUP_ROWS = 10_000
"""Of a row group: readers skip and share out work by these, and each costs a few kilobytes."""

GROUP_CHARACTERS = 4 << 20
"""Of the texts of one, which is in memory until it is full: a few times that."""


def parquet_pieces(pages: Iterable[Sequence[ResultRow]], joined: Joined | None) -> Iterator[bytes]:
    """Return an iterator of a Parquet file's bytes.

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
    return _pieces(pa, pages, joined)


def _pieces(
    pa: Any, pages: Iterable[Sequence[ResultRow]], joined: Joined | None
) -> Iterator[bytes]:
    columns = columns_with(joined)
    schema = pa.schema([(name, _type(pa, kind)) for name, kind in columns.items()])
    sink = _Sink()
    with pa.parquet.ParquetWriter(
        pa.PythonFile(sink, mode="w"), schema, compression="zstd"
    ) as writer:
        for rows in _groups(pages, joined):
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


def _groups(
    pages: Iterable[Sequence[ResultRow]], joined: Joined | None
) -> Iterator[list[list[Any]]]:
    rows: list[list[Any]] = []
    characters = 0
    for page in pages:
        for result in page:
            cells = cells_of(result, joined)
            rows.append(cells)
            characters += sum(len(cell) for cell in cells if isinstance(cell, str))
        if len(rows) >= GROUP_ROWS or characters >= GROUP_CHARACTERS:
            yield rows
            rows, characters = [], 0
    if rows:
        yield rows


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
