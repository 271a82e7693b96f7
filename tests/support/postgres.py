"""PostgreSQL for tests: an empty database each, made from a template and dropped afterwards."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

CONNECT_TIMEOUT_S = 3


def answers(server_url: str) -> bool:
    """Whether the server lets us in."""
    with suppress(psycopg.OperationalError), _administer(server_url):
        return True
    return False


@contextmanager
def fresh_database(
    server_url: str, kind: LiteralString = "ENCODING 'UTF8'", template: str = "template0"
) -> Iterator[str]:
    """Yield the SQLAlchemy address of a new database of this server: empty, or as its template."""
    name = f"tidemill_test_{uuid.uuid4().hex}"
    with _administer(server_url) as server:
        # template0 and not template1, which can't be copied while anybody is connected to it.
        server.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} {}").format(
                sql.Identifier(name), sql.Identifier(template), sql.SQL(kind)
            )
        )
    try:
        yield urlsplit(server_url)._replace(scheme="postgresql+psycopg", path=f"/{name}").geturl()
    finally:
        with _administer(server_url) as server:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(server_url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(server_url, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S)
