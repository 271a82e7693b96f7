"""Rows that earlier runs have done are found by their keys, without reading those runs."""

from pathlib import Path
from typing import Any

from sqlalchemy import event

from jobs.store.runs import run_sources
from jobs.tables import Run
from tests.support.rows import migrated


def test_sqlite_reads_no_whole_run(tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        asked.append((statement, values))

    with migrated(f"sqlite:///{tmp_path}/rows.db") as database, database.read() as session:
        connection = session.connection()
        event.listen(connection, "before_cursor_execute", note)
        run: dict[str, Any] = {"id": 9, "project_id": 1, "pipeline": "articles"}
        run_sources.done_before(session, Run(**run), {"a": "x", "b": "y"})
        statement, values = asked[-1]
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
    of_rows = [step[3] for step in plan if "run_item" in step[3]]
    assert len(of_rows) == 2
    assert any("(run_id=? AND key=?)" in step for step in of_rows)
    assert any("(run_id=? AND number=?" in step for step in of_rows)
