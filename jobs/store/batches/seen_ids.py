"""Which custom_ids of a submission stood on an earlier line, where no rows are stored that would tell.

They are in a temporary database of SQLite's, a file without a name that is gone when it is closed: a
million ids take a few megabytes of memory and at most the disk that they take in the submission itself.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jobs.errors import StorageFull


class SeenIds:
    """The custom_ids that were seen. To be closed; for one thread at a time, not always the same."""

    def __init__(self) -> None:
        """Begin with none.

        This and `again` raise StorageFull if there is no room for temporary files.
        """
        self._file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._seen = 0
        with _in_room():
            # Nobody rolls back, and what is lost with this process is not missed.
            self._file.execute("PRAGMA journal_mode = OFF")
            self._file.execute(
                "CREATE TABLE seen (id TEXT PRIMARY KEY, place INTEGER) WITHOUT ROWID"
            )

    def again(self, custom_ids: Sequence[str]) -> set[int]:
        """Note the next ids; return the places, in this sequence, of those that were seen before."""
        first, self._seen = self._seen, self._seen + len(custom_ids)
        numbered = list(zip(custom_ids, range(first, self._seen), strict=True))
        before = self._file.total_changes
        with _in_room():
            self._file.execute("BEGIN")
            self._file.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?)", numbered)
            self._file.execute("COMMIT")
        if self._file.total_changes - before == len(numbered):
            return set()
        return {place - first for custom_id, place in numbered if self._place(custom_id) != place}

    def close(self) -> None:
        """Forget them; harmless when done twice."""
        self._file.close()

    def _place(self, custom_id: str) -> int:
        found: tuple[int] = self._file.execute(
            "SELECT place FROM seen WHERE id = ?", (custom_id,)
        ).fetchone()
        return found[0]


@contextmanager
def _in_room() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StorageFull(f"a quote finds no room for its temporary file: {error}") from error
