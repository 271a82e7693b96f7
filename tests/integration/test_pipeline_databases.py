"""Pipelines at somebody's database: a query that may only read, and a table that gets rows by upsert."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text

from jobs.errors import UnreadableSource, UnwritableSink
from jobs.pipelines.ends import SinkSection, SourceSection
from jobs.pipelines.rows import OutputRow, RunFacts, SourceRow
from workers.pipelines.sinks import Sinks
from workers.pipelines.sources import Sources

RUN = RunFacts(
    run_id=1,
    ref="run_1",
    project_id=1,
    pipeline="nightly",
    day=date(2026, 11, 28),
    due_at=datetime(2026, 11, 27, 22, tzinfo=UTC),
)

Rows = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def shop(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """Somebody's database, which pipelines' files call env:SHOP_URL."""
    monkeypatch.setenv("SHOP_URL", empty_database_url.replace("postgresql+psycopg", "postgres"))
    engine = create_engine(empty_database_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def write(rows: Rows, table: str = "article") -> None:
    sink = SinkSection(sql=table, database="env:SHOP_URL")
    written = Sinks(Path())(sink, RUN, (OutputRow(key, fields) for key, fields in rows))
    assert (written.rows, written.place) == (len(rows), f"table {table}")


def test_rows_are_inserted_and_changed_where_they_are(shop: Connection) -> None:
    write([("a", {"title": "x", "facts": {"year": 1851}}), ("b", {"title": "y"})])
    write([("b", {"title": "z"}), ("c", {"title": None, "facts": {"year": 3}})])
    write([("b", {"title": "z"}), ("c", {"title": None, "facts": {"year": 3}})])
    rows = shop.execute(text("SELECT key, title, facts_year FROM article ORDER BY key"))
    assert [tuple(row) for row in rows] == [("a", "x", 1851), ("b", "z", None), ("c", None, 3)]


def test_a_table_that_is_there_is_taken_as_it_is(shop: Connection) -> None:
    shop.execute(
        text("CREATE TABLE article (key TEXT PRIMARY KEY, tags JSON, own TEXT DEFAULT 'own')")
    )
    write([("a", {"tags": ["x"]})])
    assert [tuple(row) for row in shop.execute(text("SELECT key, own FROM article"))] == [
        ("a", "own")
    ]
    with pytest.raises(UnwritableSink, match="table article has no column title"):
        write([("b", {"title": "x"})])


def test_of_rows_that_a_table_refuses_none_is_there(shop: Connection) -> None:
    shop.execute(text("CREATE TABLE article (key TEXT PRIMARY KEY, title TEXT NOT NULL)"))
    with pytest.raises(UnwritableSink, match="table article: "):
        write([("a", {"title": "x"}), ("b", {"title": None})])
    assert shop.execute(text("SELECT count(*) FROM article")).scalar_one() == 0


def read(sql: str) -> list[SourceRow]:
    unused: Any = None
    source = SourceSection(sql=sql, database="env:SHOP_URL")
    return list(Sources(unused, Path())(source, RUN))


@pytest.mark.usefixtures("shop")
def test_a_query_is_read_with_the_run_s_day() -> None:
    write([(f"row {number}", {"day": "2026-11-28"}) for number in range(2500)])
    found = read("SELECT key AS id, day FROM article WHERE day = CAST(:date AS TEXT)")
    assert len(found) == 2500
    assert found[0].fields["day"] == "2026-11-28"


def test_a_query_of_postgresql_has_values_of_json_and_changes_nothing(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_URL", postgres_url)
    row = "SELECT 1 AS id, 1.50::numeric AS price, CAST(:date AS date) AS day, '{\"a\": 1}'::jsonb AS more"
    assert read(row) == [
        SourceRow("1", {"id": 1, "price": 1.5, "day": "2026-11-28", "more": {"a": 1}})
    ]
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE SEQUENCE counted"))
    engine.dispose()
    with pytest.raises(UnreadableSource, match="read-only"):
        read("SELECT nextval('counted') AS id")
