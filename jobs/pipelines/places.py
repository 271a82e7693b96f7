"""Where in a TOML file a value stands: the line, for people who look for what is wrong."""

import re
from collections.abc import Sequence

_HEADER = re.compile(r"^\s*(?P<open>\[\[?)\s*(?P<name>[^\[\]]+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"^\s*(?P<name>[A-Za-z0-9_-]+(\s*\.\s*[A-Za-z0-9_-]+)*)\s*=")

Place = tuple[str | int, ...]


def line_of(text: str, place: Sequence[str | int]) -> int | None:
    """Return the line, from 1, of a value or of the nearest table around it; None of the file itself."""
    lines = _lines(text)
    for length in range(len(place), 0, -1):
        if (found := lines.get(tuple(place[:length]))) is not None:
            return found
    return None


def shown(place: Sequence[str | int]) -> str:
    """Return a place as people write it, such as `stages[1].for_each`."""
    written = ""
    for part in place:
        written += f"[{part}]" if isinstance(part, int) else f".{part}"
    return written.removeprefix(".")


def _lines(text: str) -> dict[Place, int]:
    """Return the lines of tables and keys. Lines within long texts may be taken for some: then one is off."""
    lines: dict[Place, int] = {}
    counts: dict[str, int] = {}
    table: Place = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if (header := _HEADER.match(line)) is not None:
            names = [name.strip() for name in header["name"].split(".")]
            table = tuple(names)
            if header["open"] == "[[":
                counts[header["name"]] = count = counts.get(header["name"], -1) + 1
                table = (*names, count)
            elif names[0] in counts:
                table = (names[0], counts[names[0]], *names[1:])
            lines.setdefault(table, number)
        elif (key := _KEY.match(line)) is not None:
            names = [name.strip() for name in key["name"].split(".")]
            for length in range(1, len(names) + 1):
                lines.setdefault((*table, *names[:length]), number)
    return lines
