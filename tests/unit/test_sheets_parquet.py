"""Parquet as rows: its types become what people expect, and a damaged or hostile file is refused."""

import io
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.defaults import JobDefaults
from jobs.errors import BodyTooLarge, LineFault, LineTooLong, SubmissionError, UnreadableBody
from jobs.sheets.columns import Column
from jobs.sheets.parquet_rows import parquet_rows
from jobs.sheets.rows import Row, SheetRows

MOST = 1 << 30


def written(table: Any, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def rows_of(body: bytes, folder: Path, most_bytes: int = MOST) -> tuple[list[Column], list[Row]]:
    columns: list[Column] = []

    def begin(found: Any) -> SheetRows:
        columns.extend(found)
        return SheetRows(found, JobDefaults.from_query({"template": "{{ a }}"}))

    path = folder / "sheet.parquet"
    path.write_bytes(body)
    with path.open("rb") as file:
        rows = [row for group in parquet_rows(file, begin, most_bytes) for row in group]
    return columns, rows


def test_values_are_what_people_expect_in_a_prompt(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = pa.table(
        {
            "id": pa.array([7.0]),
            "a": ["text"],
            "whole": pa.array([2**63], pa.uint64()),
            "part": [0.5],
            "is": [True],
            "price": pa.array([Decimal("12.30")]),
            "at": pa.array([moment], pa.timestamp("ns", "UTC")),
            "day": [date(2026, 1, 2)],
            "list": [["x", None]],
            "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "struct": [{"n": 1}],
            "bytes": [b"old text"],
            "word": pa.array(["w"]).dictionary_encode(),
            "nothing": pa.array([None], pa.string()),
        }
    )
    columns, ((number, line),) = rows_of(written(table), tmp_path)
    assert number == 1
    assert isinstance(line, bytes)
    assert msgspec.json.decode(line) == {
        "custom_id": "7",
        "variables": {
            "id": 7.0,
            "a": "text",
            "whole": 2**63,
            "part": 0.5,
            "is": True,
            "price": "12.30",
            "at": "2026-01-02T03:04:05+00:00",
            "day": "2026-01-02",
            "list": ["x", None],
            "map": {"k": 1},
            "struct": {"n": 1},
            "bytes": "old text",
            "word": "w",
        },
    }
    types = {column.name: column.type.value for column in columns}
    assert (types["id"], types["is"], types["list"]) == ("number", "boolean", "json")
    assert (types["whole"], types["price"], types["word"]) == ("json", "text", "text")


def test_what_json_can_not_tell_is_a_fault_of_its_row_and_column(tmp_path: Path) -> None:
    table = pa.table(
        {"a": ["x", "y", "z"], "n": [1.0, float("nan"), None], "b": [b"", None, b"\xff"]}
    )
    _, rows = rows_of(written(table), tmp_path)
    assert isinstance(rows[0][1], bytes)
    faults = [row[1] for row in rows[1:]]
    assert [(f.line, f.field, f.code) for f in faults if isinstance(f, LineFault)] == [
        (2, "n", "invalid_number"),
        (3, "b", "invalid_encoding"),
    ]


def test_row_groups_are_read_one_after_the_other(tmp_path: Path) -> None:
    table = pa.table({"a": [f"text {number}" for number in range(5000)]})
    _, rows = rows_of(written(table, row_group_size=700), tmp_path)
    assert [number for number, _ in rows] == list(range(1, 5001))


def cut(body: bytes) -> bytes:
    return body[: len(body) // 2]


def no_magic(body: bytes) -> bytes:
    return b"{}" + body[2:-4] + b"XXXX"


@pytest.mark.parametrize("damage", [cut, no_magic, lambda _body: b""])
def test_what_is_no_parquet_is_refused(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    with pytest.raises(UnreadableBody) as refused:
        rows_of(damage(written(pa.table({"a": ["x"] * 100}))), tmp_path)
    assert refused.value.code == "invalid_parquet"


def test_a_small_file_that_becomes_a_large_one_is_refused(tmp_path: Path) -> None:
    body = written(pa.table({"a": ["y" * 10_000] * 10_000}))
    assert len(body) < 1 << 20
    with pytest.raises(BodyTooLarge):
        rows_of(body, tmp_path, most_bytes=1 << 20)


def test_a_cell_that_no_job_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LineTooLong):
        rows_of(written(pa.table({"a": ["y" * (17 << 20)]})), tmp_path)


@settings(max_examples=15)
@given(data=st.data())
def test_a_damaged_file_is_rows_or_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    body = bytearray(written(pa.table({"a": [f"text {number}" for number in range(50)]})))
    for _ in range(3):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with suppress(SubmissionError):
        rows_of(bytes(body), tmp_path_factory.mktemp("damaged"))


def test_a_reader_that_stops_leaves_no_process_behind(tmp_path: Path) -> None:
    path = tmp_path / "sheet.parquet"
    path.write_bytes(written(pa.table({"a": ["x" * 1000] * 100_000})))
    present = set(psutil.Process().children())
    with path.open("rb") as file:
        groups = parquet_rows(
            file, lambda found: SheetRows(found, JobDefaults(template="{{ a }}")), MOST
        )
        assert next(groups)
        (child,) = set(psutil.Process().children()) - present
        groups.close()
    assert not child.is_running()
