"""Reads a Parquet file in a process of its own: what a hostile file does to it stays there.

Run as a program, with the file as standard input and nothing of ours imported. It writes lines of JSON:
an object with `columns`; a list for each row, of its cells; an object with `code`, `column` and `message`
for a row that can't be told in JSON; and last `{"rows": N}`, or an object with `error`.
"""

import json
import math
import os
import resource
import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

MOST_MEMORY_BYTES = 2 << 30
"""Of address space, a quarter of which is the library itself: what a file may need is bounded."""

MOST_ROWS_AT_ONCE = 256
BYTES_AT_ONCE = 16 << 20
"""Of rows that are decoded together, as far as the file tells how large they are."""

READ_BYTES = 1 << 20
"""Of a column that are read at once, instead of the whole row group's."""

Cell = Any


class Untold(ValueError):
    """A value that JSON can't tell."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def main() -> None:
    """Read standard input, write to standard output."""
    # What is larger than that is refused by the system, and ends this process alone.
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        import pyarrow as pa  # noqa: PLC0415 - the limits come first
    except ImportError:
        _write({"error": "not_installed"})
        return
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    try:
        rows = 0
        for line in _lines():
            _write(line)
            rows += 1
        _write({"rows": rows - 1})
    except MemoryError:
        _write({"error": "too_large"})
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        is_large = isinstance(error, pa.ArrowMemoryError)
        _write({"error": "too_large" if is_large else "unreadable", "why": str(error)[:300]})


def _lines() -> Iterator[Any]:
    """Yield what is written: the columns, then the rows."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    with os.fdopen(os.dup(0), "rb") as file:
        parquet = pq.ParquetFile(
            pa.PythonFile(file, mode="r"), buffer_size=READ_BYTES, pre_buffer=False
        )
        schema = parquet.schema_arrow
        yield {"columns": [[field.name, _type_name(field.type)] for field in schema]}
        tell = [_teller(field.type) for field in schema]
        names = schema.names
        for batch in parquet.iter_batches(batch_size=_at_once(parquet.metadata), use_threads=False):
            columns = [_values(column) for column in batch.columns]
            for cells in zip(*columns, strict=True):
                yield _row(names, tell, cells)


def _at_once(metadata: Any) -> int:
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    largest = max((group.total_byte_size // max(1, group.num_rows) for group in groups), default=0)
    return int(min(MOST_ROWS_AT_ONCE, max(1, BYTES_AT_ONCE // max(1, largest))))


def _row(names: list[str], tell: list[Callable[[Any], Cell] | None], cells: tuple[Any, ...]) -> Any:
    row: list[Cell] = []
    for name, teller, cell in zip(names, tell, cells, strict=True):
        if cell is None or teller is None:
            row.append(cell)
            continue
        try:
            row.append(teller(cell))
        except Untold as error:
            return {"code": error.code, "column": name, "message": str(error)}
    return row


def _values(column: Any) -> list[Any]:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        # Python's own times have microseconds.
        column = pc.cast(column, pa.timestamp("us", column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values


def _type_name(kind: Any) -> str:
    from pyarrow import types  # noqa: PLC0415

    if types.is_dictionary(kind):
        return _type_name(kind.value_type)
    if types.is_integer(kind) and not types.is_uint64(kind):
        return "integer"
    if types.is_floating(kind):
        return "number"
    if types.is_boolean(kind):
        return "boolean"
    # Whole numbers that need all of 64 bits fit into no other's integers.
    return "json" if types.is_nested(kind) or types.is_uint64(kind) else "text"


def _teller(kind: Any) -> Callable[[Any], Cell] | None:
    """Return what makes JSON of a column's values; None for values that are JSON already."""
    from pyarrow import types  # noqa: PLC0415

    is_plain = types.is_integer(kind) or types.is_boolean(kind)
    is_text = types.is_string(kind) or types.is_large_string(kind)
    return None if is_plain or is_text else _told


def _told(value: Any) -> Cell:
    if value is None:
        return None
    if (tell := _TOLD.get(type(value))) is None:
        raise Untold("wrong_type", f"holds a {type(value).__name__}, which has no form in JSON")
    return tell(value)


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise Untold("invalid_number", f"is {value}, which is no number of JSON")
    return value


def _text(value: bytes) -> str:
    """Return bytes as text: some programs write their texts as such."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Untold("invalid_encoding", "holds bytes that are no text in UTF-8") from None


def _list(value: list[Any]) -> Cell:
    """Return a list, or the object that a map is: the library gives it as pairs."""
    if value and all(isinstance(item, tuple) for item in value):
        return _object(dict(value))
    return [_told(item) for item in value]


def _object(value: dict[Any, Any]) -> Cell:
    return {str(key): _told(item) for key, item in value.items()}


_TOLD: dict[type, Callable[[Any], Cell]] = {
    **{kind: lambda value: value for kind in (bool, int, str)},
    **{kind: lambda value: value.isoformat() for kind in (datetime, date, time)},
    float: _number,
    # As text: a number of JSON would lose its last zeros, or its last figures.
    Decimal: lambda value: format(value, "f"),
    timedelta: str,
    bytes: _text,
    list: _list,
    dict: _object,
}


def _write(line: Any) -> None:
    sys.stdout.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    # Surrogates can't be there: the library's texts are UTF-8.
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # it is a text file here
    main()
