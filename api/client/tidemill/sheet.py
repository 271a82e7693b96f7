"""A DataFrame as a sheet: CSV, whose columns a template names, instead of lines that are jobs."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import msgspec

from .lines import encoded, rows_of
from .upload import BLOCK_BYTES


def csv_blocks(frame: Any) -> Iterator[bytes]:
    """Yield the header and the rows of a DataFrame in blocks; what is missing is an empty cell.

    Raises:
        TypeError: a cell holds what JSON can't.
    """
    text = io.StringIO(newline="")
    # All in quotes, so that no name of a column is taken for a delimiter.
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    names = [str(name) for name in frame.columns]
    writer.writerow(names)
    for row in rows_of(frame):
        writer.writerow([_cell(row.get(name)) for name in names])
        if text.tell() >= BLOCK_BYTES:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def _cell(value: object) -> str:
    """Return a value as text: as it is in JSON, but without the quotes of what is text there."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    json = encoded(value)
    return msgspec.json.decode(json, type=str) if json.startswith(b'"') else json.decode()
