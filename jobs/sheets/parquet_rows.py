"""Parquet: a file in, rows out, read by a process of its own (`parquet_child`) and row group by row group.

The library is a large one in C++ and the file comes from anybody: what it may break is that process, and the
memory that it takes is given back with it.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO

from jobs.errors import BodyTooLarge, LineFault, LineTooLong, UnreadableBody, UnsupportedMedia
from jobs.lines import MAX_LINE_BYTES
from jobs.sheets.columns import Column, ColumnType, check_columns
from jobs.sheets.rows import Row, RowShape

ROWS_AT_ONCE = 1000
BYTES_AT_ONCE = 1 << 20
"""Of lines that are handed over together."""

_CHILD = Path(__file__).with_name("parquet_child.py")
_ENVIRONMENT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
"""Other pools reserve address space that they don't use, and that is what is bounded."""

_SHOWN_CHARACTERS = 200


def parquet_rows(
    file: BinaryIO, begin: Callable[[Sequence[Column]], RowShape], most_bytes: int
) -> Generator[list[Row], None, None]:
    """Yield the rows of a Parquet file as job lines, some at a time; they are numbered from 1.

    It is to be closed if it is not exhausted.

    Args:
        file: on the disk, at its beginning.
        begin: is handed the columns.
        most_bytes: that its cells may become, written as JSON.

    Raises:
        UnreadableBody: it is no Parquet file.
        BodyTooLarge: it becomes too large, or needs too much memory.
        LineTooLong: a row is longer than a job may be.
        UnsupportedMedia: pyarrow is not installed here.
        InvalidColumns, InvalidParameter: as `check_columns` and `begin` do.
    """
    # Without our environment, which has keys in it, and without our modules.
    child = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-I", str(_CHILD)],
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
    )
    assert child.stdout is not None  # it is a pipe
    try:
        yield from _rows(child.stdout, begin, most_bytes)
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


def _rows(
    told: IO[bytes], begin: Callable[[Sequence[Column]], RowShape], most_bytes: int
) -> Iterator[list[Row]]:
    sheet: RowShape | None = None
    rows: list[Row] = []
    number = size_bytes = 0
    for value in _values(told, most_bytes):
        match value:
            case list(cells) if sheet is not None:
                number += 1
                line = sheet.line(number, cells)
                size_bytes += len(line) if isinstance(line, bytes) else 0
                rows.append((number, line))
            case {"code": code, "column": column, "message": message}:
                number += 1
                rows.append((number, LineFault(number, code, column, message)))
            case {"columns": named}:
                columns = [Column(name, ColumnType(kind)) for name, kind in named]
                check_columns(columns)
                sheet = begin(columns)
            case _:
                break
        if len(rows) == ROWS_AT_ONCE or size_bytes >= BYTES_AT_ONCE:
            yield rows
            rows, size_bytes = [], 0
    yield rows


def _values(told: IO[bytes], most_bytes: int) -> Iterator[Any]:
    """Yield what the child tells, up to its end; its errors are raised."""
    size_bytes = 0
    while line := told.readline(MAX_LINE_BYTES + 1):
        size_bytes += len(line)
        if len(line) > MAX_LINE_BYTES:
            raise LineTooLong(f"a row of the file is longer than {MAX_LINE_BYTES:,} bytes")
        if size_bytes > most_bytes:
            raise BodyTooLarge(
                f"the Parquet file becomes more than {most_bytes:,} bytes; send it in parts"
            )
        value = json.loads(line)
        match value:
            case {"rows": int()}:
                return
            case {"error": error, **more}:
                raise _failed(str(error), str(more.get("why", "")))
            case _:
                yield value
    # It was ended, by the system or by the file.
    raise _failed("too_large", "")


def _failed(error: str, why: str) -> Exception:
    match error:
        case "not_installed":
            return UnsupportedMedia(
                "Parquet needs pyarrow, which is not installed beside this server (the extra "
                "`parquet`); send CSV, or one job a line"
            )
        case "too_large":
            return BodyTooLarge(
                "the Parquet file needs more memory than there is for one; write it with smaller row "
                "groups, or send it in parts"
            )
        case _:
            shown = why[:_SHOWN_CHARACTERS]
            return UnreadableBody(f"the file can't be read as Parquet: {shown}", "invalid_parquet")
