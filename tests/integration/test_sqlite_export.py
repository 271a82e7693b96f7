"""A slow reader of results keeps SQLite's log from growing no longer than its page takes to read."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from api.results import pages as result_pages
from api.results.as_lines import line_pieces
from jobs.states import Outcome, ResultStatus
from jobs.store import Database
from jobs.store.attempts.reports import ResultDraft, Settlement
from jobs.store.money.settlement import flush
from jobs.store.results.results import ResultOrder, page
from tests.support.rows import journal_of, lease_of, migrated, seed_batch

JOBS = 10


def log_can_be_folded_in(file: Path) -> bool:
    """Whether all of the write-ahead log goes into the file now: no reader needs what it was before."""
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
        busy, *_ = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    return not busy


def answer_all(database: Database) -> None:
    lease = lease_of(database, seed_batch(database, jobs=JOBS))
    journals = [journal_of(lease, seq) for seq in range(JOBS)]
    good = ResultDraft(ResultStatus.SUCCEEDED, output='""')
    with database.write() as session:
        flush(session, journals, [])
    with database.write() as session:
        flush(session, [], [Settlement(j, Outcome.SUCCEEDED, result=good) for j in journals])


def test_a_reader_between_two_pages_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_pages, "ROWS_PER_PAGE", 2)
    file = tmp_path / "tidemill.db"
    with migrated(f"sqlite:///{file}") as database:
        answer_all(database)
        reading = result_pages.ResultReading(database, 1, ResultOrder.FINISHED)
        export = line_pieces(reading.pages(0, JOBS))
        first = next(export)
        answer_all(database)
        assert log_can_be_folded_in(file)
        assert len((first + b"".join(export)).splitlines()) == JOBS
        # Within a page it would have to wait: so the test sees the difference.
        with database.read() as session:
            page(session, 1, order=ResultOrder.FINISHED, after=0, limit=2)
            answer_all(database)
            assert not log_can_be_folded_in(file)
