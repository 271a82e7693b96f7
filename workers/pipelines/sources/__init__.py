"""Where a run's rows come from: files, a query, an HTTP endpoint, an earlier run of another pipeline."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from jobs.errors import UnusableRow
from jobs.pipelines.ends import SourceSection
from jobs.pipelines.rows import RunFacts, SourceRow
from jobs.store import Database
from workers.pipelines.sources.earlier import earlier_rows
from workers.pipelines.sources.files import file_rows
from workers.pipelines.sources.pages import page_rows
from workers.pipelines.sources.query import query_rows

USUAL_KEY = "id"

LONGEST_KEY = 400
"""In characters: with its branches behind it, it names jobs."""


class Sources:
    """Reads the sources of pipelines (`jobs.pipelines.rows.ReadSource`)."""

    def __init__(self, database: Database, base: Path) -> None:
        """Read earlier runs from this database; relative paths are those of `base`."""
        self._database = database
        self._base = base

    def __call__(self, source: SourceSection, run: RunFacts) -> Iterator[SourceRow]:
        """Yield the rows of a source, `limit` of them at most."""
        return islice(self._rows(source, run), source.limit)

    def _rows(self, source: SourceSection, run: RunFacts) -> Iterator[SourceRow]:
        match source.what:
            case "files":
                return _named(file_rows(source, run, self._base), source.key)
            case "sql":
                return _named(_numbered(query_rows(source, run)), source.key)
            case "http":
                return _named(_numbered(page_rows(source, run)), source.key)
            case _:
                return earlier_rows(source, run, self._database)


def _numbered(rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((str(number), row) for number, row in enumerate(rows, start=1))


def _named(rows: Iterable[tuple[str, dict[str, Any]]], key: str | None) -> Iterator[SourceRow]:
    """Give each row its key: the field that was asked for, else `id` if it has one, else its place."""
    for place, row in rows:
        if key is None and USUAL_KEY not in row:
            yield SourceRow(place, row)
            continue
        field = key or USUAL_KEY
        yield SourceRow(_key_of(row.get(field), field, place), row)


def _key_of(value: Any, field: str, place: str) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_KEY or not value.isprintable():
        raise UnusableRow(
            f"row {place}: its key `{field}` is {str(value)[:80]!r}; expected a text of 1 to "
            f"{LONGEST_KEY} characters or a whole number"
        )
    return value
