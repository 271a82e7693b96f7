import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text
from sqlmodel import SQLModel

from jobs.errors import SchemaMismatch
from jobs.store import Database, check_schema, migrate, open_database


def test_migrations_lead_to_exactly_the_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, SQLModel.metadata) == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    migrate(database)
    check_schema(database)


def test_an_empty_database_is_not_ready_before_it_is_migrated(database_url: str) -> None:
    empty = open_database(database_url)
    with pytest.raises(SchemaMismatch, match="older"):
        check_schema(empty)
    empty.close()


def test_a_newer_schema_is_refused_and_left_alone(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for refuses in (migrate, check_schema):
        with pytest.raises(SchemaMismatch, match=r"9999.*newer version"):
            refuses(database)


def test_a_database_with_other_tables_of_these_names_is_refused(database_url: str) -> None:
    foreign = open_database(database_url)
    with foreign.engine.begin() as connection:
        connection.execute(text("CREATE TABLE batch (id integer)"))
    with pytest.raises(SchemaMismatch, match="did not make"):
        migrate(foreign)
    foreign.close()


def test_sqlite_is_durable_and_lets_readers_in(database: Database) -> None:
    with database.read() as session:
        connection = session.connection()
        if database.is_sqlite:
            assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar_one() == 2
        else:
            assert connection.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
