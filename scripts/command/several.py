"""Several files as one submission: their jobs one after the other, and where each of them stands."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jobs.errors import InvalidSubmission, LineFault
from scripts.command.job_lines import job_rows
from tidemill.upload import BLOCK_BYTES, NDJSON, Upload, open_upload


@dataclass(frozen=True, slots=True)
class JoinedUpload(Upload):
    """An upload whose lines stand elsewhere: `placed` says where, of what is wrong with one."""

    placed: Callable[[LineFault], LineFault]


class SeveralFiles:
    """Files that are read one after the other, and sent as lines of JSON."""

    def __init__(
        self, files: Sequence[Path], content_type: str | None, query: Mapping[str, str]
    ) -> None:
        """Read `files`; the query says how rows become jobs, `content_type` what all of them are."""
        self._files = files
        self._content_type = content_type
        self._query = query
        self._firsts: list[int] = []
        """Of each file that was begun, how many lines were sent before."""
        self._numbers: list[int] = []
        """Of each line that was sent, the number that it has in its file."""

    def upload(self) -> JoinedUpload:
        """Return what is sent. What is wrong with a line is told by its file and its number there."""
        return JoinedUpload(self._blocks, {"content-type": NDJSON}, None, self._placed)

    def _blocks(self) -> Iterator[bytes]:
        self._firsts, self._numbers = [], []
        block = bytearray()
        for file in self._files:
            for line in self._lines(file):
                block += line + b"\n"
                if len(block) >= BLOCK_BYTES:
                    yield bytes(block)
                    block.clear()
        yield bytes(block)

    def _lines(self, file: Path) -> Iterator[bytes]:
        self._firsts.append(len(self._numbers))
        faults = []
        with open_upload(file, self._content_type) as upload:
            # Two files would both have a first row.
            for number, line in job_rows(upload, self._query, id_prefix=f"{file.name}:"):
                if isinstance(line, LineFault):
                    faults.append(_in_file(line, file))
                else:
                    self._numbers.append(number)
                    yield line
        if faults:
            raise InvalidSubmission(
                f"{file} has rows that are no jobs; nothing was accepted", faults=faults
            )

    def _placed(self, fault: LineFault) -> LineFault:
        place = fault.line - 1
        if not 0 <= place < len(self._numbers):
            return fault
        file = self._files[bisect_right(self._firsts, place) - 1]
        return _in_file(replace(fault, line=self._numbers[place]), file)


def placed_rows(rows: Sequence[Mapping[str, Any]], upload: Upload) -> list[dict[str, Any]]:
    """Return the bad lines of a quote, told by their files where there are several."""
    if not isinstance(upload, JoinedUpload):
        return [dict(row) for row in rows]
    faults = [LineFault(row["line"], row["code"], row["field"], row["message"]) for row in rows]
    return [
        {**row, "line": placed.line, "message": placed.message}
        for row, placed in zip(rows, map(upload.placed, faults), strict=True)
    ]


def _in_file(fault: LineFault, file: Path) -> LineFault:
    return replace(fault, message=f"{file.name}: {fault.message}")
