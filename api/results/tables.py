"""Results as rows of a table: their columns with types, and beside them those of the jobs' own sheet."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from api.shapes import result_object
from jobs.sheets.cells import CellType
from jobs.sheets.columns import Column, ColumnType
from jobs.sheets.rows import CARRIED, VARIABLES
from jobs.store.results.results import ResultRow

COLUMNS: Mapping[str, CellType] = {
    "custom_id": CellType.TEXT,
    "seq": CellType.INTEGER,
    "status": CellType.TEXT,
    "output": CellType.TEXT,
    "finish_reason": CellType.TEXT,
    "error_code": CellType.TEXT,
    "error_message": CellType.TEXT,
    "input_tokens": CellType.INTEGER,
    "cached_input_tokens": CellType.INTEGER,
    "cache_write_tokens": CellType.INTEGER,
    "output_tokens": CellType.INTEGER,
    "reasoning_tokens": CellType.INTEGER,
    "cost_usd": CellType.DOLLARS,
    "provider": CellType.TEXT,
    "pool": CellType.TEXT,
    "model": CellType.TEXT,
    "attempts": CellType.INTEGER,
    "source": CellType.TEXT,
    "latency_ms": CellType.INTEGER,
    "finished_at": CellType.MOMENT,
    "cost_is_estimate": CellType.BOOLEAN,
    "mended": CellType.TEXT,
}
"""Of a result. An `output` that is no text is one as JSON: what its schema is, is each line's matter."""

INPUT = "input"
"""What a job's own line is called beside its result, and what the names of its columns begin with where a
result has such a column."""

_FROM_SHEET = {
    ColumnType.TEXT: CellType.TEXT,
    ColumnType.INTEGER: CellType.INTEGER,
    ColumnType.NUMBER: CellType.NUMBER,
    ColumnType.BOOLEAN: CellType.BOOLEAN,
    ColumnType.JSON: CellType.TEXT,
}


class Joined:
    """What a batch's own lines have beside its results: the columns of its sheet, or the whole line."""

    def __init__(self, columns: Sequence[Column] | None) -> None:
        """Take columns of a sheet; None for a batch that was submitted as lines."""
        self._columns = columns

    @property
    def columns(self) -> Mapping[str, CellType]:
        """The columns by the names that they have beside those of results."""
        if self._columns is None:
            return {INPUT: CellType.TEXT}
        own = {column.name for column in self._columns}
        columns = {}
        for column in self._columns:
            name = column.name
            while name in COLUMNS or (name != column.name and name in own):
                name = f"{INPUT}_{name}"
            columns[name] = _FROM_SHEET[column.type]
        return columns

    def cells(self, request: str) -> list[Any]:
        """Return the values of a job's line, in the order of `columns`."""
        if self._columns is None:
            return [request]
        line = msgspec.json.decode(request)
        return [_text_of(_cell(line, column)) for column in self._columns]

    def object(self, request: str) -> Any:
        """Return what a result has as `input`."""
        if self._columns is None:
            return msgspec.Raw(request.encode())
        line = msgspec.json.decode(request)
        return {column.name: _cell(line, column) for column in self._columns}


def columns_with(joined: Joined | None) -> dict[str, CellType]:
    """Return the columns of a table of results, in order."""
    return {**COLUMNS, **(joined.columns if joined is not None else {})}


def cells_of(row: ResultRow, joined: Joined | None) -> list[Any]:
    """Return the values of a result in the order of `columns_with`: texts, numbers, booleans or None."""
    found = result_object(row)
    usage, error = found["usage"] or {}, found["error"] or {}
    flat = {
        **found,
        **usage,
        "output": None if row.output is None else _text_of(msgspec.json.decode(row.output)),
        "error_code": error.get("code"),
        "error_message": error.get("message"),
    }
    cells = [flat.get(name) for name in COLUMNS]
    if joined is not None:
        assert row.request is not None  # or whoever asked did so without it
        cells += joined.cells(row.request)
    return cells


def _cell(line: Mapping[str, Any], column: Column) -> Any:
    """Return what a row of a sheet has become: where it stands in a line tells what the column was."""
    for holder, name in ((CARRIED, column.name), (VARIABLES, column.variable)):
        inner = line.get(holder)
        if isinstance(inner, dict) and name in inner:
            return inner[name]
    return line.get(column.name.casefold())


def _text_of(value: Any) -> Any:
    """Return a value as it is in a cell: lists and objects are JSON text."""
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict) else value
