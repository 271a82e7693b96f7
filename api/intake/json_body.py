"""A JSON body as lines: the items of its one list, each as its bytes, while it still arrives.

Only the outermost list is looked at here, and nothing is built from it; what an item may be is the
line reader's matter.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from jobs.errors import EmptySubmission, LineTooLong, UnreadableBody, WrongFormat
from jobs.lines import MAX_LINE_BYTES
from jobs.strict_json import LooseJson, read_strict

EXAMINED_BYTES = 1 << 20
"""Of a body that is no submission: as much is read once more, to say what is wrong with it."""

BLOCK_BYTES = 1 << 20
"""Of a whole body that are looked at at once: there could be millions of empty items."""

_COMMA = ord(",")
_CLOSING = b"]}"

_END = {b"{": re.compile(rb"\s*\}\s*\Z"), b"[": re.compile(rb"\s*\Z")}
"""What may follow the list, by how the document begins."""

# A text is one token, also one without an end: nothing in it is taken for structure.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\(?s:.|\Z)[^"\\]*+)*+(?P<end>"|\Z)|[\[\]{},]')


@dataclass(frozen=True, slots=True)
class ListForm:
    """What a document looks like: `{"NOUNs": [...]}`, or the bare list where it `may_be_bare`.

    `expected` is what who sent something else is told.
    """

    noun: str
    may_be_bare: bool
    expected: str

    def beginning(self) -> re.Pattern[bytes]:
        """Return how the document begins, up to the first item."""
        start = rb'\{\s*"%ss"\s*:\s*\[' % self.noun.encode()
        if self.may_be_bare:
            start = rb"(?:%s|\[)" % start
        return re.compile(rb"(?:\xef\xbb\xbf)?\s*" + start)


JOBS = ListForm(
    "job",
    may_be_bare=True,
    expected='a body of type application/json is {"jobs": [...]}, or a list of jobs, and nothing else; '
    "one job a line is application/x-ndjson",
)


class _Stage(Enum):
    BEGINNING = 1
    ITEMS = 2
    END = 3


class ListReader:
    """The items of one body. Holds as much of it as the item that is arriving has."""

    def __init__(self, form: ListForm) -> None:
        self._form = form
        self._beginning = form.beginning()
        self._stage = _Stage.BEGINNING
        self._text = b""
        self._scanned = 0
        """Of the text, how much was looked at: up to there it is one item, or a part of it."""
        self._depth = 0
        self._items = 0
        self._end = _END[b"["]
        self._lines = 0
        self._column = 0
        """Where the text begins, both from 0; the column in bytes."""

    def take(self, block: bytes) -> Iterator[bytes]:
        """Yield the items that the next bytes complete; to be exhausted.

        Raises:
            WrongFormat: it is JSON, but no such document.
            UnreadableBody: it is no JSON.
            LineTooLong: an item has more than `MAX_LINE_BYTES`.
        """
        self._text += block
        if self._stage is _Stage.BEGINNING:
            self._begin()
        if self._stage is _Stage.ITEMS:
            yield from self._cut()
        if self._stage is _Stage.ITEMS and len(self._text) > MAX_LINE_BYTES:
            raise LineTooLong(
                f"{self._form.noun} {self._items + 1:,} is longer than {MAX_LINE_BYTES:,} bytes; "
                "expected one without files in it"
            )
        if self._stage is _Stage.END and (
            self._text.strip(b" \t\r\n}") or len(self._text) > EXAMINED_BYTES
        ):
            raise self._no_end()

    def end(self) -> None:
        """Check that the document is complete. Raises as `take` does, and EmptySubmission for nothing."""
        if self._stage is _Stage.BEGINNING:
            raise self._no_list()
        if self._stage is _Stage.ITEMS:
            raise self._cut_off(len(self._text))
        if not self._end.match(self._text):
            raise self._no_end()

    def _begin(self) -> None:
        start = self._beginning.match(self._text)
        if start is not None:
            is_object = b"{" in start[0]
            self._end = _END[b"{" if is_object else b"["]
            self._drop(start.end())
            self._stage = _Stage.ITEMS
        elif len(self._text) > EXAMINED_BYTES:
            raise self._no_list()

    def _cut(self) -> Iterator[bytes]:
        begin = 0
        for position in self._marks():
            item, mark = self._text[begin:position], self._text[position]
            if item.strip():
                self._items += 1
                yield item
            elif mark == _COMMA or self._items:
                raise self._at(position, f"expected a {self._form.noun} before this")
            begin = position + 1
            if mark != _COMMA:
                if mark != ord("]"):
                    raise self._cut_off(begin)
                self._stage = _Stage.END
                break
        self._drop(begin)

    def _marks(self) -> Iterator[int]:
        """Yield the places of the commas between items, and of the bracket after the last."""
        for token in _TOKEN.finditer(self._text, self._scanned):
            mark = self._text[token.start()]
            if token["end"] == b"":
                self._scanned = token.start()  # the rest of this text is to come
                return
            if mark in b"[{":
                self._depth += 1
            elif self._depth and mark in _CLOSING:
                self._depth -= 1
            elif not self._depth and mark in b",]}":
                yield token.start()
        self._scanned = len(self._text)

    def _drop(self, size_bytes: int) -> None:
        """Forget the beginning of the text, but for where it ended."""
        dropped = self._text[:size_bytes]
        newlines = dropped.count(b"\n")
        self._lines += newlines
        last = size_bytes - (dropped.rfind(b"\n") + 1)
        self._column = last if newlines else self._column + last
        self._text = self._text[size_bytes:]
        self._scanned = max(0, self._scanned - size_bytes)

    def _no_end(self) -> UnreadableBody:
        what = f"expected the end of the submission after the list of {self._form.noun}s"
        return self._at(0, what)

    def _cut_off(self, position: int) -> UnreadableBody:
        what = f"it is cut off; expected the end of the list of {self._form.noun}s"
        return self._at(position, what)

    def _no_list(self) -> Exception:
        body = self._text
        if not body.strip():
            return EmptySubmission()
        try:
            # The cut may fall into a character, which is no fault of the body's.
            decode = codecs.getincrementaldecoder("utf-8")().decode
            read_strict(decode(body[:EXAMINED_BYTES], final=len(body) <= EXAMINED_BYTES))
        except UnicodeDecodeError as error:
            return UnreadableBody(
                f"expected UTF-8, but byte {error.start + 1} of the body is none",
                "invalid_encoding",
            )
        except LooseJson as error:
            is_lines = error.message.startswith("extra data")
            if not is_lines and len(body) <= EXAMINED_BYTES:
                return UnreadableBody(
                    f"the body {error.message}", error.code, line=error.line, column=error.column
                )
        return WrongFormat(self._form.expected)

    def _at(self, position: int, what: str) -> UnreadableBody:
        before = self._text[:position]
        line = self._lines + before.count(b"\n") + 1
        column = position - (before.rfind(b"\n") + 1) + 1
        if b"\n" not in before:
            column += self._column
        message = f"the body is no JSON submission at line {line}, column {column}: {what}"
        return UnreadableBody(message, "invalid_json", line=line, column=column)


def jobs_of(body: bytes) -> Iterator[bytes]:
    """Yield the jobs of a whole JSON body.

    Raises:
        EmptySubmission: there is nothing in it.
        WrongFormat, UnreadableBody, LineTooLong: as `ListReader` does.
    """
    reader = ListReader(JOBS)
    for start in range(0, len(body), BLOCK_BYTES):
        yield from reader.take(body[start : start + BLOCK_BYTES])
    reader.end()
