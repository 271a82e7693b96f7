"""Databases at the present schema, made by a copy: a process of tests migrates one of each kind."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from jobs.store import migrate, open_database
from tests.support import postgres


def at_present_schema(url: str) -> None:
    """Bring a database to the present schema, and let nobody be connected to it."""
    database = open_database(url)
    try:
        migrate(database)
    finally:
        database.close()


def copy_sqlite(file: Path) -> str:
    """Make `file` a SQLite database without rows, and return its SQLAlchemy address."""
    file.write_bytes(_sqlite())
    return f"sqlite:///{file}"


@contextmanager
def postgres_template(server_url: str) -> Iterator[str]:
    """Yield the name of a PostgreSQL database without rows, for `postgres.fresh_database`."""
    with postgres.fresh_database(server_url) as url:
        at_present_schema(url)
        yield urlsplit(url).path.removeprefix("/")


@lru_cache(maxsize=1)
def _sqlite() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "tidemill.db"
        at_present_schema(f"sqlite:///{file}")
        return file.read_bytes()
