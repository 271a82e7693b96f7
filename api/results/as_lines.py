"""Results as lines of JSON."""

from collections.abc import Iterable, Iterator, Sequence

from api.results.tables import Joined
from api.shapes import result_line
from jobs.store.results.results import ResultRow

PIECE_BYTES = 256 * 1024
"""Of lines that are handed over to the server at once."""


def line_pieces(
    pages: Iterable[Sequence[ResultRow]], joined: Joined | None = None
) -> Iterator[bytes]:
    """Yield lines together, as each piece costs a thread's turn, and not all: they are held till sent."""
    for rows in pages:
        piece = bytearray()
        for row in rows:
            piece += _line(row, joined)
            if len(piece) >= PIECE_BYTES:
                yield bytes(piece)
                piece.clear()
        if piece:
            yield bytes(piece)


def _line(row: ResultRow, joined: Joined | None) -> bytes:
    if joined is None or row.request is None:
        return result_line(row)
    return result_line(row, input=joined.object(row.request))
