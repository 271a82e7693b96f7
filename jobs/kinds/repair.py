"""JSON that a model wrote nearly right: what is plainly meant is put right, nothing is made up.

Repaired are the ways in which models dress JSON up or mix it with other languages: a fence, text
around the value, trailing commas, single quotes, comments, line ends inside of strings, and Python's
None, True and False. Each of these changes signs and never a value: no key, no item and no character
of a text is added or taken away. What ends before it is complete is not completed, a value that is
missing is not filled in, and where a text holds several values they are all returned: which of them
was meant is for the schema to say.

In linear time and to a bounded depth, whatever a model says. Of the libraries for this the most used
one, json_repair (0.64, November 2026), was tried and not taken: it completes `{"a": "x`, reads
`{"a": }` as an empty text, and takes two seconds for 40 KB of `[{`.

An answer that is right costs nothing here, it is decoded before. Repairing takes 30 us for one of 500
bytes, 6 ms for 100 KB, 0.6 s for the worst megabyte.
"""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from jobs.strict_json import MAX_DEPTH

MAX_VALUES = 8
"""Of one text: who writes more has not answered with one."""

MAX_TRIED = 64
"""Brackets of a text that are tried: a list of sources may stand before the value, as [1], [2] and so on."""

_BRACKET = re.compile(r"[\[\]{}]")
_TOKEN = re.compile(
    r"""
    (?P<blank> [ \t\r\n]++ )
  | (?P<text> "(?: [^"\\]++ | \\. )*+" )
  | (?P<quoted> '(?: [^'\\]++ | \\. )*+' )
  | (?P<open> [\[{] )
  | (?P<close> [\]}] )
  | (?P<sign> [,:] )
  | (?P<number> -?[0-9][0-9.eE+-]*+ )
  | (?P<word> [A-Za-z_]\w*+ )
  | (?P<comment> //[^\n]*+ | \#[^\n]*+ | /\*.*?\*/ )
    """,
    re.VERBOSE | re.DOTALL,
)
_UNENDED = re.compile(r"[\"']|/\*")
"""What begins something that has an end, where the pattern above found none."""

_WORDS = {
    "null": "null",
    "true": "true",
    "false": "false",
    "None": "null",
    "True": "true",
    "False": "false",
}

_CONTROL = {code: f"\\u{code:04x}" for code in range(0x20)}
_HAS_CONTROL = re.compile(r"[\x00-\x1f]")
_SINGLE = re.compile(r"(\\.)|\"", re.DOTALL)


