"""Where a measurement keeps its rows and messages: a place of its own, which is gone afterwards."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import redis

from jobs.errors import ServiceUnavailable, TidemillError
from jobs.settings import Settings
from jobs.store import Database, now, open_database
from scripts.benchmarks.cases import Store

DATABASE_NUMBERS = range(1, 16)
LOCK_EXPIRES_S = 1800
"""Longer than any single measurement; a number is free again some time after a killed one."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Servers that run already. `redis_url` is without a database number."""

    postgres_url: str
    redis_url: str


@dataclass(frozen=True, slots=True)
class Place:
    """Addresses as the settings have them; empty ones stand for what is embedded."""

    database_url: str
    broker_url: str
    redis_url: str = ""
    """The gate's, where that is not the broker."""


@contextmanager
def own_place(store: Store, servers: Servers) -> Iterator[Place]:
    """Yield an empty place of this kind.

    Raises:
        ServiceUnavailable: no database number of the Redis is free.
    """
    match store:
        case Store.SQLITE:
            yield Place("", "")
        case Store.POSTGRES:
            with (
                _own_database(servers.postgres_url) as database_url,
                _own_number(servers.redis_url) as redis_url,
            ):
                yield Place(database_url, redis_url)


@contextmanager
def own_rows(store: Store, servers: Servers) -> Iterator[Place]:
    """Yield the same with only the rows on a server, and the messages in the embedded Valkey."""
    match store:
        case Store.SQLITE:
            yield Place("", "")
        case Store.POSTGRES:
            with _own_database(servers.postgres_url) as database_url:
                yield Place(database_url, "")


def version(store: Store, servers: Servers) -> str:
    """Return what serves this store, with versions.

    Raises:
        ServiceUnavailable: a server of it does not answer; the message names it.
    """
    match store:
        case Store.SQLITE:
            return "SQLite, embedded Valkey"
        case Store.POSTGRES:
            return f"{_postgres_version(servers.postgres_url)}, {_redis_version(servers.redis_url)}"


def _postgres_version(url: str) -> str:
    try:
        with _administered(url) as server, server.read() as session:
            now(session)
            found = session.connection().exec_driver_sql("SHOW server_version").scalar_one()
    except TidemillError as error:
        raise ServiceUnavailable(f"no PostgreSQL at {_public(url)}: {error.message}") from error
    return f"PostgreSQL {found}"


def _redis_version(url: str) -> str:
    try:
        with redis.Redis.from_url(url, socket_timeout=2.0) as client:
            return f"Redis {client.info('server')['redis_version']}"
    except redis.RedisError as error:
        raise ServiceUnavailable(f"no Redis at {_public(url)}: {error}") from error


@contextmanager
def _own_database(server_url: str) -> Iterator[str]:
    name = f"tidemill_bench_{uuid.uuid4().hex}"
    with _administered(server_url) as server:
        _administer(server, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        try:
            yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
        finally:
            _administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _administered(server_url: str) -> Iterator[Database]:
    url = Settings(database_url=server_url).resolved_database_url()
    server = open_database(url, connections=1)
    try:
        yield server
    finally:
        server.close()


def _administer(server: Database, statement: str) -> None:
    # Databases are made and dropped outside of transactions.
    with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(statement)


@contextmanager
def _own_number(server_url: str) -> Iterator[str]:
    """Take a database number by the same locks as the test suite, so that neither flushes the other."""
    token = uuid.uuid4().hex
    with redis.Redis.from_url(f"{server_url}/0", decode_responses=True) as locks:
        for number in DATABASE_NUMBERS:
            lock = f"tidemill:test:database:{number}"
            if locks.set(lock, token, nx=True, ex=LOCK_EXPIRES_S):
                break
        else:
            raise ServiceUnavailable(
                f"all databases of the Redis at {_public(server_url)} are taken"
            )
        url = f"{server_url}/{number}"
        with redis.Redis.from_url(url) as own:
            own.flushdb()
            try:
                yield url
            finally:
                own.flushdb()
                if locks.get(lock) == token:
                    locks.delete(lock)


def _public(url: str) -> str:
    """Return the address without a password."""
    address = urlsplit(url)
    return f"{address.hostname}:{address.port}"
