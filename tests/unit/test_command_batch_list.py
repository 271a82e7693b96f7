"""The list of batches at the widths that terminals have."""

import io
from typing import Any

import pytest
from rich.console import Console

from scripts.command.batch_list import batch_table
from tests.unit.test_command_render import batch

REF = "bat_019f0cd2b6a71f2e3d4c"


def rows_at(width: int, *batches: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, markup=False, emoji=False)
    console.print(batch_table(batches, console))
    return [line.rstrip() for line in out.getvalue().splitlines() if line.strip()]


def many(**changes: Any) -> list[dict[str, Any]]:
    counts = batch()["counts"] | {"total": 1_000_000, "succeeded": 999_000, "failed": 12}
    wide = {"id": REF, "name": "a night shift with a long name", "counts": counts}
    return [batch(**wide | changes), batch(**wide | {"name": None, "state": "cancelling"})]


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (60, "id state done"),
        (80, "id name state done cost"),
        (120, "id name state done failed cost created"),
    ],
)
def test_a_list_fits_its_terminal_without_the_columns_that_are_least_missed(
    width: int, columns: str
) -> None:
    head, *rows = rows_at(width, *many())
    assert head.split() == columns.split()
    assert len(rows) == 2  # none is wrapped
    for row in rows:
        assert row.startswith(f"{REF} ")
        assert len(row) <= width
    assert "999,012/1,000,000" in rows[0]
    assert "running" in rows[0]


def test_a_list_of_small_batches_has_every_column_at_80() -> None:
    head, *_ = rows_at(80, batch(id=REF, name="n1"), batch(id=REF, name="n2"))
    assert head.split() == ["id", "name", "state", "done", "failed", "cost", "created"]


def test_ids_are_whole_where_nothing_else_has_room() -> None:
    head, *rows = rows_at(30, *many())
    assert head.split() == ["id"]
    assert rows == [REF, REF]


def test_a_list_without_names_has_no_column_for_them() -> None:
    assert "name" not in rows_at(120, batch(id=REF, name=None))[0]


def test_a_cost_that_is_not_known_is_no_zero() -> None:
    table = rows_at(
        120,
        batch(id=REF, name=None, cost_usd=None, unpriced_jobs=7),
        batch(id=REF, name=None, cost_usd="0.010000000", unpriced_jobs=13),
    )
    assert "unknown" in table[-2]
    assert "≥ $0.01 (13 unpriced)" in table[-1]
