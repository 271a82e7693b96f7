"""Files: what clients upload, and what batches leave behind."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple


class Entry(NamedTuple):
    """A line of results; `row` is the ledger's, None where there is none for it."""

    row: int | None
    data: bytes


@dataclass(slots=True)
class File:
    """A file; `rows` are the ledger's for the results that it holds whole."""

    id: str
    name: str
    purpose: str
    data: bytes
    created_at: int
    rows: Sequence[int] = field(default=())


class Shelf:
    """All files, each under its name; the providers share it, as nobody guesses a name."""

    def __init__(self) -> None:
        self._files: dict[str, File] = {}
        self._numbers = count(1)

    def put(self, name: str, purpose: str, data: bytes, created_at: int) -> File:
        """Keep what was uploaded."""
        file = File(f"file-{next(self._numbers):08x}", name, purpose, data, created_at)
        self._files[file.id] = file
        return file

    def put_results(self, name: str, entries: Sequence[Entry], created_at: int) -> File:
        """Keep results, a line each."""
        file = self.put(name, "batch_output", b"".join(e.data for e in entries), created_at)
        file.rows = [e.row for e in entries if e.row is not None]
        return file

    def get(self, file_id: str) -> File | None:
        """Return the file of that name, None where there is none."""
        return self._files.get(file_id)

    def remove(self, file_id: str) -> bool:
        """Remove a file; false where there is none."""
        return self._files.pop(file_id, None) is not None

    def all(self) -> list[File]:
        """Return all files, oldest first."""
        return list(self._files.values())
