"""Migrations lead to the tables that the code has, on both databases; older and newer ones are told apart."""

from collections.abc import Callable
from typing import LiteralString

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, inspect, text
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from jobs.errors import SchemaMismatch
from jobs.scopes import PROJECT_SCOPES, Scope
from jobs.store import Database, check_schema, is_empty, migrate, open_database
from jobs.store.engine.schema import MIGRATIONS, revisions
from jobs.store.projects import Caller, caller_of_key, create_key, hash_key
from tests.support.postgres import fresh_database


def test_migrations_lead_to_exactly_the_tables(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, SQLModel.metadata) == []


def test_revisions_are_told_by_the_names_of_their_files() -> None:
    script = ScriptDirectory(str(MIGRATIONS))
    walked = [revision.revision for revision in script.walk_revisions()]
    assert list(revisions()) == walked[::-1]
    assert script.get_current_head() == revisions()[-1]


def test_migrating_twice_changes_nothing(database: Database) -> None:
    migrate(database)
    check_schema(database)


def test_an_empty_database_is_not_ready_before_it_is_migrated(empty_database_url: str) -> None:
    empty = open_database(empty_database_url)
    with pytest.raises(SchemaMismatch, match="older"):
        check_schema(empty)
    empty.close()


def test_a_newer_schema_is_refused_and_left_alone(database: Database) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    for refuses in (migrate, check_schema):
        with pytest.raises(SchemaMismatch, match=r"9999.*newer version"):
            refuses(database)


@pytest.mark.parametrize(
    ("encoding", "kind"),
    [
        ("LATIN1", "ENCODING 'LATIN1' LOCALE 'C'"),
        ("SQL_ASCII", "ENCODING 'SQL_ASCII' LOCALE 'C'"),
    ],
)
def test_a_database_that_can_not_hold_every_text_is_refused(
    postgres_server: str, encoding: str, kind: LiteralString
) -> None:
    with fresh_database(postgres_server, kind) as url:
        narrow = open_database(url)
        for refuses in (migrate, check_schema):
            with pytest.raises(SchemaMismatch, match=f"encoding is {encoding}; expected UTF8"):
                refuses(narrow)
        narrow.close()


def test_a_database_is_empty_until_it_is_migrated(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    assert is_empty(database)
    migrate(database)
    assert not is_empty(database)
    database.close()


def test_a_database_with_other_tables_of_these_names_is_refused(empty_database_url: str) -> None:
    foreign = open_database(empty_database_url)
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


def test_batches_that_an_older_version_has_paused_keep_the_cause_of_it(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = open_database(empty_database_url)
    with monkeypatch.context() as patched:
        patched.setattr("alembic.command.upgrade", _upgrade_to("0001"))
        migrate(older)
    known = {column["name"] for column in inspect(older.engine).get_columns("batch")}
    columns = [name for name in _NUMBERS if name in known - {"total_jobs", "spent_nanos"}]
    with older.engine.begin() as connection:
        connection.execute(text("INSERT INTO project VALUES (1, 'default', '2026-01-01')"))
        for ref, state, waiting_for in (
            ("bat_owner", "paused", "paused by its owner"),
            ("bat_budget", "paused", "its budget of $0.005000000 is used up: the next call"),
            ("bat_running", "running", None),
        ):
            connection.execute(
                text(
                    "INSERT INTO batch (ref, project_id, state, priority, defaults, created_at, "  # noqa: S608  (our own names)
                    f"touched_at, waiting_for, total_jobs, spent_nanos, {', '.join(columns)}) "
                    "VALUES (:ref, 1, :state, 'normal', '{}', '2026-01-01', '2026-01-01', "
                    f":waiting_for, 10, 7, {', '.join('0' for _ in columns)})"
                ),
                {"ref": ref, "state": state, "waiting_for": waiting_for},
            )
    migrate(older)
    with older.engine.connect() as connection:
        rows = connection.execute(
            text("SELECT ref, pause_cause, spent_nanos FROM batch ORDER BY id")
        )
        assert [tuple(row) for row in rows] == [
            ("bat_owner", "owner", 7),
            ("bat_budget", "batch_budget", 7),
            ("bat_running", None, 7),
        ]
    with pytest.raises(IntegrityError), older.engine.begin() as connection:
        connection.execute(text("UPDATE batch SET pause_cause = 'weather'"))
    with older.engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    migrate(older)
    check_schema(older)
    older.close()


def test_keys_that_an_older_version_has_made_keep_everything_that_they_could_do(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = open_database(empty_database_url)
    with monkeypatch.context() as patched:
        patched.setattr("alembic.command.upgrade", _upgrade_to("0002"))
        migrate(older)
    with older.engine.begin() as connection:
        connection.execute(text("INSERT INTO project VALUES (1, 'default', '2026-01-01')"))
        connection.execute(
            text(
                "INSERT INTO api_key (project_id, prefix, key_hash, created_at) "
                "VALUES (1, 'tm_old', :key_hash, '2026-01-01')"
            ),
            {"key_hash": hash_key("tm_old")},
        )
    migrate(older)
    with older.write() as session:
        assert caller_of_key(session, "tm_old") == Caller(1, PROJECT_SCOPES, None)
        create_key(session, 1, scopes={Scope.READ})
    with older.engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
    # Of an older version, which knows no scopes, a key that may little would be one that may all.
    with older.engine.connect() as connection:
        living = connection.execute(text("SELECT prefix FROM api_key WHERE revoked_at IS NULL"))
        assert living.scalars().all() == ["tm_old"]
    older.close()


def _upgrade_to(revision: str) -> Callable[[Config, str], None]:
    upgrade = command.upgrade
    return lambda config, _head: upgrade(config, revision)


_NUMBERS = [
    column.name
    for column in SQLModel.metadata.tables["batch"].columns
    if not column.nullable
    and isinstance(column.type, BigInteger)
    and column.name not in {"id", "project_id"}
]


def test_what_was_committed_is_on_the_disk_whatever_the_database_is_set_to(
    postgres_url: str,
) -> None:
    careless = open_database(postgres_url)
    name = careless.engine.url.database
    with careless.engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    careless.close()
    database = open_database(postgres_url)
    with database.write() as session:
        assert session.execute(text("SHOW synchronous_commit")).scalar_one() == "on"
    database.close()
