"""Results as CSV, for spreadsheets: nothing that a model wrote is taken for a formula there."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence

from api.results.tables import CellType, Joined, cells_of, columns_with
from jobs.store.results import ResultRow

FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How what a spreadsheet would calculate, or call, begins (OWASP, CSV Injection, read 2026-11-27)."""

BYTE_ORDER_MARK = "\ufeff".encode()
"""Without it Excel takes UTF-8 for the characters of its country."""


def csv_pieces(
    pages: Iterable[Sequence[ResultRow]], joined: Joined | None, *, has_mark: bool
) -> Iterator[bytes]:
    """Yield a table of results as CSV (RFC 4180) with a header, page by page.

    A text that begins like a formula gets a `'` before it, as spreadsheets write what is none.
    """
    columns = columns_with(joined)
    texts = [place for place, kind in enumerate(columns.values()) if kind is CellType.TEXT]
    header: list[object] = [_harmless(name) for name in columns]
    yield (BYTE_ORDER_MARK if has_mark else b"") + _written([header])
    for rows in pages:
        yield _written(_cells(row, joined, texts) for row in rows)


def _cells(row: ResultRow, joined: Joined | None, texts: Sequence[int]) -> list[object]:
    cells = cells_of(row, joined)
    for place in texts:
        cells[place] = _harmless(cells[place])
    return [str(cell).lower() if isinstance(cell, bool) else cell for cell in cells]


def _harmless(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULAS) else cell


def _written(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
