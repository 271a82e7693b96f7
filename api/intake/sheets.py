"""Sheets on their way in: CSV is read as it arrives, Parquet from a file, both as rows for a reader."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from starlette.concurrency import run_in_threadpool

from api.intake.spool import spooled
from jobs.defaults import JobDefaults
from jobs.sheets.columns import Column
from jobs.sheets.csv_rows import CsvRows
from jobs.sheets.parquet_rows import parquet_rows
from jobs.sheets.rows import Row, SheetRows

AT_ONCE = asyncio.Semaphore(2)
"""Parquet files that one process has read: each may take two gigabytes of another's memory."""


@dataclass(frozen=True, slots=True)
class SheetForm:
    """How rows become jobs; `delimiter` is of CSV alone, None to find it out."""

    defaults: JobDefaults
    id_column: str | None
    delimiter: str | None
    spool: Path
    """The folder for what must be whole before it is read."""


class RowReader(Protocol):
    """What takes rows in, and raises what is wrong with them; its methods may block."""

    def begin_sheet(self, sheet: SheetRows) -> None:
        """Hear of the columns, before the first row."""
        ...

    def take_rows(self, rows: Sequence[Row]) -> None:
        """Read rows."""
        ...


def csv_of(reader: RowReader, form: SheetForm) -> CsvRows:
    """Return what reads a CSV file for a reader."""
    return CsvRows(lambda columns: _begin(columns, reader, form), form.delimiter)


async def receive_parquet(
    pieces: AsyncIterator[bytes], reader: RowReader, form: SheetForm, max_bytes: int
) -> None:
    """Keep a whole Parquet file and hand its rows over.

    Raises:
        SubmissionError: as `parquet_rows` does, and the reader.
        StorageFull: there is no room for it.
    """
    async with spooled(pieces, form.spool) as file, AT_ONCE:
        await run_in_threadpool(_take_parquet, cast(BinaryIO, file), reader, form, max_bytes)


def _take_parquet(file: BinaryIO, reader: RowReader, form: SheetForm, max_bytes: int) -> None:
    groups = parquet_rows(file, lambda columns: _begin(columns, reader, form), max_bytes)
    try:
        for rows in groups:
            reader.take_rows(rows)
    finally:
        groups.close()


def _begin(columns: Sequence[Column], reader: RowReader, form: SheetForm) -> SheetRows:
    sheet = SheetRows(columns, form.defaults, id_column=form.id_column)
    reader.begin_sheet(sheet)
    return sheet
