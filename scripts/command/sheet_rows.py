"""The rows of a sheet as job lines, made as the server makes them."""

import io
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

from api.formats import Format
from jobs.errors import LineFault

if TYPE_CHECKING:
    from jobs.sheets.columns import Column
    from jobs.sheets.rows import SheetRows

BLOCK_BYTES = 1 << 20

MOST_BYTES = 1 << 40
"""What rows may become here is for whoever named the file to say; the server has its own bound."""


def sheet_rows(
    file: io.BufferedIOBase, format_: Format, query: Mapping[str, str], id_prefix: str
) -> Iterator[tuple[int, bytes | LineFault]]:
    """Yield the rows of an unpacked sheet, with their numbers.

    Raises:
        SubmissionError: it is no sheet, or its columns can't become jobs.
    """
    # Here, as the kinds of jobs take half a second to load, and few commands need them.
    from jobs.defaults import JobDefaults  # noqa: PLC0415
    from jobs.sheets.csv_rows import DELIMITERS, CsvRows  # noqa: PLC0415
    from jobs.sheets.parquet_rows import parquet_rows  # noqa: PLC0415
    from jobs.sheets.rows import SheetRows  # noqa: PLC0415

    defaults = JobDefaults.from_query(
        {name: query[name] for name in ("kind", "template") if name in query}
    )

    def begin(columns: "Sequence[Column]") -> "SheetRows":
        return SheetRows(columns, defaults, id_column=query.get("id_column"), id_prefix=id_prefix)

    if format_ is Format.PARQUET:
        with tempfile.TemporaryFile() as whole:
            shutil.copyfileobj(file, whole)
            whole.seek(0)
            for rows in parquet_rows(cast(BinaryIO, whole), begin, MOST_BYTES):
                yield from rows
        return
    delimiter = "\t" if format_ is Format.TSV else DELIMITERS.get(query.get("delimiter", ""))
    reader = CsvRows(begin, delimiter)
    for block in iter(partial(file.read, BLOCK_BYTES), b""):
        yield from reader.take(block)
    yield from reader.take(b"", is_last=True)
