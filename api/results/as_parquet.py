"""Results as Parquet, with typed columns: written row group by row group, and sent on as it is written."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from api.results.tables import Joined, cells_of, columns_with
from jobs.sheets import cells
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
    return cells.parquet_pieces(columns_with(joined), _groups(pages, joined))


def _groups(
    pages: Iterable[Sequence[ResultRow]], joined: Joined | None
) -> Iterator[list[list[Any]]]:
    rows: list[list[Any]] = []
    characters = 0
    for page in pages:
        for result in page:
            row = cells_of(result, joined)
            rows.append(row)
            characters += sum(len(cell) for cell in row if isinstance(cell, str))
        if len(rows) >= GROUP_ROWS or characters >= GROUP_CHARACTERS:
            yield rows
            rows, characters = [], 0
    if rows:
        yield rows
