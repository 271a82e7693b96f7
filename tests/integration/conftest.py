"""Databases at the present schema."""

from collections.abc import Iterator

import pytest

from jobs.store import Database
from tests.support.rows import migrated


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database: once SQLite, once PostgreSQL."""
    with migrated(database_url) as database:
        yield database
