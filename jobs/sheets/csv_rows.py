"""CSV as it arrives: blocks of bytes in, rows out, each with the number of the line on which it begins.

What others read otherwise, or repair in silence, is an error: text after a closing quote, a quote that is
never closed, bytes that are no UTF-8.
"""

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence

from jobs.errors import EmptySubmission, LineTooLong, UnreadableBody
from jobs.lines import MAX_LINE_BYTES
from jobs.sheets.columns import Column, columns_of
from jobs.sheets.rows import Row, RowShape

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
"""By the word that a query has for each: some of them must be escaped there."""

# Python's own bound is 128 KiB, and holds for the whole process; nothing else here reads CSV.
csv.field_size_limit(MAX_LINE_BYTES)

_QUOTED = re.compile(r'"[^"]*"?')
_SPREADSHEET_WORD = re.compile(r"(?i)sep=(?P<delimiter>[,;\t|])\s*")
"""What Excel writes first where the delimiter is not the one that its country expects."""


class CsvRows:
    """The rows of one CSV file, as job lines. A block's rows are to be taken before the next block is."""

    def __init__(
        self, begin: Callable[[Sequence[Column]], RowShape], delimiter: str | None = None
    ) -> None:
        """Read a file whose header is handed to `begin`; without a delimiter, that header tells it."""
        self._begin = begin
        self._delimiter = delimiter
        self._sheet: RowShape | None = None
        self._decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self._rest = ""
        self._lines = 0

    def take(self, block: bytes, *, is_last: bool = False) -> list[Row]:
        """Read the next bytes and return the rows that they complete.

        Raises:
            UnreadableBody: it is no CSV, or not in UTF-8, from here on.
            InvalidColumns, InvalidParameter: as `begin` does.
            LineTooLong: a row is longer than a job may be.
            EmptySubmission: there is no header, and this was the last block.
        """
        lines = io.StringIO(self._rest + self._text(block, is_last), newline="").readlines()
        self._rest = ""
        if lines and not is_last and not lines[-1].endswith("\n"):
            self._rest = lines.pop()
        if self._delimiter is None:
            lines = self._sniffed(lines)
        rows = list(self._rows(lines, is_last)) if lines else []
        if len(self._rest) > MAX_LINE_BYTES:
            raise LineTooLong(
                f"the row on line {self._lines + 1:,} is longer than {MAX_LINE_BYTES:,} bytes; is a "
                "quote opened in it and never closed?"
            )
        if is_last and self._sheet is None:
            raise EmptySubmission("the sheet is empty: expected a header, and a row for each job")
        return rows

    def _text(self, block: bytes, is_last: bool) -> str:
        try:
            return self._decode(block, is_last)
        except UnicodeDecodeError as error:
            before = self._rest + error.object[: error.start].decode(errors="replace")
            line = self._lines + before.count("\n") + 1
            raise UnreadableBody(
                f"expected UTF-8, but line {line:,} has the byte 0x{error.object[error.start]:02x}, "
                'which is none; save the file as "CSV UTF-8"',
                "invalid_encoding",
                line=line,
            ) from error

    def _sniffed(self, lines: list[str]) -> list[str]:
        """Find the delimiter in the first line that is not blank, and return the lines that are left."""
        while lines and not lines[0].strip("\ufeff\r\n \t"):
            self._lines += 1
            lines.pop(0)
        if not lines:
            return lines
        if (word := _SPREADSHEET_WORD.fullmatch(lines[0])) is not None:
            self._delimiter = word["delimiter"]
            self._lines += 1
            return lines[1:]
        bare = _QUOTED.sub("", lines[0])
        # Of equals the first one counts: a comma, also where there is none at all.
        self._delimiter = max(DELIMITERS.values(), key=bare.count)
        return lines

    def _rows(self, lines: list[str], is_last: bool) -> Iterator[Row]:
        for number, cells in self._records(lines, is_last):
            if self._sheet is not None:
                yield number, (self._sheet.line(number, cells) if cells else b"")
            elif cells:
                self._sheet = self._begin(columns_of(cells))

    def _records(self, lines: list[str], is_last: bool) -> Iterator[tuple[int, list[str]]]:
        """Yield the records of whole lines; what is a part of one waits in `_rest` for the next block."""
        taken = done = 0

        def source() -> Iterator[str]:
            nonlocal taken
            for line in lines:
                taken += 1
                yield line

        records = csv.reader(source(), delimiter=self._delimiter or ",", strict=True)
        while True:
            try:
                cells = next(records, None)
            except csv.Error as error:
                if taken == len(lines) and not is_last and str(error) == "unexpected end of data":
                    self._rest = "".join(lines[done:]) + self._rest
                    return
                raise self._malformed(error) from error
            if cells is None:
                return
            number = self._lines + 1
            self._lines += taken - done
            done = taken
            yield number, cells

    def _malformed(self, error: csv.Error) -> UnreadableBody:
        line = self._lines + 1
        why = str(error)
        if why == "unexpected end of data":
            why = "a quote is opened in it and never closed"
        elif "expected after" in why:
            why = "text follows a closing quote; a quote within a cell is written twice"
        elif "field limit" in why:
            why = f"a cell has more than {MAX_LINE_BYTES:,} characters; is a quote never closed?"
        return UnreadableBody(
            f"the row on line {line:,} is no CSV: {why}", "invalid_csv", line=line
        )
