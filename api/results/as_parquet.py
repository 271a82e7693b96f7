"""Results as Parquet, with typed columns: written row group by row group, and sent on as it is written."""

from collections.abc import Iterable, Iterator, Sequence

from api.results.tables import Joined, cells_of, columns_with
from jobs.sheets import cells
from jobs.store.results.results import ResultRow


def parquet_pieces(pages: Iterable[Sequence[ResultRow]], joined: Joined | None) -> Iterator[bytes]:
    """Return an iterator of a Parquet file's bytes.

    Raises:
        UnsupportedMedia: pyarrow is not installed here.
    """
    rows = (cells_of(result, joined) for page in pages for result in page)
    return cells.parquet_pieces(columns_with(joined), cells.grouped(rows))
