"""Where a run's rows go to: files, a table, a webhook. What is written twice is there once."""

from collections.abc import Iterator
from pathlib import Path

from jobs.errors import UnwritableSink
from jobs.pipelines.ends import SinkSection
from jobs.pipelines.rows import OutputRow, RunFacts, Written
from workers.pipelines.places import filled_in, is_url
from workers.pipelines.sinks.files import write_csv, write_lines, write_parquet
from workers.pipelines.sinks.messages import send
from workers.pipelines.sinks.upsert import upsert

FILES = {"ndjson": write_lines, "csv": write_csv, "parquet": write_parquet}


class Sinks:
    """Writes the sinks of pipelines (`jobs.pipelines.rows.WriteSink`)."""

    def __init__(self, base: Path) -> None:
        """Relative paths are those of `base`."""
        self._base = base

    def __call__(self, sink: SinkSection, run: RunFacts, rows: Iterator[OutputRow]) -> Written:
        """Write all rows, or raise; a file or a table has all of them then, or none.

        Raises:
            UnwritableSink: it can't be written now; the message says why.
        """
        match sink.what:
            case "sql":
                return upsert(sink, rows)
            case "webhook":
                return send(sink, run, rows)
            case kind:
                return self._write_file(kind, getattr(sink, kind), run, rows)

    def _write_file(
        self, kind: str, path: str, run: RunFacts, rows: Iterator[OutputRow]
    ) -> Written:
        path = filled_in(path, run)
        if not is_url(path):
            path = str(self._base / path)
        try:
            return FILES[kind](path, rows)
        except OSError as error:
            raise UnwritableSink(f"{path} can't be written: {error}") from error
