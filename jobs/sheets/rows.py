"""From the rows of a sheet to job lines: a column is a field of the job, or a variable, or carried along.

What comes out is a line of JSON as somebody could have written it, so all that is true of lines is true
of rows: they are checked, stored, retried and quoted in the same way.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, get_args, get_origin

import msgspec

from jobs.defaults import JobDefaults
from jobs.errors import InvalidColumns, InvalidParameter, LineFault
from jobs.kinds import KINDS
from jobs.sheets.columns import Column, listed, shown

CUSTOM_ID = "custom_id"
ID = "id"
"""What the column of ids is called, if it is not `CUSTOM_ID` and nobody says otherwise."""

VARIABLES = "variables"
CARRIED = "metadata"

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "generation": ("prompt", "messages", VARIABLES, "template"),
    "translation": ("text",),
    "extraction": ("text",),
}
"""Without a column of these, no row can be a job of the kind."""

EXACT = 2.0**53
"""Up to here a float holds every whole number."""

_WORDS = {"true": True, "false": False}
"""As spreadsheets write them, in capitals or not."""

Cell = Any
"""A text, a number, a boolean, a list or a dictionary. An empty text and None are no value."""

Row = tuple[int, bytes | LineFault]
"""A row's number and the line that it became, or what is wrong with it; an empty line for a blank row."""

_Put = Callable[[dict[str, Any], Cell], None]


class RowShape(Protocol):
    """What a row becomes."""

    def line(self, number: int, cells: Sequence[Cell]) -> bytes | LineFault:
        """Return a line of JSON, empty for a row without any value, or what is wrong with the row."""
        ...


class SheetRows:
    """Makes the job lines of one sheet's rows."""

    def __init__(
        self,
        columns: Sequence[Column],
        defaults: JobDefaults,
        *,
        id_column: str | None = None,
        id_prefix: str = "",
    ) -> None:
        """Find out what each column is.

        Args:
            columns: as `check_columns` lets them pass.
            defaults: of the batch; what its kind's lines have as fields are fields.
            id_column: the column of ids; None for `custom_id`, else `id`, else the rows' numbers.
            id_prefix: what ids that are numbers of rows begin with.

        Raises:
            InvalidParameter: there is no such column of ids.
            InvalidColumns: two columns are the same field, or no row can be a job.
        """
        self.columns = tuple(columns)
        self._defaults = defaults
        self._ids = _id_place(columns, id_column)
        self._id_prefix = id_prefix
        fields = _fields_of(defaults.kind)
        places = _places_of(columns, fields)
        self._kinds = places.get("kind")
        _check_needed(columns, places, defaults)
        self._plans = {defaults.kind: self._plan(defaults.kind)}
        self._rows = 0

    @property
    def names(self) -> Mapping[str, str]:
        """The columns that fields of the lines come from, where these are called otherwise."""
        names = {}
        for column in self.columns:
            field = column.name.casefold()
            names[field] = column.name
            names[f"{VARIABLES}.{column.variable}"] = column.name
        if self._ids is not None:
            names[CUSTOM_ID] = self.columns[self._ids].name
        return {field: name for field, name in names.items() if field != name}

    def line(self, number: int, cells: Sequence[Cell]) -> bytes | LineFault:
        """Return the line of a row, empty for a row without any value.

        `number` is told of what is wrong with it. Ids that are numbers of rows count those that have values.
        """
        if len(cells) != len(self.columns):
            return LineFault(
                number,
                "ragged_row",
                "",
                f"has {len(cells):,} cells, and the header has {len(self.columns):,}; cells that "
                "have the delimiter, a quote or a line end in them must be in quotes",
            )
        if not any(cell is not None and cell != "" for cell in cells):
            return b""
        self._rows += 1
        line: dict[str, Any] = {}
        if self._ids is None:
            line[CUSTOM_ID] = f"{self._id_prefix}{self._rows}"
        elif (named := cells[self._ids]) is not None and named != "":
            line[CUSTOM_ID] = _id_of(named)
        for put, cell in zip(self._plan_of(cells), cells, strict=True):
            if cell is not None and cell != "":
                put(line, cell)
        return msgspec.json.encode(line)

    def _plan_of(self, cells: Sequence[Cell]) -> list[_Put]:
        kind = self._defaults.kind if self._kinds is None else cells[self._kinds]
        if not isinstance(kind, str) or kind not in KINDS:
            kind = self._defaults.kind  # the reader of lines says what is wrong with it
        if (plan := self._plans.get(kind)) is None:
            plan = self._plans[kind] = self._plan(kind)
        return plan

    def _plan(self, kind: str) -> list[_Put]:
        """Return what is done with the cell of each column in a row of a kind."""
        fields = _fields_of(kind)
        places = _places_of(self.columns, fields)
        is_filled_in = VARIABLES in fields and VARIABLES not in places
        has_template = self._defaults.template is not None
        if is_filled_in and has_template:
            # Whoever gives a template for all rows wants it filled in, whatever the columns are called.
            for field in ("prompt", "messages"):
                places.pop(field, None)
        names = {place: field for field, place in places.items()}
        others = VARIABLES if is_filled_in and (has_template or "template" in places) else CARRIED
        return [
            self._put(place, column, names.get(place), fields, others)
            for place, column in enumerate(self.columns)
        ]

    def _put(
        self, place: int, column: Column, field: str | None, fields: Mapping[str, bool], others: str
    ) -> _Put:
        if field is None or (field == CUSTOM_ID and place != self._ids):
            return _put_other(others, column)
        return _skip if field == CUSTOM_ID else _put_field(field, fields[field])


