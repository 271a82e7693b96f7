"""The formats of rows: lines of JSON, a list in JSON, CSV and Parquet; from bytes to objects."""

import io
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any, Literal

import msgspec

from jobs.errors import LineFault, SubmissionError, UnreadableSource
from jobs.lines import MAX_LINE_BYTES
from jobs.sheets.columns import Column
from jobs.sheets.csv_rows import CsvRows
from jobs.sheets.parquet_rows import parquet_rows
from jobs.sheets.rows import Cell, Row
from jobs.strict_json import LooseJson, read_strict

Format = Literal["ndjson", "json", "csv", "parquet"]

FORMATS: dict[str, Format] = {
    ".jsonl": "ndjson",
    ".ndjson": "ndjson",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
"""By the ends of files' names."""

LONGEST_LIST_BYTES = 256 << 20
"""Of a list in JSON, which is read as a whole; lines have no such bound."""

MOST_PARQUET_BYTES = 64 << 30

BLOCK_BYTES = 1 << 20


class PlainRows:
    """Makes an object of each row, as the columns are called; an empty cell is null."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]

    def line(self, number: int, cells: Sequence[Cell]) -> bytes | LineFault:
        """Return the row as JSON, empty for a row without any value."""
        if len(cells) != len(self._names):
            what = f"has {len(cells):,} cells, and the header has {len(self._names):,}"
            return LineFault(number, "ragged_row", "", what)
        if not any(cell is not None and cell != "" for cell in cells):
            return b""
        return msgspec.json.encode(
            {
                name: None if cell == "" else cell
                for name, cell in zip(self._names, cells, strict=True)
            }
        )


def rows_in(file: IO[bytes], kind: Format, place: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of an open file; `place` is what people know it by.

    Raises:
        UnreadableSource: it isn't of the format; the message names the line.
    """
    try:
        match kind:
            case "ndjson":
                yield from _lines(file, place)
            case "json":
                text = file.read(LONGEST_LIST_BYTES + 1)
                if len(text) > LONGEST_LIST_BYTES:
                    raise UnreadableSource(
                        f"{place}: a list of more than {LONGEST_LIST_BYTES >> 20} MB; write one row a line"
                    )
                yield from objects_of(_value(text, place), place)
            case "csv":
                yield from _csv(file, place)
            case "parquet":
                yield from _parquet(file, place)
    except UnreadableSource:
        raise
    except SubmissionError as error:
        raise UnreadableSource(f"{place}: {error.message}") from error


def objects_of(found: Any, place: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a list.

    Raises:
        UnreadableSource: it is none, or something in it is no object.
    """
    if not isinstance(found, list):
        raise UnreadableSource(f"{place}: expected a list of rows, got {_kind(found)}")
    for number, row in enumerate(found, start=1):
        yield _object(row, f"{place}: row {number:,}")


def _lines(file: IO[bytes], place: str) -> Iterator[dict[str, Any]]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        where = f"{place}: line {number:,}"
        if len(line) > MAX_LINE_BYTES:
            raise UnreadableSource(f"{where} is longer than {MAX_LINE_BYTES:,} bytes")
        if line.strip():
            yield _object(_value(line, where), where)


def _value(text: bytes, where: str) -> Any:
    try:
        return read_strict(text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise UnreadableSource(f"{where}: expected UTF-8") from None
    except LooseJson as error:
        raise UnreadableSource(f"{where}: {error.message}") from None


def _object(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UnreadableSource(f"{where}: expected an object, got {_kind(row)}")
    return row


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _csv(file: IO[bytes], place: str) -> Iterator[dict[str, Any]]:
    reader = CsvRows(PlainRows)
    while True:
        block = file.read(BLOCK_BYTES)
        yield from _told(reader.take(block, is_last=not block), place)
        if not block:
            return


def _parquet(file: IO[bytes], place: str) -> Iterator[dict[str, Any]]:
    # Whoever decodes it is another process, and gets a file of this machine's.
    with tempfile.TemporaryFile() as local:
        shutil.copyfileobj(file, local, BLOCK_BYTES)
        local.seek(0, io.SEEK_SET)
        groups = parquet_rows(local, PlainRows, MOST_PARQUET_BYTES)
        try:
            for rows in groups:
                yield from _told(rows, place)
        finally:
            groups.close()


def _told(rows: Sequence[Row], place: str) -> Iterator[dict[str, Any]]:
    for number, line in rows:
        if isinstance(line, LineFault):
            raise UnreadableSource(f"{place}: row {number:,} {line.message}")
        if line:
            row: dict[str, Any] = msgspec.json.decode(line)
            yield row
