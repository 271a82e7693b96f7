"""`docs/proof.md` lists what the proof of completeness may say, and columns that there are."""

import re
from pathlib import Path

import pytest
from sqlmodel import SQLModel

from jobs.tables import Attempt, Job, LedgerDay, Result, Slice, SpendDay
from tests.support.damages import DAMAGES, RUNNING_DAMAGES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/proof.md").read_text(encoding="utf-8")
SHOWN_OTHERWISE = {"namesake_jobs"}
"""By a test of its own, where the constraint can be dropped."""


def rows_of(heading: str) -> list[list[str]]:
    """Return the cells of a section's table."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def named(text: str) -> set[str]:
    return set(re.findall(r"`([a-z_]+)`", text))


def test_the_codes_are_those_that_some_damage_shows() -> None:
    listed = set().union(*(named(codes) for codes, _ in rows_of("What is compared")))
    assert listed == {code for code, _ in (*DAMAGES, *RUNNING_DAMAGES)} | SHOWN_OTHERWISE


@pytest.mark.parametrize("table", [Job, Result, Attempt, LedgerDay, SpendDay, Slice])
def test_what_is_not_compared_are_columns_of_the_table(table: type[SQLModel]) -> None:
    columns, name = set(table.model_fields), str(table.__tablename__)
    told = [cell for cell, _ in rows_of("What is not compared") if cell.startswith(f"`{name}`: ")]
    assert told
    for cell in told:
        assert named(cell.split(": ", 1)[1]) - {"done", "reconciled_at"} <= columns, cell