def _skip(_line: dict[str, Any], _cell: Cell) -> None:
    return


def _put_field(field: str, is_text: bool) -> _Put:
    if is_text:

        def put(line: dict[str, Any], cell: Cell) -> None:
            line[field] = cell
    else:

        def put(line: dict[str, Any], cell: Cell) -> None:
            line[field] = _whole(_value_of(cell) if isinstance(cell, str) else cell)

    return put


def _put_other(holder: str, column: Column) -> _Put:
    name = column.variable if holder == VARIABLES else column.name

    def put(line: dict[str, Any], cell: Cell) -> None:
        line.setdefault(holder, {})[name] = cell

    return put


def _value_of(text: str) -> Any:
    """Return what a text means where no text is wanted; the text itself if nothing."""
    if (word := _WORDS.get(text.strip().casefold())) is not None:
        return word
    raw = text.encode()
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return text
    return value if isinstance(value, float) else msgspec.Raw(raw.strip())


def _whole(value: Any) -> Any:
    """Return a whole number as one: where a column has gaps, many tools hold its integers as floats."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT:
        return int(value)
    return value


def _id_of(cell: Cell) -> Any:
    """Return an id as text, whole numbers as such."""
    cell = _whole(cell)
    is_number = isinstance(cell, int) and not isinstance(cell, bool)
    return str(cell) if is_number else cell


def _id_place(columns: Sequence[Column], id_column: str | None) -> int | None:
    names = [column.name for column in columns]
    if id_column is not None:
        if id_column in names:
            return names.index(id_column)
        raise InvalidParameter(
            f"`id_column`: there is no column {id_column[:80]!r}; there are {listed(columns)}",
            field="id_column",
        )
    folded = [name.casefold() for name in names]
    for usual in (CUSTOM_ID, ID):
        if usual in folded:
            return folded.index(usual)
    return None


def _fields_of(kind: str) -> dict[str, bool]:
    """Return the fields of a kind's lines, each with whether it takes a text."""
    return {
        field.name: _takes_text(field.type)
        for field in msgspec.structs.fields(KINDS[kind].line_type)
        if field.name != CARRIED
    }


def _takes_text(kind: Any) -> bool:
    if kind is str:
        return True
    if get_origin(kind) is Literal:
        return all(isinstance(word, str) for word in get_args(kind))
    if hasattr(kind, "__metadata__"):  # Annotated
        return _takes_text(kind.__origin__)
    is_union = get_origin(kind) not in {list, tuple, dict}
    return is_union and any(_takes_text(part) for part in get_args(kind))


def _places_of(columns: Sequence[Column], fields: Mapping[str, bool]) -> dict[str, int]:
    """Return the places of the columns that are fields, by field."""
    places: dict[str, int] = {}
    for place, column in enumerate(columns):
        field = column.name.casefold()
        if field not in fields:
            continue
        if field in places:
            both = f"{shown(columns[places[field]])} and {shown(column)}"
            raise InvalidColumns(f"the columns {both} are both the field `{field}`: rename one")
        places[field] = place
    return places


def _check_needed(
    columns: Sequence[Column], places: Mapping[str, int], defaults: JobDefaults
) -> None:
    needed = _NEEDED.get(defaults.kind)
    if needed is None or "kind" in places or any(field in places for field in needed):
        return
    if defaults.kind == "generation":
        if defaults.template is not None:
            return
        wanted = "a column `prompt`, or a template such as {{ " + columns[0].variable + " }}"
    else:
        wanted = f"a column `{needed[0]}` for a {defaults.kind}"
    raise InvalidColumns(
        f"no row can be a job: expected {wanted}; the columns are {listed(columns)}"
    )
