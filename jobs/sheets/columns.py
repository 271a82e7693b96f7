"""The columns of a sheet: their names, checked, and what kind of values they hold."""

import re
from collections.abc import Sequence
from enum import StrEnum

import msgspec

from jobs.characters import has_hidden
from jobs.errors import InvalidColumns

MAX_COLUMNS = 10_000
"""As many as an object of JSON may have keys."""

MAX_NAME_CHARACTERS = 256
"""What is longer is a cell of a file without a header."""

SHOWN_CHARACTERS = 80
SHOWN_COLUMNS = 20

_NO_NAME = re.compile(r"\W")


class ColumnType(StrEnum):
    """What a column's values are. `json` is everything that is none of the others: lists, structs."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    JSON = "json"


class Column(msgspec.Struct, frozen=True):
    """A column as its sheet names it. Of a CSV file all are text."""

    name: str
    type: ColumnType = ColumnType.TEXT

    @property
    def variable(self) -> str:
        """What a template calls it: its name, with `_` for whatever no variable's name can have."""
        named = _NO_NAME.sub("_", self.name)
        return named if named[:1].isalpha() else f"column_{named.lstrip('_')}"


def columns_of(named: Sequence[str]) -> list[Column]:
    """Return the text columns that a header names; what has no name is `column_N`.

    Blanks around a name, and line ends in it, are no part of it.

    Raises:
        InvalidColumns: as `check_columns` does.
    """
    columns = [
        Column(" ".join(name.split()) or f"column_{place}")
        for place, name in enumerate(named, start=1)
    ]
    check_columns(columns)
    return columns


def check_columns(columns: Sequence[Column]) -> None:
    """Check what a sheet calls its columns.

    Raises:
        InvalidColumns: two have the same name, or are the same variable; one's name can't be; or
            there are too many of them.
    """
    if len(columns) > MAX_COLUMNS:
        raise InvalidColumns(
            f"there are {len(columns):,} columns; expected at most {MAX_COLUMNS:,}"
        )
    seen: dict[str, Column] = {}
    for column in columns:
        if not 0 < len(column.name) <= MAX_NAME_CHARACTERS or has_hidden(column.name):
            raise InvalidColumns(
                f"{shown(column)} can't be a column's name: expected 1 to {MAX_NAME_CHARACTERS} "
                "characters without control characters; is the first row the header?"
            )
        other = seen.setdefault(column.variable, column)
        if other is not column:
            same = (
                "twice" if other.name == column.name else f"beside {shown(other)}, nearly the same"
            )
            raise InvalidColumns(f"the column {shown(column)} is there {same}: rename one of them")


def shown(column: Column) -> str:
    """Return a column's name in quotes, not more of it than is echoed."""
    return repr(column.name[:SHOWN_CHARACTERS])


def listed(columns: Sequence[Column]) -> str:
    """Return the names of columns as the end of a sentence."""
    names = ", ".join(shown(column) for column in columns[:SHOWN_COLUMNS])
    return f"{names}, …" if len(columns) > SHOWN_COLUMNS else names


def columns_text(columns: Sequence[Column]) -> str:
    """Return columns as the JSON text that is stored with their batch."""
    return msgspec.json.encode(columns).decode()


def columns_from(text: str) -> list[Column]:
    """Return the columns that `columns_text` wrote."""
    return msgspec.json.decode(text, type=list[Column])
