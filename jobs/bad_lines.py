"""The lines of a submission that are no valid jobs: how many, and the first so many of them."""

from collections.abc import Mapping
from dataclasses import replace

from jobs.errors import REPORTED_FAULTS, LineFault


class BadLines:
    """Noted by whoever finds them; a submission that has some is refused as a whole."""

    def __init__(self) -> None:
        self.count = 0
        self.names: Mapping[str, str] = {}
        """What fields are called in what was sent, where that is a sheet with columns."""
        self._first: list[LineFault] = []

    def note(self, fault: LineFault) -> None:
        """Count a bad line, and keep what is wrong with it if it is among the first."""
        self.count += 1
        if len(self._first) < REPORTED_FAULTS:
            named = self.names.get(fault.field, fault.field)
            self._first.append(replace(fault, field=named))

    def reported(self) -> list[LineFault]:
        """Return those that are told, at most `REPORTED_FAULTS`, in the order of their lines."""
        return sorted(self._first, key=lambda fault: fault.line)


def duplicate_custom_id(line_number: int, custom_id: str) -> LineFault:
    """Return what is wrong with a line whose custom_id stands on an earlier one."""
    return LineFault(
        line_number,
        "duplicate_custom_id",
        "custom_id",
        f"{custom_id[:80]!r} stands earlier in this submission; "
        "expected an id that is unique in its batch",
    )