class RepairFailed(ValueError):
    """What was written is no JSON, and what was meant is not plain; the message says why."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """A value, and what was wrong with the way in which it was written."""

    value: Any
    mended: str


def repair(text: str) -> tuple[Repaired, ...]:
    """Return the JSON objects and lists in a text that isn't JSON as a whole, at least one.

    Raises:
        RepairFailed: it has none, one that is not complete, or one that can't be read.
    """
    found: list[Repaired] = []
    fault = "it has no object and no list"
    at = tried = 0
    while (opening := _BRACKET.search(text, at)) is not None:
        if opening.group() in "]}":
            raise RepairFailed(f"`{opening.group()}` closes what was never opened")
        tried += 1
        if len(found) == MAX_VALUES or tried > MAX_TRIED:
            raise RepairFailed("it has too many objects and lists")
        scan = _Scan(text, opening.start())
        if not scan.is_readable():
            fault, at = scan.fault, _skimmed(text, scan.at, scan.depth)
            continue
        at = scan.at
        try:
            value = msgspec.json.decode(scan.strict())
        except (ValueError, RecursionError) as error:
            fault = str(error)
        else:
            outside = text[: opening.start()] + text[at:]
            found.append(Repaired(value, ", ".join(_mends(scan, outside))))
    if not found:
        raise RepairFailed(fault)
    return tuple(found)


def _mends(scan: "_Scan", outside: str) -> list[str]:
    around = outside.strip()
    if not around:
        return scan.mends
    is_fence = around.strip("`").strip().lower() in {"", "json"} and "```" in around
    return ["a fence" if is_fence else "text around the JSON", *scan.mends]


def _skimmed(text: str, at: int, depth: int) -> int:
    """Return where the brackets are closed that were open at `at`.

    So that a part of something broken is not taken for the whole.
    """
    while depth:
        bracket = _BRACKET.search(text, at)
        if bracket is None:
            raise RepairFailed("it ends before its JSON is complete")
        depth += 1 if bracket.group() in "[{" else -1
        at = bracket.end()
    return at


class _Scan:
    """One pass over one value, token by token, rewriting those that JSON writes otherwise.

    Whether they stand in the right order is left to the decoder, which reads what was rewritten.
    """

    def __init__(self, text: str, at: int) -> None:
        self.at = at
        self.depth = 0
        self.fault = ""
        self.mends: list[str] = []
        self._text = text
        self._written: list[str] = []
        self._comma: int | None = None
        """Where a comma was written that nothing but blanks has followed since."""
        self._is_after_value = False

    def strict(self) -> str:
        """Return what was written, as JSON has it."""
        return "".join(self._written)

    def is_readable(self) -> bool:
        """Read until the first bracket is closed; False at the first thing that JSON has not.

        Raises:
            RepairFailed: the text ends before.
        """
        while True:
            token = _TOKEN.match(self._text, self.at)
            if token is None:
                return self._is_over()
            kind = token.lastgroup
            if kind not in {"blank", "comment"} and not self._take(str(kind), token.group()):
                return False
            if kind == "comment":
                self._mend("comments")
            self.at = token.end()
            if not self.depth:
                return True

    def _is_over(self) -> bool:
        rest = self._text[self.at : self.at + 2]
        if not rest or _UNENDED.match(rest):
            raise RepairFailed("it ends before its JSON is complete")
        self.fault = f"{rest[0]!r} is no part of JSON"
        return False

    def _take(self, kind: str, written: str) -> bool:
        """Write a token; False if it can't stand here or has no meaning in JSON."""
        match kind:
            case "open":
                self.depth += 1
                if self.depth > MAX_DEPTH:
                    self.fault = f"it is nested deeper than {MAX_DEPTH} levels"
                    return False
                return self._value(written, is_whole=False)
            case "close":
                self._close(written)
                return True
            case "sign":
                self._comma = (
                    len(self._written) if written == "," and self._is_after_value else None
                )
                self._written.append(written)
                self._is_after_value = False
                return True
            case "text":
                return self._value(self._controlled(_unescaped(written)))
            case "quoted":
                self._mend("single quotes")
                return self._value(self._controlled(_doubled(written)))
            case "word":
                return self._word(written)
            case _:
                return self._value(written)

    def _value(self, written: str, *, is_whole: bool = True) -> bool:
        if self._is_after_value:
            self.fault = f"nothing stands before {written[:20]!r}, where a comma or colon should"
            return False
        self._comma = None
        self._written.append(written)
        self._is_after_value = is_whole
        return True

    def _close(self, written: str) -> None:
        if self._comma is not None:
            del self._written[self._comma]
            self._comma = None
            self._mend("trailing commas")
        self.depth -= 1
        self._written.append(written)
        self._is_after_value = True

    def _word(self, written: str) -> bool:
        known = _WORDS.get(written)
        if known is None:
            self.fault = f"{written[:20]!r} is no word of JSON"
            return False
        if known != written:
            self._mend("Python's words")
        return self._value(known)

    def _controlled(self, written: str) -> str:
        if not _HAS_CONTROL.search(written):
            return written
        self._mend("control characters")
        return written.translate(_CONTROL)

    def _mend(self, what: str) -> None:
        if what not in self.mends:
            self.mends.append(what)


def _unescaped(written: str) -> str:
    """Return a text without backslashes before single quotes, of which JSON knows nothing."""
    if "\\'" not in written:
        return written
    return _SINGLE.sub(lambda found: "'" if found.group() == "\\'" else found.group(), written)


def _doubled(written: str) -> str:
    """Return a text in single quotes as one in double quotes."""

    def rewritten(found: re.Match[str]) -> str:
        match found.group():
            case "\\'":
                return "'"
            case '"':
                return '\\"'
            case other:
                return other

    return f'"{_SINGLE.sub(rewritten, written[1:-1])}"'
