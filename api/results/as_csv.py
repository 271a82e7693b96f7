"""Results as CSV, for spreadsheets: nothing that a model wrote is taken for a formula there."""

from collections.abc import Iterable, Iterator, Sequence

from api.results.tables import Joined, cells_of, columns_with
from jobs.sheets.cells import BYTE_ORDER_MARK, CellType, csv_piece, harmless
from jobs.store.results.results import ResultRow


def csv_pieces(
    pages: Iterable[Sequence[ResultRow]], joined: Joined | None, *, has_mark: bool
) -> Iterator[bytes]:
    """Yield a table of results as CSV (RFC 4180) with a header, page by page.

    A text that begins like a formula gets a `'` before it, as spreadsheets write what is none.
    """
    columns = columns_with(joined)
    texts = [place for place, kind in enumerate(columns.values()) if kind is CellType.TEXT]
    header: list[object] = [harmless(name) for name in columns]
    yield (BYTE_ORDER_MARK if has_mark else b"") + csv_piece([header])
    for rows in pages:
        yield csv_piece(_cells(row, joined, texts) for row in rows)


def _cells(row: ResultRow, joined: Joined | None, texts: Sequence[int]) -> list[object]:
    cells = cells_of(row, joined)
    for place in texts:
        cells[place] = harmless(cells[place])
    return [str(cell).lower() if isinstance(cell, bool) else cell for cell in cells]
