"""A part that starts while its database is away waits, and says so once."""

import logging
from pathlib import Path

import pytest

from jobs.errors import SchemaMismatch, ServiceUnavailable
from jobs.store import once_reachable, open_database
from jobs.store.engine.database import Database


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    monkeypatch.setattr("jobs.store.engine.schema.LOOK_AGAIN_S", 0.0)
    return open_database(f"sqlite:///{tmp_path}/tidemill.db")


def test_what_is_waited_for_is_said_once_and_again_when_it_becomes_something_else(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    reasons = iter(["refused", "refused", "refused", "starting up", "starting up"])

    def duty(_database: Database) -> None:
        if (reason := next(reasons, None)) is not None:
            raise ServiceUnavailable(reason)

    once_reachable(database, duty)
    assert [record.message for record in caplog.records] == [
        "waiting to begin: refused",
        "waiting to begin: starting up",
        "the database can be used",
    ]


def test_a_database_that_is_there_is_worth_no_word_and_one_of_another_version_is_not_waited_for(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def duty(_database: Database) -> None:
        raise SchemaMismatch("newer")

    caplog.set_level(logging.INFO)
    once_reachable(database, lambda _database: None)
    with pytest.raises(SchemaMismatch):
        once_reachable(database, duty)
    assert not caplog.records
